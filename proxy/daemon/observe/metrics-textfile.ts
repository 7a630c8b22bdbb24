// Keeps a metrics file for node_exporter up to date: rate limited, only after something was counted, and without a timer of its own
// while nothing happens.

import type { Result } from "../../core/result.ts";

export interface TextfilePorts {
  /** Writes it in its own time; `done` may come much later. */
  readonly write: (text: string, done: (written: Result<void, { readonly message: string }>) => void) => void;
  readonly render: () => string;
  /** Rises with everything that is counted. */
  readonly changes: () => number;
  readonly failed: (message: string) => void;
  readonly monotonicMs: () => number;
  /** Calls back once after the time; returns how to call it off. */
  readonly later: (ms: number, run: () => void) => () => void;
}

export interface Textfile {
  /** Something may have been counted. Costs next to nothing when a write is due anyway. */
  touch(): void;
  stop(): void;
}

export const TEXTFILE_INTERVAL_MS = 15_000;
/** Waits for a burst to end, so that the first write after a rest shows it. */
const SETTLE_MS = 250;

export function makeTextfile(ports: TextfilePorts): Textfile {
  let written = -1;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let failing = false;
  let callOff: (() => void) | undefined;
  let stopped = false;

  function write(): void {
    callOff = undefined;
    writtenMs = ports.monotonicMs();
    written = ports.changes();
    ports.write(ports.render(), (result) => {
      // Logged once, not every 15 seconds.
      if (!result.ok && !failing) ports.failed(result.error.message);
      failing = !result.ok;
    });
  }

  return {
    touch() {
      if (callOff !== undefined || stopped || ports.changes() === written) return;
      const waitMs = writtenMs + TEXTFILE_INTERVAL_MS - ports.monotonicMs();
      callOff = ports.later(Math.max(waitMs, SETTLE_MS), write);
    },
    stop() {
      stopped = true;
      callOff?.();
      if (ports.changes() !== written) write();
    },
  };
}
