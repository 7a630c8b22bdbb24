// Makes a folder with files in it, whole or not at all.

import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";

export interface NewFile {
  readonly path: string;
  readonly text: string;
  readonly executable: boolean;
}

/** @returns why not, in words; a folder, file or link of that name is never touched */
export function writeNewFolder(folder: string, files: readonly NewFile[]): Result<undefined, string> {
  if (existsSync(folder)) return err("it is there already");
  const staging = `${folder.replace(/\/+$/, "")}.new-${process.pid}`;
  try {
    mkdirSync(staging);
    for (const { path, text, executable } of files) {
      mkdirSync(dirname(join(staging, path)), { recursive: true });
      writeFileSync(join(staging, path), text);
      if (executable) chmodSync(join(staging, path), 0o755);
    }
    // An empty folder that appeared meanwhile is replaced, anything else makes this fail.
    renameSync(staging, folder);
    return ok(undefined);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    return err(describeError(error));
  }
}
