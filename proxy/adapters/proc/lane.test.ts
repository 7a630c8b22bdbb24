import { describe, expect, test } from "bun:test";
import { makeLane } from "./lane.ts";

type Done = (value: number) => void;
const FAR_MS = 60_000;
const NEAR_MS = 5;

describe("a lane", () => {
  test("runs no more calls at a time than it has places, in order", async () => {
    const lane = makeLane({ places: 2, limitMs: FAR_MS, maxWaiting: 10 });
    const started: Done[] = [];
    const results = [1, 2, 3, 4].map(() => lane.run<number>((done) => started.push(done)));
    expect(started.length).toBe(2);
    started[1]?.(20);
    expect(started.length).toBe(3);
    for (const [index, finish] of started.entries()) if (index !== 1) finish(index * 10 + 10);
    started[3]?.(40);
    expect(await Promise.all(results)).toEqual([10, 20, 30, 40].map((value) => ({ ok: true, value })));
  });

  test("gives up on a call that hangs, and releases what it returns later", async () => {
    const lane = makeLane({ places: 1, limitMs: NEAR_MS, maxWaiting: 10 });
    let finish: Done = () => {};
    const released: number[] = [];
    const late = await lane.run<number>(
      (done) => {
        finish = done;
      },
      (value) => released.push(value),
    );
    expect(late).toEqual({ ok: false, error: "late" });
    let ran = false;
    const refused = await lane.run<number>(() => {
      ran = true;
    });
    expect(refused).toEqual({ ok: false, error: "busy" });
    expect(ran).toBe(false);
    finish(7);
    expect(released).toEqual([7]);
    expect(await lane.run<number>((done) => done(8))).toEqual({ ok: true, value: 8 });
  });

  test("refuses those that wait once every place is held by a call that hangs", async () => {
    const lane = makeLane({ places: 1, limitMs: NEAR_MS, maxWaiting: 10 });
    const first = lane.run<number>(() => {});
    const second = lane.run<number>(() => {});
    expect(await first).toEqual({ ok: false, error: "late" });
    expect((await second).ok).toBe(false);
  });

  test("refuses more than may wait", async () => {
    const lane = makeLane({ places: 1, limitMs: FAR_MS, maxWaiting: 1 });
    const started: Done[] = [];
    const first = lane.run<number>((done) => started.push(done));
    const second = lane.run<number>((done) => started.push(done));
    expect(await lane.run<number>((done) => started.push(done))).toEqual({ ok: false, error: "busy" });
    started[0]?.(1);
    started[1]?.(2);
    expect([await first, await second]).toEqual([
      { ok: true, value: 1 },
      { ok: true, value: 2 },
    ]);
  });
});
