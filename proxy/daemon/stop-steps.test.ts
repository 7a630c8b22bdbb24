import { describe, expect, test } from "bun:test";
import type { Log } from "../core/ports.ts";
import { makeStopSteps } from "./stop-steps.ts";

function set(limitMs?: number) {
  const lines: [event: string, step: unknown][] = [];
  const log: Pick<Log, "error"> = { error: (event, fields) => void lines.push([event, fields.step ?? fields.where]) };
  const done: string[] = [];
  const steps = makeStopSteps(log, limitMs);
  const add = (what: string, run: () => unknown = () => {}, more: { readonly atOnce?: boolean; readonly undo?: () => unknown } = {}) =>
    steps.add({
      what,
      run: () => {
        done.push(what);
        return run();
      },
      ...more,
    });
  const fail = () => {
    throw new Error("no");
  };
  return { lines, done, steps, add, fail };
}

describe("makeStopSteps", () => {
  test("one after the other, the last that was registered first", async () => {
    const { steps, done, lines, add } = set();
    let finished = false;
    add("first made", () => expect(finished).toBe(true));
    add("last made", () =>
      Bun.sleep(20).then(() => {
        finished = true;
      }),
    );
    await steps.stop();
    expect([done, lines]).toEqual([["last made", "first made"], []]);
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
    for (const atOnce of [false, true]) {
      const { steps, done, lines, add } = set();
      add("programs");
      add("modules", run, { atOnce });
      await steps.stop();
      expect([done, lines]).toEqual([["modules", "programs"], [["internal-error", "stop, modules"]]]);
    }
  });

  test.each([false, true])("T-17: one that never ends is told, and the redirect is still let go (at once: %p)", async (atOnce) => {
    const { steps, done, lines, add } = set(30);
    add("programs");
    add("metrics", () => new Promise(() => {}), { atOnce });
    await steps.stop();
    expect([done, lines]).toEqual([["metrics", "programs"], [["stop-step-hangs", "metrics"]]]);
  });

  test("what begins at once begins before the first turn, and is waited for in its own", async () => {
    const { steps, done, lines, add } = set();
    let sent = false;
    add("status", () => expect(sent).toBe(true));
    add(
      "telemetry",
      () =>
        Bun.sleep(20).then(() => {
          sent = true;
        }),
      { atOnce: true },
    );
    add("listener", () => expect(sent).toBe(false));
    await steps.stop();
    expect([done, lines]).toEqual([["telemetry", "listener", "status"], []]);
  });

  test("a stop begins once, and is known from its first moment", async () => {
    const { steps, done, lines, add } = set();
    add("programs", () => expect(steps.isStopping()).toBe(true));
    expect(steps.isStopping()).toBe(false);
    const first = steps.stop();
    expect(steps.isStopping()).toBe(true);
    await Promise.all([first, steps.stop()]);
    expect([done, lines]).toEqual([["programs"], []]);
  });

  test("a failed start undoes what it must, last first, and stops nothing", async () => {
    const { steps, done, add } = set();
    add("programs", undefined, { undo: () => void done.push("programs left") });
    add("status");
    add("polling", undefined, { undo: () => void done.push("polling ended") });
    await steps.undo();
    expect([done, steps.isStopping()]).toEqual([["polling ended", "programs left"], true]);
  });

  test("T-17: what cannot be undone is told, and the rest is undone", async () => {
    const { steps, done, lines, add, fail } = set();
    add("programs", undefined, { undo: () => void done.push("programs left") });
    add("control socket", undefined, { undo: fail });
    await steps.undo();
    expect([done, lines]).toEqual([["programs left"], [["internal-error", "stop, control socket"]]]);
  });
});
