// Writes status.json, which the platform's tools and people read. Root and its group may read it.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Result } from "../../core/result.ts";
import { type WriteError, writeAtomicallyBeside, writeErrorFrom } from "./atomic-write.ts";

export const STATUS_FILE_NAME = "status.json";

const FOLDER_MODE = 0o755;
const FILE_MODE = 0o640;

/** Writes the status into the folder, which is made when it is missing. A slow disk blocks no request. Never rejects. */
export function writeStatusFile(folder: string, status: unknown): Promise<Result<void, WriteError>> {
  return writeInto(folder, STATUS_FILE_NAME, `${JSON.stringify(status, null, 2)}\n`);
}

/** Keeps the active policy component next to the status, to be inspected with ordinary tools. In the same way. */
export function writePolicyFile(folder: string, endpoint: string, component: Uint8Array): Promise<Result<void, WriteError>> {
  return writeInto(folder, `policy-${endpoint}.wasm`, component);
}

async function writeInto(folder: string, name: string, content: string | Uint8Array): Promise<Result<void, WriteError>> {
  const path = join(folder, name);
  try {
    await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    return { ok: false, error: writeErrorFrom(path, error) };
  }
  return writeAtomicallyBeside(path, content, FILE_MODE);
}
