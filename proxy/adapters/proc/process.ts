// One process in /proc, held open. A pid is only a number: what is read through the held folder is always of the same
// process, and fails once that process is gone, even when its number belongs to another by then. Opening is of kernel
// memory and does not wait; what is read takes locks that callers can hold, so it is read on helper threads.

import { closeSync, openSync, read } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import type { Lane, LaneFailure } from "./lane.ts";
import { O_CLOEXEC, O_PATH } from "./libc.ts";

const O_DIRECTORY = 0o200000;
/** USER_HZ, the unit of times in /proc: 100 per second on every Linux on x86-64 and arm64, whatever CONFIG_HZ says. */
const NANOSECONDS_PER_TICK = 10_000_000n;
/** /proc/PID/stat has some 50 numbers of at most 20 digits. */
const STAT_BYTES = 2048;
/** Field 22 of proc(5), counted from field 3, the first after the command name. */
const START_TIME_INDEX = 22 - 3;

export interface ProcessHandle extends Disposable {
  readonly pid: number;
  /** Folder of the process, as a path without a slash at its end. */
  readonly folder: string;
}

/** Holds the process with this pid. The caller must still check its start time: the pid may have been reused already. */
export function openProcess(pid: number): Result<ProcessHandle, string> {
  let descriptor: number;
  try {
    descriptor = openSync(`/proc/${pid}`, O_PATH | O_DIRECTORY | O_CLOEXEC);
  } catch {
    return err(`process ${pid} has exited`);
  }
  return ok({ pid, folder: `/proc/self/fd/${descriptor}`, [Symbol.dispose]: () => closeSync(descriptor) });
}

/**
 * Compares the start time of a held process with the one pinned at connect.
 * The file is that of the first thread: the one of the whole process adds up all threads, and the caller chooses how many.
 * Kernels before 6.8 let other readers hold its lock for as long as that takes, so that it is not read on the event loop.
 * @param userId - whose share of the lane it takes
 * @param startTimeNs - nanoseconds since boot
 */
export async function checkStartTime(
  process: ProcessHandle,
  userId: number,
  startTimeNs: bigint,
  lane: Lane,
): Promise<Result<void, string>> {
  const bytes = Buffer.allocUnsafe(STAT_BYTES);
  const length = await readStart(`${process.folder}/task/${process.pid}/stat`, bytes, userId, lane);
  if (!length.ok) return err(`the start time of process ${process.pid} could not be read in time`);
  if (length.value === undefined) return err(`process ${process.pid} has exited`);
  const found = parseStartTicks(bytes.toString("latin1", 0, length.value));
  if (found === undefined) return err(`cannot read the start time of process ${process.pid}`);
  // The kernel divides the same nanoseconds by the same tick and drops the rest: equal processes give equal ticks.
  const want = startTimeNs / NANOSECONDS_PER_TICK;
  return found === want
    ? ok(undefined)
    : err(`process ${process.pid} is another one now: it started at tick ${found}, the caller at ${want}`);
}

/**
 * Start time in clock ticks since boot from the text of /proc/PID/stat, or undefined when it is not such a text.
 * The command name stands in parentheses and may hold anything, parentheses and blanks included; no field after it can.
 */
export function parseStartTicks(stat: string): bigint | undefined {
  const nameEnd = stat.lastIndexOf(")");
  if (nameEnd < 0) return undefined;
  const field = stat.slice(nameEnd + 2).split(" ", START_TIME_INDEX + 1)[START_TIME_INDEX];
  return field !== undefined && /^\d{1,20}$/.test(field) ? BigInt(field) : undefined;
}

/**
 * Reads the beginning of a /proc file into `target`, by one read on a helper thread: as much as fits, of files that the kernel
 * makes in one piece.
 * @returns the number of bytes, or undefined when it cannot be read
 */
export function readStart(path: string, target: Uint8Array, userId: number, lane: Lane): Promise<Result<number | undefined, LaneFailure>> {
  return lane.run<number | undefined>(userId, (done) => startRead(path, target, done));
}

/** Opens and closes within the call, so that a read that never starts holds nothing. */
function startRead(path: string, target: Uint8Array, done: (length: number | undefined) => void): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    done(undefined);
    return;
  }
  read(descriptor, target, 0, target.length, 0, (failure, length) => {
    closeSync(descriptor);
    done(failure === null ? length : undefined);
  });
}
