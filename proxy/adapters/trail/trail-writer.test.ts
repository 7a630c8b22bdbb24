import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { ALICE, decisionOf, openWriter, readWhole, writeTrail } from "../../../test/support/trail.ts";
import { until } from "../../../test/support/until.ts";
import { segmentPath, tornPath } from "./segment-files.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

let parent: string;
let folder: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "trail-"));
  folder = join(parent, "audit");
});

afterEach(() => {
  rmSync(parent, { recursive: true, force: true });
});

function kinds(): readonly string[] {
  return readWhole(folder).records.map(({ kind }) => kind);
}

describe("trail writer", () => {
  test("what was decided is read back", async () => {
    const { writer } = openWriter(folder);
    writer.start();
    const modules = [{ name: "m", kind: "deny", reason: "late", rule: "hours", labels: [], failed: false, applied: false }] as const;
    writer.append(decisionOf({ modules }));
    writer.append(
      decisionOf({
        caller: undefined,
        request: undefined,
        verdict: undefined,
        target: "/a%00",
        reason: "not-redirected",
        event: "request-denied",
      }),
    );
    await writer.stop();
    const { records, damages, extent } = readWhole(folder);
    expect([damages, extent.segments, extent.firstSequence, extent.lastSequence]).toEqual([[], 1, 1, 5]);
    expect(records.map(({ kind, sequence }) => [kind, sequence])).toEqual([
      ["head", 1],
      ["start", 2],
      ["decision", 3],
      ["decision", 4],
      ["stop", 5],
    ]);
    expect(records[2]).toEqual({
      kind: "decision",
      sequence: 3,
      timeMs: 1_767_225_600_000,
      requestId: "r-1",
      event: "request-forwarded",
      endpoint: "imds",
      method: "GET",
      target: "/metadata/instance?api-version=2021-02-01",
      isCanonical: true,
      status: 200,
      reason: "granted",
      verdict: { kind: "allow", reason: "granted", rule: "read/alice", ruleSetId: "rules-1", policyId: "ab".repeat(32) },
      mode: "enforce",
      auditDeny: false,
      endorsed: true,
      epoch: 3,
      caller: {
        userId: ALICE.claims.userId,
        userName: "alice",
        userGroups: ["alice", "dev"],
        runAsElevated: false,
        processId: ALICE.claims.processId,
        processFullPath: "/usr/bin/curl",
        processCmdLine: ALICE.claims.processCmdLine,
        exeSha256: undefined,
        cgroupId: String(ALICE.claims.cgroupId),
        cgroupPath: undefined,
        clientAddress: ALICE.claims.clientAddress,
        clientPort: ALICE.claims.clientPort,
        doubts: [],
      },
      modules: [{ name: "m", kind: "deny", reason: "late", rule: "hours", failed: false, applied: false }],
      shortened: false,
    });
    expect(records[3]).toMatchObject({ caller: undefined, verdict: undefined, target: "/a%00", isCanonical: false });
  });

  test("T-142: folder and files are root's alone from the moment they exist", async () => {
    await writeTrail(folder, 3);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o777)).toEqual([0o600]);
  });

  test("goes on where the agent before it stopped, and tells a stop in order from another end", async () => {
    await writeTrail(folder, 2);
    const { writer } = openWriter(folder);
    writer.start();
    writer.append(decisionOf());
    await writer.flush();
    // Not stopped: as if it had been killed.
    await writeTrail(folder, 1);
    const { records, damages, extent } = readWhole(folder);
    expect([damages, extent.segments]).toEqual([[], 1]);
    expect(records.flatMap((record) => (record.kind === "start" ? [record.afterStop] : []))).toEqual([false, true, false]);
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_record, index) => index + 1));
  });

  test("writes nothing and waits for nothing while nothing is decided", async () => {
    const { writer } = openWriter(folder);
    writer.start();
    await writer.flush();
    const before = statSync(segmentPath(folder, 1)).mtimeMs;
    await Bun.sleep(150);
    expect(statSync(segmentPath(folder, 1)).mtimeMs).toBe(before);
    writer.append(decisionOf());
    await until("the decision is written", () => kinds().length > 2);
    expect(kinds()).toEqual(["head", "start", "decision"]);
  });

  test("keeps segments and their total within bounds, and says what it removed", async () => {
    const told = await writeTrail(folder, 20_000);
    const names = readdirSync(folder);
    const sizes = names.map((name) => statSync(join(folder, name)).size);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024);
    expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(4 * 1024 * 1024);
    const { records, damages, extent } = readWhole(folder);
    expect(damages).toEqual([]);
    const head = records.findLast((record) => record.kind === "head");
    expect(extent.firstSequence).toBeGreaterThan(1);
    expect(head).toMatchObject({ keptSequence: extent.firstSequence });
    expect(told.anchors.length).toBeGreaterThanOrEqual(5);
  });

  test.each([2, 30, 200])("a torn end (%p bytes) is kept aside, and the next segment says so", async (rest) => {
    await writeTrail(folder, 50);
    const path = segmentPath(folder, 1);
    const whole = readFileSync(path);
    truncateSync(path, whole.length - 36 - 12 - rest);
    const torn = readWhole(folder).damages[0];
    expect(torn).toMatchObject({ kind: "torn", segment: 1 });
    const told = await writeTrail(folder, 1);
    expect(told.recoveries).toMatchObject([{ kind: "torn", segment: 1, offset: torn?.offset ?? 0 }]);
    const { records, damages } = readWhole(folder);
    expect(damages).toEqual([]);
    expect(records.find((record) => record.kind === "head" && record.segment === 2)).toMatchObject({
      recovery: { kind: "torn", offset: torn?.offset ?? 0 },
    });
    expect(readFileSync(tornPath(folder, 1)).length).toBe(statSync(tornPath(folder, 1)).size);
    expect(Buffer.concat([readFileSync(path), readFileSync(tornPath(folder, 1))])).toEqual(
      whole.subarray(0, whole.length - 36 - 12 - rest),
    );
  });

  test("zeros that a lost write left at the end count as torn", async () => {
    await writeTrail(folder, 5);
    appendFileSync(segmentPath(folder, 1), Buffer.alloc(4096));
    expect((await writeTrail(folder, 1)).recoveries).toMatchObject([{ kind: "torn", bytes: 4096 }]);
    expect(readWhole(folder).damages).toEqual([]);
  });

  test.each([0, 7, 39, 60])("a newest segment of %p bytes is moved aside and its number used again", async (length) => {
    await writeTrail(folder, 8_000);
    const newest = readdirSync(folder).length;
    truncateSync(segmentPath(folder, newest), length);
    const told = await writeTrail(folder, 1);
    expect(told.recoveries).toMatchObject([{ kind: "torn", segment: newest, offset: 0 }]);
    // The chain is whole again; only an anchor from before can tell that records are gone.
    const { damages, records } = readWhole(folder);
    expect(damages).toEqual([]);
    expect(records.findLast(({ kind }) => kind === "head")).toMatchObject({ segment: newest, recovery: { kind: "torn" } });
  });

  test("T-142: a changed segment is neither rewritten nor gone on in", async () => {
    await writeTrail(folder, 20);
    const path = segmentPath(folder, 1);
    const changed = readFileSync(path);
    changed.writeUInt8(changed.readUInt8(changed.length - 40) ^ 1, changed.length - 40);
    writeFileSync(path, changed);
    expect((await writeTrail(folder, 1)).recoveries).toMatchObject([{ kind: "damaged", segment: 1 }]);
    expect(readFileSync(path)).toEqual(changed);
    const { damages, records } = readWhole(folder);
    expect(damages[0]).toMatchObject({ kind: "altered", segment: 1 });
    expect(records.at(-1)).toMatchObject({ kind: "stop" });
  });

  test("T-142: does not write into links, or a folder of somebody else's making", async () => {
    writeFileSync(join(parent, "precious"), "precious");
    await writeTrail(folder, 1);
    rmSync(segmentPath(folder, 1));
    symlinkSync(join(parent, "precious"), segmentPath(folder, 1));
    expect((await writeTrail(folder, 1)).failing[0]).toContain("ELOOP");
    expect(readFileSync(join(parent, "precious"), "utf8")).toBe("precious");
    rmSync(folder, { recursive: true });
    symlinkSync(parent, folder);
    expect((await writeTrail(folder, 1)).failing[0]).toContain("want a directory");
  });

  test("T-142: does not go on in a segment that others could write to", async () => {
    await writeTrail(folder, 1);
    chmodSync(segmentPath(folder, 1), 0o660);
    expect((await writeTrail(folder, 1)).failing[0]).toContain("mode is 0660");
  });

  test("T-143: what cannot be written is counted, told once, and becomes a record when writing works again", async () => {
    writeFileSync(folder, "in the way");
    const { writer, told } = openWriter(folder, { maxQueued: 10 });
    writer.start();
    for (let n = 0; n < 25; n++) writer.append(decisionOf());
    await writer.flush();
    expect(told.failing.length).toBe(1);
    expect([writer.state().lost, writer.state().failing === undefined]).toEqual([15, false]);
    rmSync(folder);
    await writer.flush();
    writer.append(decisionOf());
    await writer.stop();
    expect([told.restored.at(-1), writer.state().failing]).toEqual([15, undefined]);
    const { records, damages } = readWhole(folder);
    expect(damages).toEqual([]);
    expect(records.map(({ kind }) => String(kind))).toEqual([
      "head",
      "start",
      ...Array.from({ length: 10 }, () => "decision"),
      "gap",
      "decision",
      "stop",
    ]);
    expect(records.find(({ kind }) => kind === "gap")).toMatchObject({
      lost: 15,
      cause: expect.stringContaining("cannot use trail folder"),
    });
  });

  test("T-143: a request with very long texts gets a record, shortened", async () => {
    const { writer } = openWriter(folder);
    writer.start();
    const claims = {
      ...ALICE.claims,
      userGroups: Array.from({ length: 9_000 }, (_none, n) => `group-${n}`),
      processCmdLine: "x".repeat(70_000),
    };
    writer.append(decisionOf({ target: `/${"a".repeat(80_000)}`, caller: { ...ALICE, claims } }));
    await writer.stop();
    const { records, damages } = readWhole(folder);
    expect(damages).toEqual([]);
    expect(records[2]).toMatchObject({ kind: "decision", shortened: true, isCanonical: false, reason: "granted" });
  });

  test("T-143: a stop while nothing can be written ends", async () => {
    writeFileSync(folder, "in the way");
    const { writer } = openWriter(folder);
    writer.append(decisionOf());
    await writer.stop();
    expect(writer.state().failing).toContain("cannot use trail folder");
  });
});
