import { expect, test } from "bun:test";
import type { LogField } from "../core/ports.ts";
import { makeStartTiming } from "./start-timing.ts";

test("one line with what each step took; later marks and steps seen before do not count", () => {
  const lines: [string, Readonly<Record<string, LogField>>][] = [];
  const log = {
    error() {},
    warn() {},
    debug() {},
    info: (event: string, fields: Readonly<Record<string, LogField>>) => void lines.push([event, fields]),
  };
  let nowMs = 12.34;
  const timing = makeStartTiming(log, () => nowMs);
  timing.mark("runtime");
  nowMs = 15;
  timing.mark("listener");
  nowMs = 40.06;
  timing.mark("listener");
  timing.mark("programs");
  nowMs = 51;
  timing.done("redirect");
  timing.mark("late");
  timing.done("redirect");
  expect(lines).toEqual([["start-timing", { totalMs: 51, steps: ["runtime 12.3", "listener 2.7", "programs 25.1", "redirect 10.9"] }]]);
});
