// Log files and repeated lines through the built agent: which line goes where, what SIGHUP does, what a retrying caller leaves.

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { ALICE, curl, IMDS_INSTANCE, runProgram, World } from "../support/world.ts";

const MAIN = join(import.meta.dir, "../../dist/azure-proxy-agent");
/** A place below the world's folder cannot be named before the world exists. */
const FOLDER = `/run/apa-log-files-${process.pid}`;

let world: World | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
  await runProgram(["rm", "-rf", FOLDER]);
});

/** Empty when there is no such file yet: it is made with its first line. */
const read = (name: string) => (existsSync(join(FOLDER, name)) ? readFileSync(join(FOLDER, name), "utf8") : "");

describe("log files", () => {
  test("agent and request lines have a file each; SIGHUP opens them anew", async () => {
    world = await World.start({ config: { logFolder: FOLDER, fileLogLevel: "Info" } });
    await curl(IMDS_INSTANCE);
    await until("request line", () => read("ProxyAgent.Connection.log").includes("request-forwarded"));
    expect(read("ProxyAgent.log")).toMatch(/^\d{4}-\d\d-\d\dT[0-9:.]+Z \[INFO\] agent-starting \{/);
    expect(read("ProxyAgent.log")).not.toContain("request-");
    expect(
      read("ProxyAgent.Connection.log")
        .trimEnd()
        .split("\n")
        .every((line) => / (request-|connection-)/.test(line)),
    ).toBe(true);
    expect(["ProxyAgent.log", "ProxyAgent.Connection.log", "."].map((name) => statSync(join(FOLDER, name)).mode & 0o777)).toEqual([
      0o640, 0o640, 0o750,
    ]);

    renameSync(join(FOLDER, "ProxyAgent.Connection.log"), join(FOLDER, "moved.log"));
    world.agent.process.kill("SIGHUP");
    await world.agent.line("log-files-reopened", ({ count }) => count === 2);
    await curl(IMDS_INSTANCE, { as: ALICE });
    await until("line in the new file", () => read("ProxyAgent.Connection.log").includes('"userId":4001'));
    expect(read("moved.log")).not.toContain('"userId":4001');
  });

  test("SIGHUP without log files ends nothing", async () => {
    world = await World.start();
    world.agent.process.kill("SIGHUP");
    await world.agent.line("log-files-reopened", ({ count }) => count === 0);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });

  test("T-90: a retrying caller leaves ten lines and one for the rest, and the tools count them all", async () => {
    const rules = { id: "closed", defaultAccess: "deny", rules: { privileges: [], roles: [], identities: [], roleAssignments: [] } };
    world = await World.start({ host: { imds: "enforce", rules: { imds: rules } } });
    // One process, so that all of it lies in one interval of the log also on a busy machine; a connection for each request.
    const urls = Array.from({ length: 60 }, () => ["-o", "/dev/null", IMDS_INSTANCE]).flat();
    const caller = runProgram(["curl", "-s", "-H", "Metadata: true", "-H", "Connection: close", ...urls], ALICE);
    await curl("http://169.254.169.254/metadata/versions");
    await caller;
    await until("the line for the rest", () => world?.agent.lines.some(({ fields }) => fields.repeated !== undefined) ?? false);
    const lines = world.agent.lines.filter(({ event }) => event === "request-denied");
    const counted = lines.filter(({ fields }) => fields.userId === ALICE.uid);
    expect(counted.length).toBe(11);
    expect(counted.at(-1)?.fields).toMatchObject({ repeated: 50, reason: "default-deny", processFullPath: "/usr/bin/curl" });
    expect(lines.filter(({ fields }) => fields.url === "/metadata/versions").length).toBe(1);
    const log = lines.map(({ event, fields }) => `${event} ${JSON.stringify(fields)}\n`).join("");
    const report = await runProgram(["bash", "-c", `printf %s "$1" | "$2" report --from-log - --json`, "bash", log, MAIN]);
    expect(JSON.parse(report.stdout).denied).toMatchObject({ total: 61, entries: [{ count: 60 }, { count: 1 }] });
  });
});
