// A lock between processes: held through flock(2), so that the kernel releases it when its holder ends, however it ends.

import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { tryLock } from "../native/libc.ts";

const ASK_AGAIN_MS = 20;

/**
 * Takes the lock, or waits for it.
 * @param path - the lock file; made when it is missing and never removed, or two could hold two different files
 * @returns the lock, undefined when another process held it all the time, or in words why it cannot be had
 */
export function takeFileLock(path: string, waitMs: number): Result<Disposable | undefined, string> {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    return err(describeError(error));
  }
  const deadline = performance.now() + waitMs;
  while (!tryLock(descriptor).ok) {
    if (performance.now() >= deadline) {
      closeSync(descriptor);
      return ok(undefined);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ASK_AGAIN_MS);
  }
  try {
    // For people who wonder; nothing depends on it.
    ftruncateSync(descriptor);
    writeSync(descriptor, `${process.pid}\n`, 0);
  } catch {
    // A full disk is reported by the next write that matters.
  }
  return ok({ [Symbol.dispose]: () => closeSync(descriptor) });
}

/** Process that took the lock last, as it said itself; undefined when it said nothing that makes sense. */
export function readLockHolder(path: string): number | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}
