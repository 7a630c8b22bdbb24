import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { type Denial, type DenialTally, makeDenialTally, withoutValues } from "./denial-tally.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

function denialOf(known: Partial<Denial>): Denial {
  return {
    endpoint: "imds",
    ruleSetId: "rules-1",
    reason: "default-deny",
    rule: "",
    userName: "alice",
    exePath: "/usr/bin/curl",
    segments: ["metadata", "instance"],
    method: "GET",
    target: "/metadata/instance?api-version=2021-02-01",
    processId: 42,
    atMs: 1000,
    ...known,
  };
}

function countsOf(tally: DenialTally): readonly number[] {
  return tally.entries().map(({ count }) => count);
}

describe("makeDenialTally", () => {
  test("counts the same denial in one entry, with first and last time and the first example", () => {
    const tally = makeDenialTally();
    tally.count(denialOf({ atMs: 1000, processId: 1 }));
    tally.count(denialOf({ atMs: 3000, processId: 2, target: "/metadata/instance/compute" }));
    expect(tally.entries()).toEqual([
      {
        endpoint: "imds",
        ruleSetId: "rules-1",
        reason: "default-deny",
        rule: "",
        userName: "alice",
        exePath: "/usr/bin/curl",
        path: "/metadata/instance",
        count: 2,
        missed: 0,
        firstSeenMs: 1000,
        lastSeenMs: 3000,
        example: { method: "GET", target: "/metadata/instance?api-version", processId: 1 },
      },
    ]);
  });

  test.each<[string, Partial<Denial>]>([
    ["endpoint", { endpoint: "wireserver" }],
    ["rule set", { ruleSetId: "rules-2" }],
    ["reason", { reason: "not-granted" }],
    ["rule", { rule: "read" }],
    ["user", { userName: "bob" }],
    ["unknown user", { userName: undefined }],
    ["program", { exePath: "/usr/bin/wget" }],
    ["unknown program", { exePath: undefined }],
    ["path", { segments: ["metadata", "identity"] }],
    ["shorter path", { segments: ["metadata"] }],
  ])("another %s is another entry", (_, other) => {
    const tally = makeDenialTally();
    tally.count(denialOf({}));
    tally.count(denialOf(other));
    expect(countsOf(tally)).toEqual([1, 1]);
  });

  test("what lies below the second segment is no other entry", () => {
    const tally = makeDenialTally();
    for (let i = 0; i < 9; i++) tally.count(denialOf({ segments: ["metadata", "instance", `item-${i}`] }));
    expect(countsOf(tally)).toEqual([9]);
  });

  test("100,000 different denials keep to the bound and none is lost", () => {
    const tally = makeDenialTally();
    for (let i = 0; i < 100_000; i++) tally.count(denialOf({ userName: `user-${i % 5000}`, segments: ["x".repeat(9000), `path-${i}`] }));
    const entries = tally.entries();
    expect(entries.length).toBe(256);
    expect(Math.max(...entries.map(({ path }) => path.length))).toBeLessThan(200);
    expect(countsOf(tally).reduce((sum, count) => sum + count, tally.other())).toBe(100_000);
  });

  test("a caller that varies its requests pushes out neither other users nor its own frequent ones", () => {
    const tally = makeDenialTally();
    tally.count(denialOf({ userName: "backup", exePath: "/usr/bin/backup" }));
    for (let i = 0; i < 50_000; i++) {
      tally.count(denialOf({ userName: "mallory", exePath: `/tmp/program-${i}` }));
      if (i % 50 === 0) tally.count(denialOf({ userName: "mallory", exePath: "/usr/bin/busy" }));
    }
    const find = (exePath: string) => tally.entries().find((entry) => entry.exePath === exePath);
    expect(find("/usr/bin/backup")).toMatchObject({ userName: "backup", count: 1, missed: 0 });
    expect((find("/usr/bin/busy")?.count ?? 0) + (find("/usr/bin/busy")?.missed ?? 0)).toBeGreaterThanOrEqual(1000);
  });

  test("laws: the total is exact; true counts lie between the count and the count with what was missed", () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const size = 1 + random.below(12);
      const tally = makeDenialTally(size);
      const truth = new Map<string, number>();
      const events = 1 + random.below(600);
      for (let i = 0; i < events; i++) {
        // Some users and programs are much more frequent than others.
        const userName = `u${random.below(1 + random.below(6))}`;
        const exePath = `/e${random.below(1 + random.below(30))}`;
        truth.set(`${userName} ${exePath}`, (truth.get(`${userName} ${exePath}`) ?? 0) + 1);
        tally.count(denialOf({ userName, exePath }));
      }
      const entries = tally.entries();
      expect(entries.length, `seed ${seed}`).toBeLessThanOrEqual(size);
      expect(tally.total(), `seed ${seed}`).toBe(events);
      expect(
        entries.reduce((sum, { count }) => sum + count, tally.other()),
        `seed ${seed}`,
      ).toBe(events);
      for (const { userName, exePath, count, missed } of entries) {
        const real = truth.get(`${userName} ${exePath}`) ?? 0;
        expect(count, `seed ${seed}`).toBeLessThanOrEqual(real);
        expect(count + missed, `seed ${seed}`).toBeGreaterThanOrEqual(real);
      }
    }
  });

  test("the bounds hold too when there are more users than are remembered one by one", () => {
    const tally = makeDenialTally(4);
    for (let round = 0; round < 3; round++) for (let i = 0; i < 3000; i++) tally.count(denialOf({ userName: `user-${i}` }));
    for (const { count, missed } of tally.entries()) expect(count + missed).toBeGreaterThanOrEqual(3);
  });
});

describe("withoutValues", () => {
  test.each([
    ["/metadata/instance", "/metadata/instance"],
    ["/t?resource=https://vault&client_id=1", "/t?resource&client_id"],
    ["/t?=x&&a", "/t?a"],
    ["/t?sig=secret?b=c", "/t?sig"],
    ["http://user:password@host/x", "http://[REDACTED]@host/x"],
  ])("%p is shown as %p", (target, shown) => {
    expect(withoutValues(target)).toBe(shown);
  });

  test("is short, whatever was sent", () => {
    expect(withoutValues(`/${"😀".repeat(40_000)}?${"a=b&".repeat(10_000)}`).length).toBeLessThan(600);
    expect(withoutValues(`/x${"😀".repeat(300)}`).isWellFormed()).toBe(true);
  });
});
