// Shutdown in order. It continues past any step that fails or hangs, because the last steps remove the redirect: an agent that
// never ends would leave connections queued in a listening socket that nothing accepts from.

import type { Log } from "../core/ports.ts";

export interface StopStep {
  readonly what: string;
  readonly run: () => unknown;
}

/** More than any step takes that works; all of them together stay below what the service manager waits. */
const STEP_LIMIT_MS = 8_000;

/** Runs one step after the other, also after one that threw or took too long. Never rejects. */
export async function runStopSteps(steps: readonly StopStep[], log: Log, limitMs = STEP_LIMIT_MS): Promise<void> {
  for (const { what, run } of steps) {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(resolve, limitMs, "late");
    try {
      if ((await Promise.race([run(), late])) === "late") log.error("stop-step-hangs", { step: what, limitMs });
    } catch (error) {
      log.error("internal-error", {
        where: `stop, ${what}`,
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
    clearTimeout(timer);
  }
}
