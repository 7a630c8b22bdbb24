// The way from audit to enforce, with the built program on a real kernel: programs are watched under audit, the report names those
// that would break, rules are suggested from the agent's own log, and under enforce with these rules the same programs still work.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ALICE, curl, type Ids, IMDS_INSTANCE, python, runProgram, World } from "../support/world.ts";

const AGENT = join(import.meta.dir, "../../dist/azure-proxy-agent");
const PATIENCE_MS = 60_000;

const NOBODY: Ids = { uid: 65534, gid: 65534 };
const DAEMON: Ids = { uid: 1, gid: 1 };
const BIN: Ids = { uid: 2, gid: 2 };

const TOKEN = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
const EVENTS = "http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01";
const COMPUTE = "http://169.254.169.254/metadata/instance/compute?api-version=2021-02-01";

function pythonGet(url: string, ids: Ids): Promise<string> {
  return python(
    `
import urllib.request, urllib.error
request = urllib.request.Request("${url}", headers={"Metadata": "true"})
try:
    print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)`,
    ids,
  );
}

describe("from audit to enforce", () => {
  let world: World;
  const log: string[] = [];
  beforeAll(async () => {
    const closed = { id: "closed", defaultAccess: "deny" };
    world = await World.start({
      host: { wireserver: "enforce", imds: "audit", rules: { imds: closed } },
      onAgentLine: (text) => log.push(text),
    });
  }, PATIENCE_MS);
  afterAll(() => world[Symbol.asyncDispose]());

  /** The status as it is now, in a file, as an operator's copy. */
  async function saveStatus(): Promise<string> {
    const answer = await curl("http://168.63.129.16/gpa-aggregated-status");
    expect(answer.status).toBe(200);
    const path = join(world.folder, "status-now.json");
    writeFileSync(path, answer.body);
    return path;
  }

  async function report(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runProgram([AGENT, "report", ...args]);
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  }

  test(
    "audit shows who would break, suggested rules let exactly those through",
    async () => {
      // ---- audit: everything works, and is written down
      expect((await curl(COMPUTE, { as: NOBODY })).status).toBe(200);
      expect((await curl(TOKEN, { as: DAEMON })).status).toBe(200);
      expect(await pythonGet(EVENTS, BIN)).toBe("200");
      expect((await curl(IMDS_INSTANCE, { as: ALICE })).status).toBe(200);
      await world.agent.line("request-forwarded", ({ userId }) => userId === ALICE.uid);

      // ---- report: the same from the status and from the log
      const fromStatus = JSON.parse(await report("--status", await saveStatus(), "--endpoint", "imds", "--json"));
      const logPath = join(world.folder, "agent.log");
      writeFileSync(logPath, `${log.join("\n")}\n`);
      const fromLog = JSON.parse(await report("--from-log", logPath, "--endpoint", "imds", "--json"));
      for (const { wouldDeny } of [fromStatus, fromLog]) {
        expect(wouldDeny).toMatchObject({ total: 4, other: 0 });
        const who = wouldDeny.entries.map(({ userName, reason, ruleSetId }: Record<string, string>) => [userName, reason, ruleSetId]);
        expect(who.toSorted()).toEqual([
          ["", "default-deny", "closed"],
          ["bin", "default-deny", "closed"],
          ["daemon", "default-deny", "closed"],
          ["nobody", "default-deny", "closed"],
        ]);
      }
      expect(fromStatus.stale).toBe(false);
      expect(fromStatus.guards).toEqual([{ endpoint: "imds", mode: "audit", ruleSetId: "closed" }]);
      expect(await report("--from-log", logPath)).toContain("Would be denied under enforce: 4 requests");

      // ---- suggest: rules for those that can be named, and a word on the one that cannot
      const rulesPath = join(world.folder, "rules.json");
      const suggested = await runProgram([AGENT, "policy", "suggest", logPath, "-o", rulesPath]);
      expect([suggested.code, suggested.stdout]).toEqual([0, ""]);
      expect(suggested.stderr).toContain("3 of 3 different observed requests allowed");
      expect(suggested.stderr.replace(/\s+/g, " ")).toContain("1 requests: its user has no known account name");
      const item = JSON.parse(readFileSync(rulesPath, "utf8"));
      expect(item.rules.identities.map(({ userName }: { userName: string }) => userName).toSorted()).toEqual(["bin", "daemon", "nobody"]);

      // ---- enforce
      await world.host.configure({ rules: { imds: { ...item, mode: "enforce" } } });
      await world.agent.line("rules-applied", ({ ruleSetId, mode }) => ruleSetId === item.id && mode === "enforce");
      expect((await curl(COMPUTE, { as: NOBODY })).status).toBe(200);
      expect((await curl(TOKEN, { as: DAEMON })).status).toBe(200);
      expect(await pythonGet(EVENTS, BIN)).toBe("200");

      const denied: readonly (readonly [string, Promise<number>])[] = [
        ["a user that could not be named", curl(IMDS_INSTANCE, { as: ALICE }).then(({ status }) => status)],
        ["another user", curl(COMPUTE, { as: DAEMON }).then(({ status }) => status)],
        ["root", curl(COMPUTE).then(({ status }) => status)],
        ["a wider path", curl(IMDS_INSTANCE, { as: NOBODY }).then(({ status }) => status)],
        ["another program of the same user", pythonGet(COMPUTE, NOBODY).then(Number)],
        ["another resource", curl(`${TOKEN}.example`, { as: DAEMON }).then(({ status }) => status)],
      ];
      for (const [who, status] of denied) expect([who, await status]).toEqual([who, 403]);

      // ---- the report tells of those, under the new rules
      const after = JSON.parse(await report("--status", await saveStatus(), "--endpoint", "imds", "--json"));
      expect(after.denied).toMatchObject({ total: denied.length, other: 0 });
      expect(after.denied.entries.every(({ ruleSetId }: { ruleSetId: string }) => ruleSetId === item.id)).toBe(true);
      expect(await report("--status", await saveStatus())).toContain("(older rules)");
    },
    PATIENCE_MS,
  );
});
