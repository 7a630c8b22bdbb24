import { describe, expect, test } from "bun:test";
import { until } from "../../../test/support/until.ts";
import type { Log } from "../../core/ports.ts";
import { makeWatchdog } from "./watchdog.ts";

function set(watchdogMs = 1_000_000) {
  const lines: string[] = [];
  const tell = (event: string) => void lines.push(event);
  const log: Log = { error: tell, warn: tell, info: tell, debug: tell };
  const state = { answers: true, stalled: false, fed: 0, changes: 0, nowMs: 0 };
  const watchdog = makeWatchdog(watchdogMs, "listening", {
    probe: async () => state.answers,
    isLoopStalled: () => state.stalled,
    alive: () => void (state.fed += 1),
    log,
    changed: () => void (state.changes += 1),
    monotonicMs: () => state.nowMs,
  });
  watchdog.start();
  return { watchdog, state, lines, [Symbol.dispose]: () => watchdog.stop() };
}

describe("makeWatchdog", () => {
  test("feeds the service manager while the listener answers and the loop turns", async () => {
    using one = set();
    await one.watchdog.look();
    await one.watchdog.look();
    expect([one.state.fed, one.state.changes, one.lines]).toEqual([2, 0, []]);
    expect(one.watchdog.part.report()).toMatchObject({ health: "ok", message: "listening" });
  });

  test.each([
    ["the listener does not answer a connection", { answers: false }],
    ["the loop that follows the host hangs", { stalled: true }],
  ])("does not when %s, says so once, and takes it back", async (message, trouble) => {
    using one = set();
    Object.assign(one.state, trouble);
    await one.watchdog.look();
    await one.watchdog.look();
    expect([one.state.fed, one.lines]).toEqual([0, ["agent-hangs"]]);
    expect(one.watchdog.part.report()).toMatchObject({ health: "failed", message });
    Object.assign(one.state, { answers: true, stalled: false });
    await one.watchdog.look();
    expect([one.state.fed, one.lines]).toEqual([1, ["agent-hangs", "agent-alive"]]);
  });

  test("leans on the polls: one look in three polls of 15 s, none of its own timer", async () => {
    using one = set(120_000);
    for (let poll = 1; poll <= 12; poll += 1) {
      one.state.nowMs = poll * 15_050;
      one.watchdog.afterPoll();
      await Promise.resolve();
    }
    expect(one.state.fed).toBe(4);
  });

  test("without polls the timer looks, and a stopped one does not", async () => {
    using one = set(40);
    await until("it is fed by the timer", () => one.state.fed >= 2);
    one.watchdog.stop();
    one.state.nowMs = 1_000_000;
    one.watchdog.afterPoll();
    await one.watchdog.look();
    const { fed } = one.state;
    await Bun.sleep(60);
    expect(one.state.fed).toBe(fed);
  });
});
