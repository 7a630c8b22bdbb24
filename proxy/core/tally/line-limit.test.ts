import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { LINE_LIMITS, type LineToWrite, makeLineLimit, type Repeats } from "./line-limit.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** A log under the limit that remembers what was written, and what it stands for. */
function makeTestLog() {
  let nowMs = 0;
  const limit = makeLineLimit(() => nowMs);
  const written: { readonly user: string; readonly key: string; readonly repeats: Repeats }[] = [];
  const ask = (user: string, key: string, outcome = "200") => {
    const write = (repeats: Repeats) => written.push({ user, key, repeats });
    const line: LineToWrite = { user, key, outcome, keep: () => write };
    if (limit.admit(line)) write({});
  };
  const counted = (user: string) =>
    written.filter((line) => line.user === user).reduce((sum, { repeats: { repeated = 1, unlisted = 0 } }) => sum + repeated + unlisted, 0);
  return { ask, written, counted, limit, passMs: (ms: number) => (nowMs += ms) };
}

describe("makeLineLimit", () => {
  test("equal lines: ten, then one for the rest when ten seconds are over", () => {
    const { ask, written, limit, passMs } = makeTestLog();
    for (let n = 0; n < 250; n++) {
      ask("alice", "a");
      passMs(39);
    }
    expect(written.length).toBe(10);
    expect(limit.settle()).toBe(250);
    passMs(250);
    expect(limit.settle()).toBe(undefined);
    expect(written.length).toBe(11);
    expect(written.at(-1)?.repeats).toEqual({ repeated: 240 });
  });

  test("the next window begins with lines again, after what is owed", () => {
    const { ask, written, passMs } = makeTestLog();
    for (let n = 0; n < 12; n++) ask("alice", "a");
    passMs(10_000);
    ask("alice", "a");
    expect(written.slice(9).map(({ repeats }) => repeats)).toEqual([{}, { repeated: 2 }, {}]);
  });

  test("what differs has lines of its own", () => {
    const { ask, written } = makeTestLog();
    for (let n = 0; n < 100; n++) ask("alice", `a${n}`);
    expect(written.length).toBe(100);
  });

  test("T-90: who asks for ever new things is counted by outcome, and every outcome is told", () => {
    const { ask, written, counted, limit } = makeTestLog();
    for (let n = 0; n < 20_000; n++) ask("mallory", `m${n}`, n % 1000 === 999 ? "403" : "200");
    expect(written.length).toBeLessThanOrEqual(LINE_LIMITS.perUser + 2 * LINE_LIMITS.equal);
    limit.settle(true);
    expect(counted("mallory")).toBe(20_000);
    expect(written.filter(({ repeats }) => repeats.unlisted !== undefined).length).toBe(2);
  });

  test("T-90: a flood of one user takes no line from another", () => {
    const { ask, written, counted } = makeTestLog();
    for (let n = 0; n < 50_000; n++) {
      ask("mallory", `m${n % 3000}`);
      if (n % 5_000 === 0) ask("alice", "denied", "403");
    }
    expect(counted("alice")).toBe(10);
    expect(written.filter(({ user }) => user === "alice").map(({ repeats }) => repeats)).toEqual(Array(10).fill({}));
  });

  test("T-90: law: every request is counted by exactly one line, and lines are bounded", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const { ask, written, counted, limit, passMs } = makeTestLog();
      const truth = new Map<string, number>();
      const [users, keys] = [1 + random.below(6), 1 + random.below(random.oneIn(2) ? 3 : 2_000)];
      let seconds = 0;
      for (let n = 0; n < 4_000; n++) {
        const user = `u${random.below(users)}`;
        truth.set(user, (truth.get(user) ?? 0) + 1);
        ask(user, `k${random.below(keys)}`, `o${random.below(3)}`);
        if (random.oneIn(50)) {
          const ms = random.below(700);
          passMs(ms);
          seconds += ms / 1000;
        }
        if (random.oneIn(100)) limit.settle();
      }
      limit.settle(true);
      for (const [user, count] of truth) expect(counted(user), `seed ${seed}`).toBe(count);
      // In each window: the user's lines, ten for each outcome, one for each that was told together.
      const perWindow = LINE_LIMITS.perUser + 3 * LINE_LIMITS.equal + LINE_LIMITS.perUser / LINE_LIMITS.equal + 3;
      expect(written.length, `seed ${seed}`).toBeLessThanOrEqual(users * perWindow * (seconds / 10 + 2));
    }
  });

  test("T-90: more users than are remembered stay bounded and counted", () => {
    const { ask, written, limit } = makeTestLog();
    for (let n = 0; n < 30_000; n++) ask(`u${n % 3_000}`, "a");
    limit.settle(true);
    expect(written.reduce((sum, { repeats: { repeated = 1, unlisted = 0 } }) => sum + repeated + unlisted, 0)).toBe(30_000);
  });
});
