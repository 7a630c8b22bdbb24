// The folder of the decision trail: which segments there are, making the next one, removing the oldest. Root's alone: a folder or file
// that another user could have written to is not used.

import { chmodSync, closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SECRET } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";

export interface SegmentFile {
  readonly number: number;
  /** With what was moved aside from it. */
  readonly bytes: number;
}

const NAME = /^segment-([0-9]{10})\.(?:trail|torn)$/;

export function segmentPath(folder: string, number: number): string {
  return join(folder, `segment-${String(number).padStart(10, "0")}.trail`);
}

/** Where the torn end of a segment is kept. */
export function tornPath(folder: string, number: number): string {
  return join(folder, `segment-${String(number).padStart(10, "0")}.torn`);
}

/** Makes the folder with mode 0700 when it is missing, and refuses one that another user owns. */
export function claimFolder(folder: string): Result<void, string> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = lstatSync(folder);
    if (!stat.isDirectory()) return err(`cannot use trail folder "${folder}": found a link or file, want a directory`);
    if (stat.uid !== process.geteuid?.()) return err(`cannot use trail folder "${folder}": owner is uid ${stat.uid}, want root`);
    if ((stat.mode & SECRET) !== 0) chmodSync(folder, 0o700);
    return ok(undefined);
  } catch (error) {
    return err(`cannot use trail folder "${folder}": ${describeError(error)}`);
  }
}

/** Segments in rising order; a number that only has a torn end is not one. */
export function listSegments(folder: string): Result<readonly SegmentFile[], string> {
  try {
    const bytes = new Map<number, number>();
    const whole = new Set<number>();
    for (const name of readdirSync(folder)) {
      const number = Number(NAME.exec(name)?.[1] ?? 0);
      if (number === 0) continue;
      if (name.endsWith(".trail")) whole.add(number);
      bytes.set(number, (bytes.get(number) ?? 0) + (lstatSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0));
    }
    const numbers = [...whole].sort((a, b) => a - b);
    return ok(numbers.map((number) => ({ number, bytes: bytes.get(number) ?? 0 })));
  } catch (error) {
    return err(`cannot list "${folder}": ${describeError(error)}`);
  }
}

/** Best effort: what stays is removed with the next segment. In the background: a file system takes milliseconds for each megabyte. */
export async function removeSegment(folder: string, number: number): Promise<void> {
  for (const path of [segmentPath(folder, number), tornPath(folder, number)]) {
    // What cannot be removed stays in the list, and the bound on the total is tried again.
    await rm(path, { force: true }).catch(() => {});
  }
}

/** Opens a file of the trail, never a link or another user's file; `O_RDONLY` or `O_RDWR`. */
export function openSegment(path: string, flags: number): Result<{ readonly descriptor: number; readonly size: number }, string> {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new Error("found something else, want a regular file");
    return ok({ descriptor, size: stat.size });
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    return err(`cannot open "${path}": ${describeError(error)}`);
  }
}

/** Reads the bytes from an offset on, at most `limit`; fewer when the file ends. */
export function readBytes(descriptor: number, from: number, limit: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(limit);
  let length = 0;
  while (length < limit) {
    const read = readSync(descriptor, bytes, length, limit - length, from + length);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
