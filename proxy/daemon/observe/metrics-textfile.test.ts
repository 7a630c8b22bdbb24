import { describe, expect, test } from "bun:test";
import { err, ok, type Result } from "../../core/result.ts";
import { makeTextfile, TEXTFILE_INTERVAL_MS } from "./metrics-textfile.ts";

function setUp(result: () => Result<void, { readonly message: string }> = () => ok(undefined)) {
  const state = { nowMs: 0, changes: 0, writes: [] as number[], failures: [] as string[] };
  let due: { readonly atMs: number; readonly run: () => void } | undefined;
  const textfile = makeTextfile({
    write: (_text, done) => {
      state.writes.push(state.nowMs);
      done(result());
    },
    render: () => "",
    changes: () => state.changes,
    failed: (message) => state.failures.push(message),
    monotonicMs: () => state.nowMs,
    later: (ms, run) => {
      due = { atMs: state.nowMs + ms, run };
      return () => {
        due = undefined;
      };
    },
  });
  const pass = (ms: number) => {
    const untilMs = state.nowMs + ms;
    if (due !== undefined && due.atMs <= untilMs) {
      const { atMs, run } = due;
      state.nowMs = atMs;
      due = undefined;
      run();
    }
    state.nowMs = untilMs;
  };
  return {
    state,
    textfile,
    pass,
    waits: () => due !== undefined,
    count: () => {
      state.changes++;
      textfile.touch();
    },
  };
}

describe("makeTextfile", () => {
  test("writes at most every 15 seconds, however much is counted", () => {
    const { state, pass, count } = setUp();
    for (let second = 0; second < 60; second++) {
      count();
      pass(1_000);
    }
    expect(state.writes.length).toBeGreaterThan(2);
    for (const [index, atMs] of state.writes.entries())
      if (index > 0) expect(atMs - (state.writes[index - 1] ?? 0)).toBeGreaterThanOrEqual(TEXTFILE_INTERVAL_MS);
  });

  test("waits for nothing while nothing is counted", () => {
    const { state, pass, count, waits, textfile } = setUp();
    count();
    pass(1_000);
    expect([state.writes.length, waits()]).toEqual([1, false]);
    textfile.touch();
    expect(waits()).toBe(false);
    pass(3_600_000);
    expect(state.writes.length).toBe(1);
  });

  test("a write that fails is told once, and again only after one that worked", () => {
    let works = false;
    const { state, pass, count } = setUp(() => (works ? ok(undefined) : err({ message: "ENOSPC" })));
    for (const next of [false, false, true, false]) {
      works = next;
      count();
      pass(TEXTFILE_INTERVAL_MS);
    }
    expect(state.failures).toEqual(["ENOSPC", "ENOSPC"]);
  });

  test("stop writes what is new and then no more", () => {
    const { state, pass, count, textfile } = setUp();
    count();
    textfile.stop();
    expect(state.writes.length).toBe(1);
    count();
    pass(100_000);
    expect(state.writes.length).toBe(1);
  });
});
