// Rules that name methods, the content of an executable or a cgroup, through the built agent: what the host sends is what decides.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findCgroupRoot } from "../../proxy/adapters/ebpf/cgroup.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { curl, IMDS_INSTANCE, World } from "../support/world.ts";

const sandbox = requireSandbox();
const root = findCgroupRoot();
if (!root.ok) throw new Error(root.error.message);
const CURL = realpathSync(Bun.which("curl") ?? "/usr/bin/curl");
const HASH = createHash("sha256").update(readFileSync(CURL)).digest("hex");
const CGROUP = join(sandbox.cgroupPath, "rules.test");

const folder = mkdtempSync(join(tmpdir(), "rules-by-"));
let world: World;

beforeAll(async () => {
  mkdirSync(CGROUP);
  world = await World.start({ host: { wireserver: "enforce", imds: "enforce" } });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
  rmdirSync(CGROUP);
});

/** Gives the host one rule for /metadata, and waits until the agent goes by it. */
async function grant(identity: Readonly<Record<string, unknown>>, privilege: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const rules = {
    privileges: [{ name: "metadata", path: "/metadata", ...privilege }],
    roles: [{ name: "reader", privileges: ["metadata"] }],
    identities: [{ name: "caller", ...identity }],
    roleAssignments: [{ role: "reader", identities: ["caller"] }],
  };
  const id = Bun.hash(JSON.stringify(rules)).toString(36);
  await world.host.configure({ rules: { imds: { id, defaultAccess: "deny", rules } } });
  await world.agent.line("rules-applied", ({ endpoint, ruleSetId }) => endpoint === "imds" && ruleSetId === id, 30_000);
}

/** Asks with this program, from this cgroup. */
async function ask(program: string, cgroup = sandbox.cgroupPath, url = IMDS_INSTANCE): Promise<number> {
  const command = `echo $$ > "$1/cgroup.procs"; shift; exec "$@"`;
  const options = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--noproxy", "*", "-H", "Metadata: true"];
  const run = Bun.spawn(["sh", "-ec", command, "sh", cgroup, program, ...options, url], { stdout: "pipe", stderr: "inherit" });
  return Number(await new Response(run.stdout).text());
}

describe("the content of an executable", () => {
  const copy = join(folder, "another-name");
  const changed = join(folder, "changed");

  test("decides, under whatever path", async () => {
    copyFileSync(CURL, copy);
    writeFileSync(changed, Buffer.concat([readFileSync(CURL), Buffer.from("changed")]), { mode: 0o755 });
    await grant({ exeSha256: [HASH.toUpperCase()] });
    expect([await ask(CURL), await ask(copy), await ask(changed)]).toEqual([200, 200, 403]);
    const line = await world.agent.line("request-denied", ({ processFullPath }) => processFullPath === changed);
    expect(line.exeSha256).toBe(createHash("sha256").update(readFileSync(changed)).digest("hex"));
  });

  test("T-166: is hashed beside the agent, and the reason is told where a program is too large", async () => {
    const large = join(folder, "large");
    copyFileSync(CURL, large);
    truncateSync(large, 600 * 1024 * 1024);
    await grant({ exeSha256: [HASH] });
    expect([await ask(large), await ask(CURL)]).toEqual([403, 200]);
    const line = await world.agent.line("request-denied", ({ processFullPath }) => processFullPath === large);
    expect(line.exeSha256).toBeUndefined();
    expect(JSON.stringify(line)).toContain("is larger than 536870912 bytes and so has no hash");
    const children = readFileSync(`/proc/${world.agent.pid}/task/${world.agent.pid}/children`, "utf8").trim().split(" ");
    const commands = children.map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(1, 3).join(" "));
    expect(commands).toContain("hash-files-for-daemon root");
  });

  test("is not looked at when no rule asks", async () => {
    await grant({ userName: "root", processName: "curl" });
    expect(await ask(CURL, sandbox.cgroupPath, `${IMDS_INSTANCE}&marker=unasked`)).toBe(200);
    const line = await world.agent.line("request-forwarded", ({ url }) => String(url).includes("marker=unasked"));
    expect([line.processFullPath, line.exeSha256]).toEqual([CURL, undefined]);
  });
});

test("a cgroup decides", async () => {
  if (!root.ok) throw new Error("no cgroup root");
  const path = CGROUP.slice(root.value === "/" ? 0 : root.value.length);
  await grant({ cgroupPath: path });
  expect([await ask(CURL, CGROUP), await ask(CURL)]).toEqual([200, 403]);
  const line = await world.agent.line("request-forwarded", ({ cgroupPath }) => cgroupPath === path);
  expect(line.ruleId).toBe("metadata/caller");
});

test("a method decides", async () => {
  await grant({ userName: "root" }, { method: ["get"] });
  expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  expect((await curl(IMDS_INSTANCE, { args: ["-X", "DELETE"] })).status).toBe(403);
});
