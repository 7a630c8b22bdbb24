import { describe, expect, test } from "bun:test";
import type { Log } from "../core/ports.ts";
import { startWatchdog } from "./watchdog.ts";

function set() {
  const lines: string[] = [];
  const tell = (event: string) => void lines.push(event);
  const log: Log = { error: tell, warn: tell, info: tell, debug: tell };
  const state = { answers: true, stalled: false, fed: 0, changes: 0 };
  const watchdog = startWatchdog(1_000_000, "listening", {
    probe: async () => state.answers,
    isLoopStalled: () => state.stalled,
    alive: () => void (state.fed += 1),
    log,
    changed: () => void (state.changes += 1),
  });
  return { watchdog, state, lines, [Symbol.dispose]: () => watchdog.stop() };
}

describe("startWatchdog", () => {
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
});
