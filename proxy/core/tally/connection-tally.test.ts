import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { type CountedRequest, makeConnectionTally } from "./connection-tally.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MINUTE_MS = 60_000;

function request(more: Partial<CountedRequest> = {}): CountedRequest {
  const who = { user: "1000", userName: "alice", userGroups: ["alice"], processFullPath: "/usr/bin/curl", processCmdLine: "curl" };
  return { ...who, ip: "169.254.169.254", port: 80, responseStatus: "200 OK", ...more };
}

const sum = (entries: readonly { readonly count: number }[]) => entries.reduce((total, { count }) => total + count, 0);

describe("makeConnectionTally", () => {
  test("the same caller and outcome share one entry, most first", () => {
    const tally = makeConnectionTally(() => 0);
    tally.count(request({ responseStatus: "403 Forbidden" }));
    for (let n = 0; n < 3; n++) tally.count(request());
    expect(tally.entries().map(({ responseStatus, count }) => [responseStatus, count])).toEqual([
      ["200 OK", 3],
      ["403 Forbidden", 1],
    ]);
  });

  test.each([
    ["user", { user: "1001" }],
    ["address", { ip: "168.63.129.16" }],
    ["port", { port: 32526 }],
    ["status", { responseStatus: "404 Not Found" }],
    ["program", { processFullPath: "/usr/bin/wget" }],
    ["command line", { processCmdLine: "curl -s" }],
  ] as const)("another %s is another entry", (_what, more) => {
    const tally = makeConnectionTally(() => 0);
    tally.count(request());
    tally.count(request(more));
    expect(tally.entries().length).toBe(2);
  });

  test("four hours later an entry is gone, unless it goes on", () => {
    let nowMs = 0;
    const tally = makeConnectionTally(() => nowMs);
    tally.count(request());
    for (; nowMs < 300 * MINUTE_MS; nowMs += 10 * MINUTE_MS) tally.count(request({ processCmdLine: "steady" }));
    expect(tally.entries().map(({ processCmdLine, count }) => [processCmdLine, count])).toEqual([["steady", 24]]);
    nowMs += 300 * MINUTE_MS;
    expect(tally.entries()).toEqual([]);
  });

  test("texts are cut between characters, groups are limited", () => {
    const tally = makeConnectionTally(() => 0);
    const userGroups = Array.from({ length: 500 }, (_, n) => `g${n}`);
    tally.count(request({ processCmdLine: "😀".repeat(1000), processFullPath: `/${"😀".repeat(4000)}`, userGroups }));
    const [entry] = tally.entries();
    expect(entry?.processCmdLine.isWellFormed()).toBe(true);
    expect(entry?.processCmdLine).toEndWith("...");
    expect([entry?.userGroups.length, [...(entry?.processFullPath ?? "")].length]).toEqual([32, 1024]);
  });

  test("T-21: a caller that varies its arguments neither grows it, nor is lost from the count, nor hides anybody", () => {
    const tally = makeConnectionTally(() => 0, 10);
    tally.count(request({ user: "2000", userName: "backup", processCmdLine: "backup --now" }));
    for (let n = 0; n < 5_000; n++) {
      tally.count(request({ processCmdLine: `curl ${n}`, responseStatus: n % 2 === 0 ? "200 OK" : "403 Forbidden" }));
    }
    const entries = tally.entries();
    expect(entries.length).toBe(12);
    expect(sum(entries)).toBe(5_001);
    expect(entries.find(({ userName }) => userName === "backup")).toMatchObject({ count: 1, processCmdLine: "backup --now" });
    const rests = entries.filter(({ processCmdLine }) => processCmdLine === "other");
    expect(rests.map(({ userName, responseStatus }) => `${userName} ${responseStatus}`)).toEqual(["alice 200 OK", "alice 403 Forbidden"]);
  });

  test("T-21: law: bounded and exact whoever varies what, and no user hides another", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seededRandom(seed);
      let nowMs = 0;
      const tally = makeConnectionTally(() => nowMs, 24);
      const events = 500 + random.below(2_000);
      for (let n = 0; n < events; n++) {
        if (random.oneIn(200)) nowMs += random.below(2 * MINUTE_MS);
        const user = String(1 + random.below(5));
        const [processCmdLine, processFullPath] = [`c ${random.below(400)}`, `/p${random.below(3)}`];
        tally.count(request({ user, userName: `u${user}`, processCmdLine, processFullPath, responseStatus: String(random.below(600)) }));
        // Four entries are no more than the share of the sixth user.
        if (n % 100 === 0) tally.count(request({ user: "quiet", userName: "quiet", processCmdLine: `q ${(n / 100) % 4}` }));
      }
      const entries = tally.entries();
      expect(entries.length, `seed ${seed}`).toBeLessThanOrEqual(24 + 128 + 65);
      expect(sum(entries), `seed ${seed}`).toBe(events + Math.ceil(events / 100));
      const quiet = entries.filter(({ userName }) => userName === "quiet");
      expect(sum(quiet), `seed ${seed}`).toBe(Math.ceil(events / 100));
      expect(
        quiet.every(({ processCmdLine }) => processCmdLine.startsWith("q ")),
        `seed ${seed}`,
      ).toBe(true);
    }
  });
});
