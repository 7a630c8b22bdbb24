// When status.json is written: once a minute, shortly after every change, and once more at the end. Written asynchronously: a disk
// that stalls delays the status and nothing else.

import type { Log } from "../../core/ports.ts";
import type { Result } from "../../core/result.ts";

export interface StatusWriterPorts {
  readonly current: () => unknown;
  readonly write: (status: unknown) => Promise<Result<void, { readonly message: string }>>;
  /** Runs with every minute's write, so that what is due each minute needs no timer of its own. */
  readonly eachTime: () => void;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

export interface StatusWriter {
  /** Changes come in bursts (rules, key, redirect within one poll): one write serves them all. */
  changed(): void;
  /** The agent is awake anyway: a write that is due before long is done now, and the timer sleeps on. */
  afterPoll(): void;
  /** Why the last write failed; undefined when it did not. */
  failure(): string | undefined;
  /** Writes for the last time. */
  stop(): Promise<void>;
}

/** At the latest; usually a poll comes a little before. */
const INTERVAL_MS = 65_000;
const EARLY_MS = 55_000;
const BURST_MS = 50;
/** However often something changes. */
const LEAST_INTERVAL_MS = 250;

export function makeStatusWriter({ current, write, eachTime, log, monotonicMs }: StatusWriterPorts): StatusWriter {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let dueMs = Number.POSITIVE_INFINITY;
  let failure: string | undefined;
  let stopped = false;
  /** As if long enough ago: the first change is written at once. */
  let wroteMs = monotonicMs() - LEAST_INTERVAL_MS;
  let writing: Promise<void> | undefined;

  function turn(): void {
    // A disk that is slow has one write at a time; what changes meanwhile is in the next.
    if (writing !== undefined) {
      schedule(LEAST_INTERVAL_MS);
      return;
    }
    eachTime();
    schedule(INTERVAL_MS);
    writing = writeNow().finally(() => {
      writing = undefined;
    });
  }

  async function writeNow(): Promise<void> {
    wroteMs = monotonicMs();
    const written = await write(current());
    failure = written.ok ? undefined : written.error.message;
    if (!written.ok) log.error("status-not-written", { message: written.error.message });
  }

  function schedule(delayMs: number): void {
    clearTimeout(timer);
    if (stopped) return;
    dueMs = monotonicMs() + delayMs;
    timer = setTimeout(turn, delayMs);
  }

  return {
    changed() {
      const nowMs = monotonicMs();
      const wantedMs = Math.max(nowMs + BURST_MS, wroteMs + LEAST_INTERVAL_MS);
      // Changes without end must not put it off without end.
      if (wantedMs < dueMs) schedule(wantedMs - nowMs);
    },
    afterPoll() {
      if (!stopped && monotonicMs() - wroteMs >= EARLY_MS) turn();
    },
    failure: () => failure,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await writing;
      await writeNow();
    },
  };
}
