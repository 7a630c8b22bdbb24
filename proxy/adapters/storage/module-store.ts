// Installed policy modules on disk: an index, and everything that it names, each file under the hash of its content. The
// rename of the index commits a change: before it the old list is whole, after it the new one is.
// Only root may be able to have written any of it.

import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { SECRET } from "../../core/file-trust.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import {
  isSha256,
  MAX_INDEX_BYTES,
  MAX_MODULES,
  parseModuleIndex,
  referencedObjects,
  renderModuleIndex,
} from "../../core/modules/module-index.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { writeAtomically } from "./atomic-write.ts";
import { readLockHolder, takeFileLock } from "./file-lock.ts";
import { openOwnedFolder } from "./owned-file.ts";

export const MODULE_INDEX_FILE = "index.json";
const OBJECTS_FOLDER = "objects";
const LOCK_FILE = ".lock";
const LOCK_WAIT_MS = 10_000;

export interface StoreError {
  /**
   * `unusable`: what is there is not ours or not whole. `busy`: another command is changing it. `refused`: the change itself said no.
   * `not-written`: the disk said no; nothing has changed.
   */
  readonly kind: "unusable" | "busy" | "refused" | "not-written";
  readonly message: string;
}

/** The list after a change, and what it needs that may not be stored yet. */
export interface StoreChange {
  readonly entries: readonly ModuleEntry[];
  readonly objects: readonly Hashed[];
}

/** How the store touches the disk when it changes something. Tests put one here that fails or dies midway. */
export interface StoreFiles {
  makeFolder(path: string): void;
  /** As {@link writeAtomically} with mode 0600, synced. */
  write(path: string, bytes: Uint8Array): Result<void, { readonly message: string }>;
  remove(path: string): void;
}

const FILES: StoreFiles = {
  makeFolder: (path) => mkdirSync(path, { recursive: true, mode: 0o700 }),
  write: (path, bytes) => writeAtomically(path, bytes, 0o600, true),
  remove: (path) => rmSync(path, { force: true }),
};

/** Where modules are kept when the config does not say: next to the folder of keys. */
export function defaultModuleFolder(latchKeyFolder: string): string {
  return join(dirname(latchKeyFolder), "modules");
}

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

declare const known: unique symbol;
/** Bytes with the hash of them, by which the store names its files. Only {@link hashed} makes one. */
export interface Hashed {
  readonly [known]: true;
  readonly bytes: Uint8Array;
  /** Lower-case hex. */
  readonly sha256: string;
}

export function hashed(bytes: Uint8Array): Hashed {
  return { bytes, sha256: hashOf(bytes) } as Hashed;
}

/**
 * The modules installed, in order of evaluation; none when the folder does not exist.
 * @param owner - user id that everything must belong to
 */
export function readModuleIndex(folder: string, owner: number): Result<readonly ModuleEntry[], StoreError> {
  const unusable = (cause: string) => err<StoreError>({ kind: "unusable", message: `cannot use modules in "${folder}": ${cause}` });
  const problem = problemAbove(folder, owner);
  if (problem !== undefined) return unusable(problem);
  const opened = openOwnedFolder(folder, owner);
  if (!opened.ok) return unusable(opened.error);
  if (opened.value === undefined) return ok([]);
  using held = opened.value;
  const bytes = held.read(MODULE_INDEX_FILE, MAX_INDEX_BYTES);
  if (!bytes.ok) return unusable(`${MODULE_INDEX_FILE}: ${bytes.error}`);
  if (bytes.value === undefined) {
    // The index exists before anything else does: without it, it was removed.
    return held.names().includes(OBJECTS_FOLDER) ? unusable(`${MODULE_INDEX_FILE} is missing`) : ok([]);
  }
  const entries = parseModuleIndex(bytes.value);
  return entries.ok ? entries : unusable(`${MODULE_INDEX_FILE}: ${entries.error}`);
}

/**
 * The content with this hash. A module that was removed since the index was read is gone: read the index again.
 * @param maxBytes - more is refused before it is read
 */
export function readModuleObject(folder: string, owner: number, sha256: string, maxBytes: number): Result<Uint8Array, StoreError> {
  const unusable = (cause: string) => err<StoreError>({ kind: "unusable", message: `cannot use module content ${sha256}: ${cause}` });
  if (!isSha256(sha256)) return err({ kind: "unusable", message: "cannot use module content: its name is no hash" });
  const problem = problemAbove(folder, owner);
  if (problem !== undefined) return unusable(problem);
  const store = openOwnedFolder(folder, owner);
  if (!store.ok) return unusable(store.error);
  store.value?.[Symbol.dispose]();
  const opened = openOwnedFolder(join(folder, OBJECTS_FOLDER), owner);
  if (!opened.ok) return unusable(opened.error);
  if (opened.value === undefined) return unusable("it is missing");
  using held = opened.value;
  const bytes = held.read(sha256, maxBytes);
  if (!bytes.ok) return unusable(bytes.error);
  if (bytes.value === undefined) return unusable("it is missing");
  const found = hashOf(bytes.value);
  return found === sha256 ? ok(bytes.value) : unusable(`its content has the hash ${found}`);
}

/**
 * Changes the list of modules, or nothing. One process at a time; the folder is made when it is missing.
 * @param change - gets the list as it is now; what it refuses is handed back
 */
export function changeModules(
  folder: string,
  owner: number,
  change: (entries: readonly ModuleEntry[]) => Result<StoreChange, string>,
  files: StoreFiles = FILES,
): Result<readonly ModuleEntry[], StoreError> {
  const made = makeFolder(folder, owner, files);
  if (!made.ok) return made;
  const lockPath = join(folder, LOCK_FILE);
  const lock = takeFileLock(lockPath, LOCK_WAIT_MS);
  if (!lock.ok) return err({ kind: "unusable", message: `cannot lock modules in "${folder}": ${lock.error}` });
  if (lock.value === undefined) {
    const holder = readLockHolder(lockPath);
    const who = holder === undefined ? "another command" : `process ${holder}`;
    return err({ kind: "busy", message: `cannot change modules in "${folder}": ${who} is changing them for ${LOCK_WAIT_MS / 1000} s` });
  }
  using _held = lock.value;
  const filled = fillFolder(folder, owner, files);
  if (!filled.ok) return filled;
  const before = readModuleIndex(folder, owner);
  if (!before.ok) return before;
  const changed = change(before.value);
  if (!changed.ok) return err({ kind: "refused", message: changed.error });
  const committed = commit(folder, owner, changed.value, files);
  return committed.ok ? ok(changed.value.entries) : committed;
}

function commit(folder: string, owner: number, { entries, objects }: StoreChange, files: StoreFiles): Result<void, StoreError> {
  if (entries.length > MAX_MODULES)
    return err({ kind: "refused", message: `found ${entries.length} modules, want at most ${MAX_MODULES}` });
  const index = Buffer.from(renderModuleIndex(entries), "utf8");
  const again = parseModuleIndex(index);
  if (!again.ok) return err({ kind: "refused", message: `the list of modules would not be one: ${again.error}` });
  const fail = (message: string): Result<void, StoreError> => {
    // The disk may have failed after the rename: what is there now is what counts, and nothing that it names may go.
    const now = readModuleIndex(folder, owner);
    if (now.ok) collect(folder, referencedObjects(now.value), files);
    if (now.ok && renderModuleIndex(now.value) === index.toString("utf8")) return ok(undefined);
    return err({ kind: "not-written", message: `cannot change modules: ${message}` });
  };
  for (const { bytes, sha256 } of objects) {
    // What is there already, whole, need not be written again.
    if (readModuleObject(folder, owner, sha256, bytes.length).ok) continue;
    const written = files.write(join(folder, OBJECTS_FOLDER, sha256), bytes);
    if (!written.ok) return fail(written.error.message);
  }
  const names = new Set(readdirSync(join(folder, OBJECTS_FOLDER)));
  const missing = [...referencedObjects(entries)].find((sha256) => !names.has(sha256));
  if (missing !== undefined) return fail(`the content ${missing} is missing`);
  const written = files.write(join(folder, MODULE_INDEX_FILE), index);
  if (!written.ok) return fail(written.error.message);
  collect(folder, referencedObjects(entries), files);
  return ok(undefined);
}

/** Removes what no module needs, and what a process that ended midway left. Best effort: the next change tries again. */
function collect(folder: string, needed: ReadonlySet<string>, files: StoreFiles): void {
  try {
    const objects = join(folder, OBJECTS_FOLDER);
    for (const name of readdirSync(objects)) if (!needed.has(name)) files.remove(join(objects, name));
    for (const name of readdirSync(folder)) if (/^\..*\.tmp$/.test(name)) files.remove(join(folder, name));
  } catch {
    // A stale object is harmless.
  }
}

function makeFolder(folder: string, owner: number, files: StoreFiles): Result<void, StoreError> {
  const unusable = (cause: string) => err<StoreError>({ kind: "unusable", message: `cannot use modules in "${folder}": ${cause}` });
  try {
    files.makeFolder(folder);
    const problem = problemAbove(folder, owner);
    if (problem !== undefined) return unusable(problem);
    const opened = openOwnedFolder(folder, owner);
    if (!opened.ok) return unusable(opened.error);
    opened.value?.[Symbol.dispose]();
    // Settings may hold what is nobody else's business.
    if ((lstatSync(folder).mode & SECRET) !== 0) chmodSync(folder, 0o700);
    return ok(undefined);
  } catch (error) {
    return unusable(describeError(error));
  }
}

/** Makes what is missing under the lock: an empty index, then the folder of contents. */
function fillFolder(folder: string, owner: number, files: StoreFiles): Result<void, StoreError> {
  const unusable = (cause: string) => err<StoreError>({ kind: "unusable", message: `cannot use modules in "${folder}": ${cause}` });
  const path = join(folder, OBJECTS_FOLDER);
  try {
    const names = readdirSync(folder);
    if (!names.includes(OBJECTS_FOLDER) && !names.includes(MODULE_INDEX_FILE)) {
      const written = files.write(join(folder, MODULE_INDEX_FILE), Buffer.from(renderModuleIndex([]), "utf8"));
      if (!written.ok) return err({ kind: "not-written", message: `cannot change modules: ${written.error.message}` });
    }
    if (!names.includes(OBJECTS_FOLDER)) files.makeFolder(path);
    const objects = openOwnedFolder(path, owner);
    if (!objects.ok) return unusable(`${OBJECTS_FOLDER}: ${objects.error}`);
    objects.value?.[Symbol.dispose]();
    return ok(undefined);
  } catch (error) {
    return unusable(describeError(error));
  }
}

/** A user who may write to a folder above could put another store in the place of this one. */
function problemAbove(folder: string, owner: number): string | undefined {
  const above = openOwnedFolder(dirname(folder), owner);
  if (!above.ok) return `in "${dirname(folder)}" ${above.error}`;
  above.value?.[Symbol.dispose]();
  return undefined;
}
