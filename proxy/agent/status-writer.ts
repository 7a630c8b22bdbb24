// When status.json is written: once a minute, shortly after every change, and once more at the end.

import { writeStatusFile } from "../adapters/storage/status-file.ts";
import type { Log } from "../core/ports.ts";

export interface StatusWriterPorts {
  readonly folder: string;
  readonly current: () => unknown;
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
  stop(): void;
}

/** At the latest; usually a poll comes a little before. */
const INTERVAL_MS = 65_000;
const EARLY_MS = 55_000;
const BURST_MS = 50;

export function makeStatusWriter({ folder, current, eachTime, log, monotonicMs }: StatusWriterPorts): StatusWriter {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failure: string | undefined;
  let stopped = false;
  let wroteMs = monotonicMs();

  function write(): void {
    wroteMs = monotonicMs();
    eachTime();
    schedule(INTERVAL_MS);
    const written = writeStatusFile(folder, current());
    failure = written.ok ? undefined : written.error.message;
    if (!written.ok) log.error("status-not-written", { message: written.error.message });
  }

  function schedule(delayMs: number): void {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(write, delayMs);
  }

  return {
    changed: () => schedule(BURST_MS),
    afterPoll() {
      if (!stopped && monotonicMs() - wroteMs >= EARLY_MS) write();
    },
    failure: () => failure,
    stop() {
      stopped = true;
      write();
    },
  };
}
