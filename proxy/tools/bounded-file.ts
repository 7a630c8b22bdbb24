// Reads whole files named on a command line, and standard input, up to a limit: never more than that is held.

import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { err, ok, type Result } from "../core/result.ts";
import { describeError, errorCode } from "../core/thrown.ts";

const CHUNK_BYTES = 64 * 1024;

/**
 * @param path - "-" is standard input
 * @returns the bytes, or why not, in words
 */
export function readBoundedFile(path: string, maxBytes: number): Result<Uint8Array, string> {
  let descriptor: number | undefined;
  try {
    descriptor = path === "-" ? 0 : openSync(path, "r");
    if (fstatSync(descriptor).isDirectory()) return err("found a folder, want a file");
    const parts: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const length = readChunk(descriptor, chunk);
      if (length === 0) return ok(Buffer.concat(parts));
      total += length;
      if (total > maxBytes) return err(`found more than ${maxBytes} bytes, want at most that`);
      parts.push(chunk.subarray(0, length));
    }
  } catch (error) {
    return err(describe(error));
  } finally {
    if (descriptor !== undefined && descriptor !== 0) closeSync(descriptor);
  }
}

/**
 * Paths of all files of that name in a folder and the folders in it, sorted; links to folders are not followed.
 * @param maxFiles - more is an error
 */
export function findFiles(folder: string, name: string, maxFiles: number): Result<readonly string[], string> {
  const found: string[] = [];
  const waiting = [folder];
  try {
    for (const each of waiting) {
      for (const entry of readdirSync(each, { withFileTypes: true })) {
        if (entry.isDirectory()) waiting.push(join(each, entry.name));
        else if (entry.name === name) found.push(join(each, entry.name));
      }
      if (waiting.length + found.length > maxFiles) return err(`found more than ${maxFiles} files and folders`);
    }
  } catch (error) {
    return err(describe(error));
  }
  return ok(found.sort());
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Bytes read; 0 at the end. A descriptor that somebody made non-blocking is asked again. */
export function readChunk(descriptor: number, chunk: Uint8Array): number {
  for (;;) {
    try {
      return readSync(descriptor, chunk, 0, chunk.length, null);
    } catch (error) {
      const code = errorCode(error);
      if (code === "EOF") return 0;
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

function describe(error: unknown): string {
  const code = errorCode(error);
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "permission denied";
  return describeError(error);
}
