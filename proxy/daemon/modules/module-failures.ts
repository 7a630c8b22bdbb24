// The failures of one module, logged with a rate limit: an error line at once and then at most one in ten seconds, each with the
// number since the last; and whether it fails so often that the whole status must say so.

import type { Log } from "../../core/ports.ts";

export interface FailureCause {
  readonly kind: string;
  /** One line for people. */
  readonly message: string;
}

export interface FailureRecord {
  add(cause: FailureCause): void;
  /** Logs what was held back, when it is time. */
  flush(): void;
  count(): number;
  last(): { readonly cause: FailureCause; readonly at: string } | undefined;
  /** It failed at least three times in five minutes. */
  keepsFailing(nowMs: number): boolean;
}

const LINE_INTERVAL_MS = 10_000;
const FAILING_COUNT = 3;
const FAILING_WINDOW_MS = 5 * 60_000;

export interface FailurePorts {
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
  readonly changed: () => void;
}

export function makeFailureRecord(name: string, ports: FailurePorts): FailureRecord {
  let count = 0;
  let unlogged = 0;
  let loggedMs = Number.NEGATIVE_INFINITY;
  let last: { readonly cause: FailureCause; readonly at: Date } | undefined;
  /** Of the latest failures, oldest first. */
  let recentMs: readonly number[] = [];

  function logFailures(): void {
    if (unlogged === 0 || last === undefined || ports.monotonicMs() - loggedMs < LINE_INTERVAL_MS) return;
    const { kind, message } = last.cause;
    ports.log.error("module-failed", { module: name, cause: kind, message, failures: unlogged, failuresSinceLoad: count });
    loggedMs = ports.monotonicMs();
    unlogged = 0;
    ports.changed();
  }

  return {
    add(cause) {
      count++;
      unlogged++;
      // The cause of a failure is more useful than the fact that the module was not called afterwards.
      if (cause.kind !== "not-asked" || last === undefined) last = { cause, at: ports.now() };
      recentMs = [...recentMs.slice(1 - FAILING_COUNT), ports.monotonicMs()];
      logFailures();
    },
    flush: logFailures,
    count: () => count,
    last: () => (last === undefined ? undefined : { cause: last.cause, at: last.at.toISOString() }),
    keepsFailing: (nowMs) => recentMs.length === FAILING_COUNT && nowMs - (recentMs[0] ?? 0) < FAILING_WINDOW_MS,
  };
}
