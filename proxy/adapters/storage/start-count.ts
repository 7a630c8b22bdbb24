// Number of starts of the agent, kept in a file, so that an infrequent reader sees restarts too.

import { readFileSync } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { type WriteError, writeAtomically, writeErrorFrom } from "./atomic-write.ts";

/** Counts this start; what is in the file and is no number counts as none. */
export function countStart(path: string): Result<number, WriteError> {
  let text = "";
  try {
    text = readFileSync(path, "utf8").slice(0, 32).trim();
  } catch (error) {
    const failure = writeErrorFrom(path, error);
    if (failure.code !== "ENOENT") return err(failure);
  }
  const starts = (/^[0-9]{1,15}$/.test(text) ? Number(text) : 0) + 1;
  const written = writeAtomically(path, `${starts}\n`, 0o600, false);
  return written.ok ? ok(starts) : written;
}
