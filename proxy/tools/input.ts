// Lines of files and of standard input, one after the other in bounded memory: a line that is too long to be a log line is reported as
// such and never held.

import { closeSync, openSync } from "node:fs";
import { err, ok, type Result } from "../core/result.ts";
import { describeError } from "../core/thrown.ts";
import { readChunk } from "./bounded-file.ts";

const CHUNK_BYTES = 1024 * 1024;
/** The journal cuts lines long before. */
const MAX_LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export interface InputError {
  readonly name: string;
  readonly cause: string;
}

/**
 * Reads all inputs to their end.
 * @param names - paths; "-" is standard input
 * @param line - called with each line without its newline; undefined stands for one that is too long
 */
export function readLines(names: readonly string[], line: (text: string | undefined) => void): Result<void, InputError> {
  for (const name of names) {
    try {
      const descriptor = name === "-" ? 0 : openSync(name, "r");
      try {
        readDescriptor(descriptor, line);
      } finally {
        if (descriptor !== 0) closeSync(descriptor);
      }
    } catch (error) {
      return err({ name: name === "-" ? "standard input" : name, cause: describeError(error) });
    }
  }
  return ok(undefined);
}

function readDescriptor(descriptor: number, line: (text: string | undefined) => void): void {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let rest: Buffer = Buffer.alloc(0);
  let tooLong = false;
  for (;;) {
    const length = readChunk(descriptor, chunk);
    if (length === 0) break;
    let from = 0;
    for (;;) {
      const end = chunk.subarray(0, length).indexOf(NEWLINE, from);
      if (end < 0) break;
      const piece = chunk.subarray(from, end);
      if (tooLong || rest.length + piece.length > MAX_LINE_BYTES) line(undefined);
      else line(rest.length === 0 ? piece.toString("utf8") : Buffer.concat([rest, piece]).toString("utf8"));
      rest = Buffer.alloc(0);
      tooLong = false;
      from = end + 1;
    }
    // A copy: the chunk is read into again.
    if (rest.length + length - from > MAX_LINE_BYTES) tooLong = true;
    rest = tooLong ? Buffer.alloc(0) : Buffer.concat([rest, chunk.subarray(from, length)]);
  }
  if (tooLong) line(undefined);
  else if (rest.length > 0) line(rest.toString("utf8"));
}
