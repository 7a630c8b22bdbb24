import { describe, expect, test } from "bun:test";
import { openSync, read } from "node:fs";
import { makeLane } from "./lane.ts";

type Done = (value: number) => void;
const USER = 1000;
const FAR_MS = 60_000;
const NEAR_MS = 5;

describe("a lane", () => {
  test("runs no more calls at a time than it has places, in order", async () => {
    const lane = makeLane({ places: 3, limitMs: FAR_MS, maxWaiting: 10, perUser: 2 });
    const started: Done[] = [];
    const results = [1, 2, 3, 4].map(() => lane.run<number>(USER, (done) => started.push(done)));
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
      USER,
      (done) => {
        finish = done;
      },
      (value) => released.push(value),
    );
    expect(late).toEqual({ ok: false, error: "late" });
    let ran = false;
    const refused = await lane.run<number>(USER, () => {
      ran = true;
    });
    expect(refused).toEqual({ ok: false, error: "busy" });
    expect(ran).toBe(false);
    finish(7);
    expect(released).toEqual([7]);
    expect(await lane.run<number>(USER, (done) => done(8))).toEqual({ ok: true, value: 8 });
  });

  test("refuses those that wait once every place is held by a call that hangs", async () => {
    const lane = makeLane({ places: 1, limitMs: NEAR_MS, maxWaiting: 10 });
    const first = lane.run<number>(USER, () => {});
    const second = lane.run<number>(USER, () => {});
    expect(await first).toEqual({ ok: false, error: "late" });
    expect((await second).ok).toBe(false);
  });

  test("refuses more than may wait", async () => {
    const lane = makeLane({ places: 1, limitMs: FAR_MS, maxWaiting: 1 });
    const started: Done[] = [];
    const first = lane.run<number>(USER, (done) => started.push(done));
    const second = lane.run<number>(USER, (done) => started.push(done));
    expect(await lane.run<number>(USER, (done) => started.push(done))).toEqual({ ok: false, error: "busy" });
    started[0]?.(1);
    started[1]?.(2);
    expect([await first, await second]).toEqual([
      { ok: true, value: 1 },
      { ok: true, value: 2 },
    ]);
  });
});

describe("users of a lane", () => {
  /** Notes who starts, and ends calls by hand. */
  function watched(options: { places: number; maxWaiting?: number; limitMs?: number; perUser?: number }) {
    const lane = makeLane({ limitMs: FAR_MS, maxWaiting: 100, ...options });
    const started: string[] = [];
    const running = new Map<string, Done>();
    const run = (user: number, name: string) =>
      lane.run<number>(user, (done) => {
        started.push(name);
        running.set(name, done);
      });
    const end = (name: string) => running.get(name)?.(0);
    return { run, end, started };
  }

  test("T-165: a user whose calls hang takes its share of places, not those of others or of root", async () => {
    const { run, started } = watched({ places: 4, limitMs: NEAR_MS, perUser: 1 });
    const hanging = [1, 2, 3].map((n) => run(666, `666 ${n}`));
    expect(await Promise.all(hanging)).toEqual(["late", "busy", "busy"].map((error) => ({ ok: false, error })) as never);
    expect(await run(666, "666 again")).toEqual({ ok: false, error: "busy" });
    for (const user of [7, 8]) void run(user, `${user}`);
    expect(started).toEqual(["666 1", "7", "8"]);
    // All that others may have is taken; root's place is not.
    void run(0, "root");
    expect(started.at(-1)).toBe("root");
  });

  test("T-165: root goes first, the others in turn, however much one of them queues", async () => {
    const { run, end, started } = watched({ places: 2 });
    for (let n = 0; n < 5; n++) void run(666, `666 ${n}`);
    void run(7, "7");
    void run(8, "8");
    void run(0, "root 1");
    void run(0, "root 2");
    expect(started).toEqual(["666 0", "root 1"]);
    end("666 0");
    expect(started.at(-1)).toBe("7");
    end("root 1");
    expect(started.at(-1)).toBe("root 2");
    for (const name of ["7", "8", "666 1"]) end(name);
    expect(started).toEqual(["666 0", "root 1", "7", "root 2", "8", "666 1", "666 2"]);
  });

  test("T-165: in a full queue the newest call of the user with the most gives way, never root's", async () => {
    const { run, end, started } = watched({ places: 1, maxWaiting: 3 });
    void run(1, "first");
    const queued = [1, 2].map((n) => run(666, `666 ${n}`));
    void run(0, "root 1");
    const other = run(7, "7");
    expect(await queued[1]).toEqual({ ok: false, error: "busy" });
    expect(await run(666, "666 3")).toEqual({ ok: false, error: "busy" });
    void run(0, "root 2");
    for (const name of ["first", "root 1", "root 2", "666 1", "7"]) end(name);
    expect(started.slice(0, 3)).toEqual(["first", "root 1", "root 2"]);
    // One of the two gave way to root.
    expect([await queued[0], await other].filter((result) => result?.ok).length).toBe(1);
  });

  test("calls that return at once leave no stack behind", async () => {
    const lane = makeLane({ places: 1, limitMs: FAR_MS, maxWaiting: 20_000 });
    let first: Done = () => {};
    const all = [lane.run<number>(USER, (done) => (first = done))];
    for (let n = 0; n < 20_000; n++) all.push(lane.run<number>(USER, (done) => done(n)));
    first(-1);
    expect((await Promise.all(all)).every(({ ok }) => ok)).toBe(true);
  });

  test("a call that returned while the event loop stood still is not late", async () => {
    const lane = makeLane({ places: 2, limitMs: 30, maxWaiting: 4 });
    const answered = lane.run<number>(1000, (done) => {
      read(openSync("/proc/self/stat", "r"), Buffer.alloc(64), 0, 64, 0, (_failure, length) => done(length));
    });
    const until = performance.now() + 120;
    while (performance.now() < until);
    expect((await answered).ok).toBe(true);
  });
});
