// The key folder: one file per key, root's alone. A key that others could read or replace is not loaded.
// Guids are checked before they become file names.

import { chmodSync, closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isKeyGuid, type LatchedKey, parseKey, renderKeyError, renderKeyFile } from "../../core/channel/secure-channel.ts";
import { distrustOwner, SECRET } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError, errorCode } from "../../core/thrown.ts";
import { writeAtomically } from "./atomic-write.ts";

export interface KeyStoreError {
  readonly message: string;
}

export interface KeyStore {
  load(guid: string): Result<LatchedKey, KeyStoreError>;
  save(key: LatchedKey): Result<void, KeyStoreError>;
  /** Removes all key files but the two newest and the one named, so that old keys do not pile up. Best effort. */
  prune(keepGuid: string): void;
}

const MAX_KEY_FILE_BYTES = 64 * 1024;

/** Makes the folder with mode 0700 when it is missing, and refuses one that another user owns or may write to. */
export function openKeyStore(folder: string): Result<KeyStore, KeyStoreError> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = lstatSync(folder);
    if (!stat.isDirectory()) return err({ message: `cannot use key folder "${folder}": found a link or file, want a directory` });
    if (stat.uid !== process.geteuid?.()) return err({ message: `cannot use key folder "${folder}": owner is uid ${stat.uid}, want root` });
    if ((stat.mode & SECRET) !== 0) chmodSync(folder, 0o700);
  } catch (error) {
    return err({ message: `cannot use key folder "${folder}": ${describeWithCode(error)}` });
  }
  return ok({
    load: (guid) => loadKey(folder, guid),
    save: (key) => saveKey(folder, key),
    prune: (keepGuid) => pruneKeys(folder, keepGuid),
  });
}

function keyPath(folder: string, guid: string): string {
  return join(folder, `${guid}.key`);
}

function loadKey(folder: string, guid: string): Result<LatchedKey, KeyStoreError> {
  if (!isKeyGuid(guid)) return err({ message: "cannot load key: the guid does not have the form of a GUID" });
  const path = keyPath(folder, guid);
  let text: string;
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) return err({ message: `cannot load key "${path}": found something else, want a regular file` });
      const trouble = distrustOwner(stat, process.geteuid?.() ?? 0, SECRET);
      if (trouble !== undefined) return err({ message: `cannot load key "${path}": file ${trouble}` });
      if (stat.size > MAX_KEY_FILE_BYTES)
        return err({ message: `cannot load key "${path}": found ${stat.size} bytes, want at most ${MAX_KEY_FILE_BYTES}` });
      text = readFileSync(descriptor, "utf8");
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    return err({ message: `cannot load key "${path}": ${describeWithCode(error)}` });
  }
  const key = parseKey(text);
  if (!key.ok) return err({ message: `cannot load key "${path}": ${renderKeyError(key.error)}` });
  if (key.value.guid.toLowerCase() !== guid.toLowerCase())
    return err({ message: `cannot load key "${path}": it holds key ${key.value.guid}` });
  return key;
}

/** Saves and reads back: a key that would not survive a restart must not be attested. */
function saveKey(folder: string, key: LatchedKey): Result<void, KeyStoreError> {
  if (!isKeyGuid(key.guid)) return err({ message: "cannot save key: the guid does not have the form of a GUID" });
  const written = writeAtomically(keyPath(folder, key.guid), renderKeyFile(key), 0o600, true);
  if (!written.ok) return err({ message: `cannot save key: ${written.error.message}` });
  const read = loadKey(folder, key.guid);
  if (!read.ok) return read;
  if (Buffer.compare(read.value.secret.reveal(), key.secret.reveal()) !== 0)
    return err({ message: `cannot save key ${key.guid}: the file read back differs` });
  return ok(undefined);
}

function pruneKeys(folder: string, keepGuid: string): void {
  try {
    const files = readdirSync(folder)
      .filter((name) => name.endsWith(".key") && isKeyGuid(name.slice(0, -4)))
      .map((name) => ({ name, modifiedMs: lstatSync(join(folder, name)).mtimeMs }))
      .sort((a, b) => b.modifiedMs - a.modifiedMs);
    for (const { name } of files.slice(2)) {
      if (name.toLowerCase() !== `${keepGuid.toLowerCase()}.key`) rmSync(join(folder, name), { force: true });
    }
  } catch {
    // A stale file is harmless; the next attested key tries again.
  }
}

function describeWithCode(error: unknown): string {
  const code = errorCode(error);
  return code === undefined ? describeError(error) : `${code} (${describeError(error)})`;
}
