import { describe, expect, test } from "bun:test";
import { makePollLoop } from "./poll-loop.ts";

const tick = () => Bun.sleep(1);

describe("makePollLoop", () => {
  test("asks again after the interval, and sooner when woken", async () => {
    const polls: number[] = [];
    let nowMs = 0;
    const loop = makePollLoop({
      poll: async (startedMs) => {
        polls.push(startedMs);
      },
      intervalMs: () => 3_600_000,
      monotonicMs: () => nowMs,
    });
    loop.start();
    await tick();
    nowMs = 2_000;
    loop.wake();
    await tick();
    await tick();
    expect(polls).toEqual([0, 2_000]);
    loop.stop();
  });

  test("a wake during a turn leads to another turn, since the one under way may be too old", async () => {
    const ends: (() => void)[] = [];
    let nowMs = 0;
    const loop = makePollLoop({
      poll: () => new Promise((resolve) => ends.push(() => resolve())),
      intervalMs: () => 3_600_000,
      monotonicMs: () => nowMs,
    });
    loop.start();
    loop.wake();
    await tick();
    expect(ends).toHaveLength(1);
    nowMs = 1_500;
    ends[0]?.();
    await tick();
    await tick();
    expect(ends).toHaveLength(2);
    loop.stop();
  });

  test("T-95: however often it is woken, turns begin a second apart", async () => {
    let polls = 0;
    const loop = makePollLoop({
      poll: async () => {
        polls++;
      },
      intervalMs: () => 3_600_000,
      monotonicMs: () => performance.now(),
    });
    const beganMs = performance.now();
    loop.start();
    for (let i = 0; i < 50; i++) {
      loop.wake();
      await tick();
    }
    expect(polls).toBeLessThanOrEqual(1 + Math.floor((performance.now() - beganMs) / 1_000));
    loop.stop();
  });

  test("stopped, it turns no more, also when a turn was under way", async () => {
    let polls = 0;
    let end = () => {};
    const loop = makePollLoop({
      poll: () => {
        polls++;
        return new Promise((resolve) => {
          end = resolve;
        });
      },
      intervalMs: () => 0,
      monotonicMs: () => performance.now(),
    });
    loop.start();
    loop.stop();
    end();
    await Bun.sleep(5);
    expect([polls, loop.stalledMs()]).toEqual([1, 0]);
  });

  test("a turn that never ends, and one that never begins, are told", async () => {
    let nowMs = 0;
    const hung = makePollLoop({ poll: () => new Promise(() => {}), intervalMs: () => 15_000, monotonicMs: () => nowMs });
    hung.start();
    nowMs = 89_999;
    expect(hung.stalledMs()).toBe(0);
    nowMs = 90_000;
    expect(hung.stalledMs()).toBe(90_000);

    nowMs = 0;
    const idle = makePollLoop({ poll: async () => {}, intervalMs: () => 15_000, monotonicMs: () => nowMs });
    idle.start();
    await tick();
    nowMs = 15_000 + 89_000;
    expect(idle.stalledMs()).toBe(0);
    nowMs = 15_000 + 95_000;
    expect(idle.stalledMs()).toBe(95_000);
    idle.stop();
  });
});
