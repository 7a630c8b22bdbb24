// Local rule files on disk. What they say is as strong as the platform's word, so only root may be able to have written them:
// folder and file are checked on the descriptors that are read, and links are not followed.

import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, type Stats } from "node:fs";
import { join } from "node:path";
import { MAX_LOCAL_RULES_BYTES } from "../../core/local-rules.ts";
import { err, ok, type Result } from "../../core/result.ts";

const OTHERS_MAY_WRITE = 0o022;

/**
 * Reads a rule file.
 * @param owner - the user id that folder and file must belong to
 * @returns the bytes, undefined when there is no such file, or in words why it is not used
 */
export function readRuleFile(folder: string, name: string, owner: number): Result<Uint8Array | undefined, string> {
  const path = join(folder, name);
  let folderDescriptor: number | undefined;
  let descriptor: number | undefined;
  try {
    folderDescriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    const trouble = troubleWith(fstatSync(folderDescriptor), owner);
    if (trouble !== undefined) return err(`cannot use local rules in "${folder}": the folder's ${trouble}`);
    // Opened below the folder that was checked. A pipe must not block us, a link must not lead elsewhere.
    const below = `/proc/self/fd/${folderDescriptor}/${name}`;
    descriptor = openSync(below, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return err(`cannot use local rules "${path}": found something else, want a regular file`);
    const doubt = troubleWith(stat, owner);
    if (doubt !== undefined) return err(`cannot use local rules "${path}": ${doubt}`);
    if (stat.nlink !== 1) return err(`cannot use local rules "${path}": found ${stat.nlink} links to the file, want 1`);
    if (stat.size > MAX_LOCAL_RULES_BYTES) {
      return err(`cannot use local rules "${path}": found ${stat.size} bytes, want at most ${MAX_LOCAL_RULES_BYTES}`);
    }
    const bytes = readAll(descriptor, stat.size);
    const after = fstatSync(descriptor);
    // Half an edit may be good JSON, too. Whoever writes beside and renames is never seen like this.
    if (after.size !== stat.size || after.ctimeMs !== stat.ctimeMs || bytes.length !== stat.size) {
      return err(`cannot use local rules "${path}": it changed while it was read`);
    }
    return ok(bytes);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ENOENT") return ok(undefined);
    if (code === "ELOOP") return err(`cannot use local rules "${path}": found a link, want a regular file`);
    return err(`cannot use local rules "${path}": ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
    if (folderDescriptor !== undefined) closeSync(folderDescriptor);
  }
}

/** Makes the folder for root alone when it is missing; what cannot be made is told when it is read. */
export function makeRuleFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch {
    // Reading reports it, if the platform ever asks for local rules.
  }
}

function troubleWith(stat: Stats, owner: number): string | undefined {
  if (stat.uid !== owner) return `owner is uid ${stat.uid}, want ${owner === 0 ? "root" : owner}`;
  if ((stat.mode & OTHERS_MAY_WRITE) === 0) return undefined;
  return `mode is ${(stat.mode & 0o7777).toString(8).padStart(4, "0")}, want one that only the owner may write to`;
}

/** At most as much as there was at the look. */
function readAll(descriptor: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const read = readSync(descriptor, bytes, length, size - length, null);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
