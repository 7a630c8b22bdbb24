// Writes lines in the background, never blocking and bounded in memory: a reader or a disk that stalls costs lines, not requests.

import { write as writeFile } from "node:fs";
import { errorCode } from "../../core/thrown.ts";

/** Enough for a burst of some ten thousand requests while the journal is busy. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/** Between two writes: under load some hundred lines then share one, and none is late for a reader. */
const REST_MS = 10;

export interface LineSink {
  /** Takes one line without its newline. */
  write(line: string): void;
  /** Resolves when all that was taken has been written, or cannot be. */
  flush(): Promise<void>;
}

/**
 * Writes lines to a descriptor in the background. One that is gone (EPIPE, full disk) loses them; the agent itself goes on.
 * @param renderLost - the line that reports how many were dropped
 */
export function makeDescriptorSink(descriptor: number, renderLost: (count: number) => string): LineSink {
  return makeBackgroundSink((bytes) => writeAll(descriptor, bytes), renderLost, MAX_QUEUED_BYTES);
}

function writeAll(descriptor: number, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const writeFrom = (from: number): void => {
      writeFile(descriptor, bytes, from, bytes.length - from, null, (error, written) => {
        if (error !== null && errorCode(error) === "EAGAIN") setTimeout(() => writeFrom(from), 10);
        else if (error === null && from + written < bytes.length) writeFrom(from + written);
        else resolve(true);
      });
    };
    writeFrom(0);
  });
}

/**
 * Gathers lines and writes them many at a time. When writing stalls, lines are dropped and counted; memory stays bounded.
 * @param writeOut - writes all of it, or says that it could not; must not reject
 * @param renderLost - the line that reports how many were dropped
 */
export function makeBackgroundSink(
  writeOut: (bytes: Buffer) => Promise<boolean>,
  renderLost: (count: number) => string,
  maxQueuedBytes: number,
): LineSink {
  let queued: string[] = [];
  let queuedBytes = 0;
  let dropped = 0;
  let state: "idle" | "writing" | "resting" = "idle";
  let rest: ReturnType<typeof setTimeout> | undefined;
  let waiters: (() => void)[] = [];

  function pump(): void {
    if (state === "writing") return;
    clearTimeout(rest);
    state = "idle";
    if (queued.length === 0) {
      for (const waiter of waiters.splice(0)) waiter();
      return;
    }
    state = "writing";
    const lost = dropped;
    dropped = 0;
    const lines = lost + queued.length;
    if (lost > 0) queued.push(renderLost(lost));
    const text = `${queued.join("\n")}\n`;
    queued = [];
    queuedBytes = 0;
    void writeOut(Buffer.from(text, "utf8")).then((written) => settle(written ? 0 : lines));
  }

  function settle(lost: number): void {
    dropped += lost;
    state = "resting";
    if (waiters.length > 0) pump();
    else rest = setTimeout(pump, REST_MS);
  }

  return {
    write(line) {
      if (queuedBytes > maxQueuedBytes) {
        dropped++;
        return;
      }
      queued.push(line);
      queuedBytes += line.length;
      if (queued.length === 1 && state === "idle") queueMicrotask(pump);
    },
    flush: () =>
      new Promise((resolve) => {
        if (state !== "writing" && queued.length === 0) return resolve();
        waiters = [...waiters, resolve];
        pump();
      }),
  };
}
