// Writes a file so that readers see the old content or the new, never a part, and nobody else ever sees more than the mode
// allows: the temporary file is created with its final mode, written, synced and renamed.

import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";

export interface WriteError {
  readonly path: string;
  /** errno name such as `ENOSPC`. */
  readonly code: string;
  readonly message: string;
}

/**
 * @param mode - permission bits, set at creation; the umask is not consulted twice because the mode is applied exactly
 * @param sync - wait until the content is on disk (keys); otherwise only atomicity is promised
 */
export function writeAtomically(path: string, content: string | Uint8Array, mode: number, sync: boolean): Result<void, WriteError> {
  const temporary = join(dirname(path), `.${randomBytes(8).toString("hex")}.tmp`);
  let descriptor: number | undefined;
  try {
    // "wx": a file or link that somebody placed there is never followed.
    descriptor = openSync(temporary, "wx", mode);
    // The umask only takes away at creation; what others are to read they may read from here on.
    fchmodSync(descriptor, mode);
    const bytes = typeof content === "string" ? Buffer.from(content, "utf8") : content;
    for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
    if (sync) fsyncSync(descriptor);
    closeSync(descriptor);
    descriptor = undefined;
    renameSync(temporary, path);
    if (sync) syncFolder(dirname(path));
    return ok(undefined);
  } catch (error) {
    if (descriptor !== undefined) closeQuietly(descriptor);
    rmSync(temporary, { force: true });
    return err(writeErrorFrom(path, error));
  }
}

export function writeErrorFrom(path: string, error: unknown): WriteError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  return { path, code, message: `cannot write "${path}": ${code}${error instanceof Error ? ` (${error.message})` : ""}` };
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // The error that brought us here is the one to report.
  }
}
