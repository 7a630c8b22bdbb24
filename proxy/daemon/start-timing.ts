// Logs once, in one line, where the time of a start went: from the start of the process until connections are redirected.

import type { Log } from "../core/ports.ts";

export interface StartTiming {
  /** The step that came to its end now. A step counts once; after {@link done} nothing does. */
  mark(step: string): void;
  /** The last step: the line is written. */
  done(step: string): void;
}

/** @param nowMs - milliseconds since the start of the process, with fractions */
export function makeStartTiming(log: Log, nowMs: () => number): StartTiming {
  const marks = new Map<string, number>();
  let logged = false;

  function mark(step: string): void {
    if (!logged && !marks.has(step)) marks.set(step, nowMs());
  }

  return {
    mark,
    done(step) {
      if (logged) return;
      mark(step);
      logged = true;
      log.info("start-timing", { totalMs: round(nowMs()), steps: stepsOf(marks) });
    },
  };
}

/** Each step with what it took: `runtime 13.1`, `listener 2.4`. */
function stepsOf(marks: ReadonlyMap<string, number>): readonly string[] {
  let beforeMs = 0;
  return [...marks].map(([step, atMs]) => {
    const took = `${step} ${round(atMs - beforeMs)}`;
    beforeMs = atMs;
    return took;
  });
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
