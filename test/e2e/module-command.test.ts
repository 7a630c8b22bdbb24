// The module commands beside the running agent: what they change is in force when they end, without a restart.

import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sampleComponent } from "../support/module-component.ts";
import { AGENT, curl, IMDS_INSTANCE, World } from "../support/world.ts";

let world: World | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function module(configPath: string, ...argv: readonly string[]) {
  const child = Bun.spawn([AGENT, "module", ...argv, "--config", configPath], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: {} });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, out, err };
}

/** The command ended well and says that the agent has taken the change up. */
async function change(one: World, ...argv: readonly string[]): Promise<void> {
  const { code, err } = await module(one.configPath, ...argv);
  expect([code, err.includes("the running agent has taken it up")]).toEqual([0, true]);
}

const statusOf = async (method: string) => (await curl(IMDS_INSTANCE, { args: ["-X", method] })).status;

describe("module commands", () => {
  test("T-126: what a command changes is in force when it ends, and what it refuses never is", async () => {
    world = await World.start({ host: { imds: "enforce" } });
    const one = world;
    const file = join(one.folder, "sample.wasm");
    writeFileSync(file, await sampleComponent());
    writeFileSync(join(one.folder, "yes"), "yes");
    const [get, patch] = [await statusOf("GET"), await statusOf("PATCH")];
    expect([get, patch]).toEqual([200, patch]);
    expect(patch).not.toBe(403);

    await change(one, "add", file, "--name", "sample");
    expect([await statusOf("GET"), await statusOf("PATCH")]).toEqual([200, 403]);
    const { out } = await module(one.configPath, "list");
    expect(out).toContain("agent: in-force");

    await change(one, "settings", "sample", join(one.folder, "yes"));
    expect(await statusOf("PATCH")).toBe(patch);
    await change(one, "settings", "sample", "--none");
    expect(await statusOf("PATCH")).toBe(403);
    await change(one, "audit", "on", "sample");
    expect(await statusOf("PATCH")).toBe(patch);
    await change(one, "audit", "off", "sample");
    await change(one, "disable", "sample");
    expect(await statusOf("PATCH")).toBe(patch);
    await change(one, "enable", "sample");
    expect(await statusOf("PATCH")).toBe(403);

    const broken = join(one.folder, "broken.wasm");
    writeFileSync(broken, (await sampleComponent()).subarray(0, 3000));
    expect((await module(one.configPath, "add", broken, "--name", "sample", "--replace")).code).toBe(1);
    expect(await statusOf("PATCH")).toBe(403);
    await change(one, "remove", "sample");
    expect(await statusOf("PATCH")).toBe(patch);
  }, 60_000);

  test("T-126: a list that the running agent refuses is told with exit code 1, and what was in force stays", async () => {
    world = await World.start({ host: { imds: "enforce" }, config: { requireSignedModules: true } });
    const one = world;
    const before = await statusOf("PATCH");
    const file = join(one.folder, "sample.wasm");
    writeFileSync(file, await sampleComponent());
    const refused = await module(one.configPath, "add", file, "--name", "sample");
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("requireSignedModules is set")]);
    const config = JSON.parse(readFileSync(one.configPath, "utf8"));
    const lax = join(one.folder, "lax.json");
    writeFileSync(lax, JSON.stringify({ ...config, requireSignedModules: false }));
    const added = await module(lax, "add", file, "--name", "sample");
    expect([added.code, added.err.replaceAll("\n", " ")]).toEqual([1, expect.stringContaining("the running agent cannot take it up")]);
    expect(await statusOf("PATCH")).toBe(before);
  }, 60_000);
});
