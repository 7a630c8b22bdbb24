// Local rule files on disk. They are as authoritative as the platform's rules, so only root may be able to have written them.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { MAX_LOCAL_RULES_BYTES } from "../../core/rules/local-rules.ts";
import { openOwnedFolder } from "./owned-file.ts";

/**
 * Reads a rule file.
 * @param owner - the user id that folder and file must belong to
 * @returns the bytes, undefined when there is no such file, or in words why it is not used
 */
export function readRuleFile(folder: string, name: string, owner: number): Result<Uint8Array | undefined, string> {
  const opened = openOwnedFolder(folder, owner);
  if (!opened.ok) return err(`cannot use local rules in "${folder}": ${opened.error}`);
  if (opened.value === undefined) return ok(undefined);
  using held = opened.value;
  const bytes = held.read(name, MAX_LOCAL_RULES_BYTES);
  return bytes.ok ? bytes : err(`cannot use local rules "${join(folder, name)}": ${bytes.error}`);
}

/** Makes the folder for root alone when it is missing; a failure is reported when it is read. */
export function makeRuleFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch {
    // Reading reports it, if the platform ever requests local rules.
  }
}
