// The stack of what a stop has to do: a step is registered where the thing is made, and the last one registered has the first turn.
// It continues past any step that fails or hangs, because the last steps remove the redirect: an agent that never ends would leave
// connections queued in a listening socket that nothing accepts from.

import type { Log } from "../core/ports.ts";
import { describeDefect } from "../core/thrown.ts";

export interface StopStep {
  readonly what: string;
  readonly run: () => unknown;
  /** Begins with the stop, before any step has its turn, and is waited for in its turn: for what begins work by itself. */
  readonly atOnce?: boolean;
  /** For a start that fails later on: takes back what the end of the process alone would leave behind. */
  readonly undo?: () => unknown;
}

export interface StopSteps {
  add(step: StopStep): void;
  /** True from the first moment of a stop, or of undoing a failed start: whatever is under way must put nothing in effect any more. */
  readonly isStopping: () => boolean;
  /** Stops all that was registered, last first. Only the first call does something. Never rejects. */
  stop(): Promise<void>;
  /** The start failed: undoes what was registered, last first. Never rejects. */
  undo(): Promise<void>;
}

/** More than any step takes that works; all of them together stay below what the service manager waits. */
const STEP_LIMIT_MS = 8_000;

export function makeStopSteps(log: Pick<Log, "error">, limitMs = STEP_LIMIT_MS): StopSteps {
  const steps: StopStep[] = [];
  let stopping = false;

  function fail(what: string, error: unknown): void {
    const message = describeDefect(error);
    log.error("internal-error", { where: `stop, ${what}`, message });
  }

  /** Waits for one step, but not for longer than the limit. */
  async function takeTurn(what: string, run: () => unknown): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(resolve, limitMs, "late");
    try {
      if ((await Promise.race([run(), late])) === "late") log.error("stop-step-hangs", { step: what, limitMs });
    } catch (error) {
      fail(what, error);
    }
    clearTimeout(timer);
  }

  /** Starts the work now; what it comes to is for the turn to find out. */
  function begin({ what, run, atOnce }: StopStep): StopStep {
    if (atOnce !== true) return { what, run };
    const begun = (async () => run())().catch((error: unknown) => fail(what, error));
    return { what, run: () => begun };
  }

  return {
    add(step) {
      steps.push(step);
    },
    isStopping: () => stopping,
    async stop() {
      if (stopping) return;
      stopping = true;
      for (const { what, run } of steps.toReversed().map(begin)) await takeTurn(what, run);
    },
    async undo() {
      stopping = true;
      for (const { what, undo } of steps.toReversed()) if (undo !== undefined) await takeTurn(what, undo);
    },
  };
}
