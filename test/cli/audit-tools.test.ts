// The decision trail's tools as a user runs them: on a trail that the agent's own writer made.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { segmentPath } from "../../proxy/adapters/trail/segment-files.ts";
import type { TrailAnchor } from "../../proxy/adapters/trail/trail-writer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";
import { ALICE, decisionOf, openWriter, writeTrail } from "../support/trail.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MAIN = join(import.meta.dir, "../../proxy/main.ts");
let parent: string;
let folder: string;
let anchors: readonly TrailAnchor[];

async function run(...argv: readonly string[]) {
  const child = Bun.spawn([process.execPath, MAIN, ...argv], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "" },
  });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { out, err, code };
}

function copyTrail(): string {
  const copy = mkdtempSync(join(parent, "copy-"));
  cpSync(folder, copy, { recursive: true });
  return copy;
}

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), "audit-tools-"));
  folder = join(parent, "audit");
  const { writer, told } = openWriter(folder);
  writer.start();
  const verdict = (kind: "allow" | "deny", reason: string, rule = "") => ({ kind, reason, rule, ruleSetId: "rules-1", policyId: "" });
  writer.append(decisionOf({ verdict: verdict("allow", "granted", "read/any") }));
  const elsewhere = "/metadata/identity/oauth2/token?resource=a%26b";
  writer.append(
    decisionOf({
      target: elsewhere,
      event: "request-denied",
      status: 403,
      reason: "default-deny",
      verdict: verdict("deny", "default-deny"),
    }),
  );
  writer.append(
    decisionOf({ target: elsewhere, reason: "default-deny", auditDeny: true, mode: "audit", verdict: verdict("deny", "default-deny") }),
  );
  writer.append(
    decisionOf({ event: "request-failed", status: 503, reason: "host-silent", verdict: verdict("allow", "granted", "read/any") }),
  );
  writer.append(decisionOf({ target: "/a%00", event: "request-denied", status: 400, reason: "ambiguous-target", verdict: undefined }));
  writer.append(
    decisionOf({
      event: "request-denied",
      status: 421,
      reason: "not-redirected",
      verdict: undefined,
      caller: undefined,
      request: undefined,
    }),
  );
  writer.append(decisionOf({ event: "request-denied", status: 400, reason: "ambiguous-request", verdict: undefined }));
  writer.append(decisionOf({ reason: "no-rules", verdict: verdict("allow", "no-rules") }));
  await writer.stop();
  anchors = told.anchors;
});

afterAll(() => {
  rmSync(parent, { recursive: true, force: true });
});

describe("audit verify", () => {
  test("says that a whole trail is whole", async () => {
    const { out, code } = await run("audit", "verify", "--folder", folder);
    expect([code, out.split("\n")[0]]).toEqual([0, "OK: 1 segments, records 1 to 11, 8 decisions"]);
  });

  test("holds the trail against hashes that were noted, one by one or in the journal", async () => {
    const [first, last] = [anchors[0], anchors.at(-1)];
    if (first === undefined || last === undefined) throw new Error("no anchors were told");
    const journal = join(parent, "journal.txt");
    writeFileSync(
      journal,
      `Jan 01 vm agent[1]: trail-anchor ${JSON.stringify(first)}\nother {}\n<6>trail-anchor ${JSON.stringify(last)}\n`,
    );
    const held = await run(
      "audit",
      "verify",
      "--folder",
      folder,
      "--journal",
      journal,
      "--anchor",
      `${last.sequence}:${last.hash}`,
      "--anchor",
      last.hash,
    );
    expect([held.code, held.out]).toEqual([0, expect.stringContaining("4 anchors hold")]);
  });

  test("T-145: a trail that was cut between two records, or written anew, is told by what was noted", async () => {
    const last = anchors.at(-1);
    if (last === undefined) throw new Error("no anchors were told");
    const copy = copyTrail();
    const bytes = readFileSync(segmentPath(copy, 1));
    // The stop record: 36 bytes around a payload of 12.
    const stopBytes = 48;
    truncateSync(segmentPath(copy, 1), bytes.length - stopBytes);
    expect((await run("audit", "verify", "--folder", copy)).code).toBe(0);
    const cut = await run("audit", "verify", "--folder", copy, "--anchor", `${last.sequence}:${last.hash}`);
    expect([cut.code, cut.out]).toEqual([
      1,
      expect.stringContaining(`the trail ends with record ${last.sequence - 1}, but record ${last.sequence} was noted`),
    ]);
    const anew = mkdtempSync(join(parent, "anew-"));
    await writeTrail(anew, 20);
    const rewritten = await run("audit", "verify", "--folder", anew, "--anchor", `${last.sequence}:${last.hash}`);
    expect([rewritten.code, rewritten.out]).toEqual([1, expect.stringContaining("has another hash than was noted")]);
    expect((await run("audit", "verify", "--folder", anew, "--anchor", last.hash)).code).toBe(1);
  });

  test("names kind, segment, byte and record of a damage", async () => {
    const copy = copyTrail();
    const bytes = readFileSync(segmentPath(copy, 1));
    bytes.writeUInt8(bytes.readUInt8(300) ^ 4, 300);
    writeFileSync(segmentPath(copy, 1), bytes);
    const { out, code } = await run("audit", "verify", "--folder", copy);
    expect([code, out]).toEqual([1, expect.stringMatching(/DAMAGED.*\n {2}altered: segment 1 at byte [0-9]+, record [0-9]+: /)]);
    const json = JSON.parse((await run("audit", "verify", "--json", "--folder", copy)).out);
    expect(json).toMatchObject({ whole: false, damages: [{ kind: "altered", segment: 1 }] });
  });

  test("a torn end is torn, not altered", async () => {
    const copy = copyTrail();
    truncateSync(segmentPath(copy, 1), readFileSync(segmentPath(copy, 1)).length - 5);
    expect((await run("audit", "verify", "--folder", copy)).out).toContain("torn: segment 1");
  });
});

describe("audit tail", () => {
  test("shows the last records as lines that move no terminal", async () => {
    const copy = mkdtempSync(join(parent, "hostile-"));
    const { writer } = openWriter(copy);
    const claims = { ...ALICE.claims, userName: "eve\u001b[2J\nforged" };
    writer.append(decisionOf({ caller: { ...ALICE, claims } }));
    await writer.stop();
    const { out, code } = await run("audit", "tail", "-n", "2", "--folder", copy);
    expect([code, out.split("\n").length]).toEqual([0, 3]);
    expect(out).toContain("allow imds GET /metadata/instance?api-version=2021-02-01 by eve\\u001b[2J\\u000aforged");
  });

  test("follows what the agent writes, over the end of a segment", async () => {
    const live = mkdtempSync(join(parent, "live-"));
    const { writer } = openWriter(live);
    writer.append(decisionOf({ requestId: "before" }));
    await writer.flush();
    const child = Bun.spawn([process.execPath, MAIN, "audit", "tail", "-n", "1", "--follow", "--folder", live], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const reader = child.stdout.getReader();
    let seen = new TextDecoder().decode((await reader.read()).value);
    for (let n = 0; n < 6_000; n++) {
      writer.append(decisionOf({ target: `/n-${n}` }));
      if (n % 500 === 499) await writer.flush();
    }
    await writer.flush();
    while (!seen.includes("/n-5999 ")) {
      const { value, done } = await reader.read();
      if (done) break;
      seen += new TextDecoder().decode(value);
    }
    child.kill();
    await child.exited;
    await writer.stop();
    const numbers = [...seen.matchAll(/ GET \/n-([0-9]+) /g)].map((match) => Number(match[1]));
    expect(numbers).toEqual(Array.from({ length: 6_000 }, (_none, n) => n));
    expect(seen).toContain("-- segment 2 ");
  }, 20_000);
});

describe("audit export", () => {
  test("gives one line for each decision, with all that was recorded", async () => {
    const { out, code } = await run("audit", "export", "--folder", folder);
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([code, lines.length]).toEqual([0, 8]);
    expect(lines.map(({ decision }) => decision)).toEqual(["allow", "deny", "audit", "allow", "deny", "none", "none", "allow"]);
    expect(lines[0]).toMatchObject({
      sequence: 3,
      request: "GET /metadata/instance?api-version=2021-02-01",
      caller: { userName: "alice", userGroups: ["alice", "dev"], processFullPath: "/usr/bin/curl" },
      reason: "granted",
      rule: "read/any",
      mode: "enforce",
      epoch: 3,
      outcome: "request-forwarded",
      responseStatus: 200,
    });
    expect(lines[3]).toMatchObject({ outcome: "request-failed", outcomeReason: "host-silent" });
    const part = await run("audit", "export", "--first", "4", "--last", "5", "--folder", folder);
    expect(part.out.trimEnd().split("\n").length).toBe(2);
  });

  test("policy replay decides exported decisions again, and passes over what the rules did not decide", async () => {
    const rules = join(parent, "rules.json");
    const privilege = { name: "read", path: "/metadata/instance" };
    const assigned = [{ role: "readers", identities: ["any"] }];
    const item = {
      privileges: [privilege],
      roles: [{ name: "readers", privileges: ["read"] }],
      identities: [{ name: "any", userName: "alice" }],
      roleAssignments: assigned,
    };
    writeFileSync(rules, JSON.stringify({ id: "rules-1", mode: "enforce", defaultAccess: "deny", rules: item }));
    const exported = join(parent, "exported.jsonl");
    writeFileSync(exported, (await run("audit", "export", "--folder", folder)).out);
    const { out, err, code } = await run("policy", "replay", "--json", "--rules", rules, exported);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({ lines: 8, compared: 5, different: 0, skipped: { "no-decision": 3 } });
    // Other rules: what they would have decided otherwise is found.
    writeFileSync(rules, JSON.stringify({ id: "rules-2", mode: "enforce", defaultAccess: "allow", rules: item }));
    const other = JSON.parse((await run("policy", "replay", "--json", "--rules", rules, exported)).out);
    expect(other).toMatchObject({ compared: 5, different: 2 });
  });
});

describe("audit usage", () => {
  test.each([
    [[], 64],
    [["shred"], 64],
    [["verify", "--force"], 64],
    [["verify", "--anchor", "abc"], 64],
    [["tail", "-n", "many"], 64],
    [["export", "--first", "-1"], 64],
    [["--help"], 0],
    [["verify", "--folder", "/nonexistent/audit"], 66],
    [["tail", "--folder", "/nonexistent/audit"], 66],
    [["export", "--folder", "/nonexistent/audit"], 66],
    [["verify", "--journal", "/nonexistent/journal"], 66],
  ])("audit %p ends with %p", async (argv, code) => {
    expect((await run("audit", ...argv)).code).toBe(code);
  });
});
