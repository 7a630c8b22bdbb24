// The tag files in the key folder, from which the platform's tools read how provisioning ended. They describe this start
// of the agent alone: those of an earlier one are removed before anything else happens.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { type WriteError, writeAtomically, writeErrorFrom } from "./atomic-write.ts";
import { openKeyStore } from "./key-store.ts";

/** Exists once provisioning came to an end; holds nothing when all is ready, else what is not, escaped for XML. */
const STATUS_TAG = "status.tag";
/** The time of that, for older readers. */
const PROVISIONED_TAG = "provisioned.tag";
const MODE = 0o600;

export function removeTagFiles(folder: string): Result<void, WriteError> {
  let failure: WriteError | undefined;
  for (const name of [STATUS_TAG, PROVISIONED_TAG]) {
    const path = join(folder, name);
    try {
      rmSync(path, { force: true });
    } catch (error) {
      failure = writeErrorFrom(path, error);
    }
  }
  return failure === undefined ? ok(undefined) : err(failure);
}

/** Writes both into the key folder, which is made, and refused when it is not root's alone. */
export function writeTagFiles(folder: string, when: Date, errorText: string): Result<void, { readonly message: string }> {
  const store = openKeyStore(folder);
  if (!store.ok) return store;
  const time = writeAtomically(join(folder, PROVISIONED_TAG), renderLocalTime(when), MODE, false);
  const status = writeAtomically(join(folder, STATUS_TAG), escapeXml(errorText), MODE, false);
  return time.ok ? status : time;
}

/** `2026-11-25 01:02:03.004 +01:00`. */
function renderLocalTime(when: Date): string {
  const offset = -when.getTimezoneOffset();
  const local = new Date(when.getTime() + offset * 60_000).toISOString();
  const two = (count: number) => String(count).padStart(2, "0");
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${local.slice(0, 10)} ${local.slice(11, 23)} ${zone}`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
