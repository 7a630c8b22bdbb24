// Reads files that only one user can have written: folder and file are checked on the descriptors that are read, links are not
// followed, and a file that changes while it is read is refused.

import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, type Stats } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";

const OTHERS_MAY_WRITE = 0o022;

/** A folder that was found to be the owner's alone to write, held open: what is read is read below this very folder. */
export interface OwnedFolder extends Disposable {
  /** Names of all entries, sorted. */
  names(): readonly string[];
  /** The bytes, undefined when there is no such file, or in words why it is not used. The name is one component of a path. */
  read(name: string, maxBytes: number): Result<Uint8Array | undefined, string>;
}

/**
 * @param owner - the user id that folder and files must belong to
 * @returns the folder, undefined when there is none, or in words why it is not used
 */
export function openOwnedFolder(path: string, owner: number): Result<OwnedFolder | undefined, string> {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    const problem = problemWith(fstatSync(descriptor), owner);
    if (problem !== undefined) {
      closeSync(descriptor);
      return err(`the folder's ${problem}`);
    }
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    const code = codeOf(error);
    if (code === "ENOENT") return ok(undefined);
    if (code === "ELOOP" || code === "ENOTDIR") return err("found a link or a file, want a folder");
    return err(describe(error));
  }
  const open = descriptor;
  const below = `/proc/self/fd/${open}`;
  return ok({
    names: () => readdirSync(below).sort(),
    read: (name, maxBytes) => readOwned(`${below}/${name}`, owner, maxBytes),
    [Symbol.dispose]: () => closeSync(open),
  });
}

function readOwned(path: string, owner: number, maxBytes: number): Result<Uint8Array | undefined, string> {
  let descriptor: number | undefined;
  try {
    // A pipe must not block us, a link must not lead elsewhere.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return err("found something else, want a regular file");
    const problem = problemWith(stat, owner);
    if (problem !== undefined) return err(problem);
    if (stat.nlink !== 1) return err(`found ${stat.nlink} links to the file, want 1`);
    if (stat.size > maxBytes) return err(`found ${stat.size} bytes, want at most ${maxBytes}`);
    const bytes = readAll(descriptor, stat.size);
    const after = fstatSync(descriptor);
    // Half an edit may be valid, too. A writer that renames a temporary file is never seen like this.
    if (after.size !== stat.size || after.ctimeMs !== stat.ctimeMs || bytes.length !== stat.size)
      return err("it changed while it was read");
    return ok(bytes);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return ok(undefined);
    if (code === "ELOOP") return err("found a link, want a regular file");
    return err(describe(error));
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function problemWith(stat: Stats, owner: number): string | undefined {
  if (stat.uid !== owner) return `owner is uid ${stat.uid}, want ${owner === 0 ? "root" : owner}`;
  if ((stat.mode & OTHERS_MAY_WRITE) === 0) return undefined;
  return `mode is ${(stat.mode & 0o7777).toString(8).padStart(4, "0")}, want one that only the owner may write to`;
}

/** At most the size found by stat. */
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

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
