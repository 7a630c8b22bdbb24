// Reads files that only one user can have written: folder and file are checked on the descriptors that are read, links are not
// followed, and a file that changes while it is read is refused.

import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { distrustFile, distrustOwner, TRUSTED } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError, errorCode } from "../../core/thrown.ts";

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
    const problem = distrustOwner(fstatSync(descriptor), owner, TRUSTED);
    if (problem !== undefined) {
      closeSync(descriptor);
      return err(`the folder's ${problem}`);
    }
  } catch (error) {
    if (descriptor !== undefined) closeSync(descriptor);
    const code = errorCode(error);
    if (code === "ENOENT") return ok(undefined);
    if (code === "ELOOP" || code === "ENOTDIR") return err("found a link or a file, want a folder");
    return err(describeError(error));
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
    const problem = distrustFile(stat, owner, TRUSTED, maxBytes);
    if (problem !== undefined) return err(problem);
    const bytes = readAll(descriptor, stat.size);
    const after = fstatSync(descriptor);
    // Half an edit may be valid, too. A writer that renames a temporary file is never seen like this.
    if (after.size !== stat.size || after.ctimeMs !== stat.ctimeMs || bytes.length !== stat.size)
      return err("it changed while it was read");
    return ok(bytes);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") return ok(undefined);
    if (code === "ELOOP") return err("found a link, want a regular file");
    return err(describeError(error));
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
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
