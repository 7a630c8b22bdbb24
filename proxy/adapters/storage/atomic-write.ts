// Writes a file so that readers see the old content or the new, never a part, and no other user ever sees more than the mode
// allows: the temporary file is created with its final mode, written, synced and renamed.

import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { errorCode } from "../../core/thrown.ts";

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
  const temporary = temporaryBeside(path);
  let descriptor: number | undefined;
  try {
    // "wx": a file or link that another user placed there is never followed.
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
    removeQuietly(temporary);
    return err(writeErrorFrom(path, error));
  }
}

/** The same without a wait for the disk on the caller's side, which may be in the midst of requests. Not synced. Never rejects. */
export async function writeAtomicallyBeside(path: string, content: string | Uint8Array, mode: number): Promise<Result<void, WriteError>> {
  const temporary = temporaryBeside(path);
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, "wx", mode);
    await file.chmod(mode);
    await file.writeFile(content);
    await file.close();
    file = undefined;
    await rename(temporary, path);
    return ok(undefined);
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    return err(writeErrorFrom(path, error));
  }
}

function temporaryBeside(path: string): string {
  return join(dirname(path), `.${randomBytes(8).toString("hex")}.tmp`);
}

export function writeErrorFrom(path: string, error: unknown): WriteError {
  const code = errorCode(error) ?? "unknown";
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

function removeQuietly(path: string): void {
  try {
    // On a file system that is read-only even what is not there cannot be removed, whatever "force" says.
    rmSync(path, { force: true });
  } catch {
    // The error that brought us here is the one to report.
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // The error that brought us here is the one to report.
  }
}
