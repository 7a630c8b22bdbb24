// status.json: what the platform's tools and people read to see how the agent does. Root and its group may read it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Result } from "../../core/result.ts";
import { type WriteError, writeAtomically, writeErrorFrom } from "./atomic-write.ts";

export const STATUS_FILE_NAME = "status.json";

/** Writes the status into the folder, which is made when it is missing. */
export function writeStatusFile(folder: string, status: unknown): Result<void, WriteError> {
  return writeInto(folder, STATUS_FILE_NAME, `${JSON.stringify(status, null, 2)}\n`);
}

/** Keeps the policy component that is in force beside the status, to be inspected with ordinary tools. */
export function writePolicyFile(folder: string, endpoint: string, component: Uint8Array): Result<void, WriteError> {
  return writeInto(folder, `policy-${endpoint}.wasm`, component);
}

function writeInto(folder: string, name: string, content: string | Uint8Array): Result<void, WriteError> {
  const path = join(folder, name);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    return { ok: false, error: writeErrorFrom(path, error) };
  }
  return writeAtomically(path, content, 0o640, false);
}
