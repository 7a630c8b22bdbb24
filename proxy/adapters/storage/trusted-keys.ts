// The keys whose signatures on modules count: every `*.pub` file in one folder, each a public key as minisign(1) writes it. Only root
// may be able to have put one there. An unsafe or invalid file is ignored and reported; the others still count.

import { MAX_KEY_FILE_BYTES, parsePublicKey, type TrustedKey } from "../../core/modules/minisign.ts";
import { decodeText } from "../../core/text/decode-text.ts";
import { openOwnedFolder } from "./owned-file.ts";

const KEY_FILE_END = ".pub";
const MAX_KEYS = 256;

export interface TrustedKeys {
  readonly keys: readonly TrustedKey[];
  /** One line per file that is not taken, ready for people. */
  readonly troubles: readonly string[];
}

/** @param owner - the user id that folder and files must belong to; a folder that does not exist holds no keys */
export function readTrustedKeys(folder: string, owner: number): TrustedKeys {
  const opened = openOwnedFolder(folder, owner);
  if (!opened.ok) return { keys: [], troubles: [`cannot use trusted keys in "${folder}": ${opened.error}`] };
  if (opened.value === undefined) return { keys: [], troubles: [] };
  using held = opened.value;
  const keys: TrustedKey[] = [];
  const troubles: string[] = [];
  const names = held.names().filter((name) => name.endsWith(KEY_FILE_END));
  if (names.length > MAX_KEYS) return { keys: [], troubles: [`cannot use trusted keys in "${folder}": found more than ${MAX_KEYS}`] };
  for (const name of names) {
    const bytes = held.read(name, MAX_KEY_FILE_BYTES);
    // Gone since the folder was listed.
    if (bytes.ok && bytes.value === undefined) continue;
    const text = bytes.ok ? decodeText(bytes.value ?? new Uint8Array()) : bytes;
    const key = text.ok ? parsePublicKey(text.value) : text;
    if (key.ok) keys.push(key.value);
    else troubles.push(`cannot use trusted key ${JSON.stringify(`${folder}/${name}`)}: ${key.error}`);
  }
  return { keys, troubles };
}

/** For where no signature is required, so that no key needs to be read. */
export const NO_KEYS: TrustedKeys = { keys: [], troubles: [] };
