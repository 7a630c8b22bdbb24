import { describe, expect, test } from "bun:test";
import type { Log } from "../core/ports.ts";
import { runStopSteps } from "./stop-steps.ts";

function set() {
  const lines: [event: string, step: unknown][] = [];
  const tell: Log["error"] = (event, fields) => void lines.push([event, fields.step ?? fields.where]);
  const log: Log = { error: tell, warn: tell, info: tell, debug: tell };
  const done: string[] = [];
  const step = (what: string, run: () => unknown = () => {}) => ({
    what,
    run: () => {
      done.push(what);
      return run();
    },
  });
  return { lines, log, done, step };
}

describe("runStopSteps", () => {
  test("one after the other", async () => {
    const { log, done, lines, step } = set();
    let finished = false;
    const slow = step("slow", () =>
      Bun.sleep(20).then(() => {
        finished = true;
      }),
    );
    await runStopSteps([slow, step("next", () => expect(finished).toBe(true))], log);
    expect([done, lines]).toEqual([["slow", "next"], []]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no"))],
  ])("T-17: one that %s is told, and the redirect is still let go", async (_how, run) => {
    const { log, done, lines, step } = set();
    await runStopSteps([step("modules", run), step("programs")], log);
    expect([done, lines]).toEqual([["modules", "programs"], [["internal-error", "stop, modules"]]]);
  });

  test("T-17: one that never ends is told, and the redirect is still let go", async () => {
    const { log, done, lines, step } = set();
    await runStopSteps([step("metrics", () => new Promise(() => {})), step("programs")], log, 30);
    expect([done, lines]).toEqual([["metrics", "programs"], [["stop-step-hangs", "metrics"]]]);
  });
});
