// What doctor needs to know of files: kind, owner, mode. Read-only, never follows a link in the last component.

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorCode } from "../../core/thrown.ts";
import type { FileFacts } from "./check-files.ts";

export function lookAt(path: string): FileFacts {
  try {
    const stat = lstatSync(path);
    const kind = stat.isFile() ? "file" : stat.isDirectory() ? "folder" : stat.isSymbolicLink() ? "link" : "other";
    return { kind, path, uid: stat.uid, mode: stat.mode & 0o7777 };
  } catch (error) {
    const missing = errorCode(error) === "ENOENT";
    return { kind: missing ? "missing" : "unreadable", path };
  }
}

/** Facts of the entries of a folder whose name ends so, at most `max`; none when it cannot be read. */
export function lookInto(folder: string, ending: string, max: number): readonly FileFacts[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(ending))
      .slice(0, max)
      .map((name) => lookAt(join(folder, name)));
  } catch {
    return [];
  }
}

/** A small text such as those of /proc and /sys, without outer blanks; undefined when it cannot be read. */
export function readSmallText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Lower-case hex SHA-256; undefined when it cannot be read. */
export function hashFile(path: string): string | undefined {
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex");
  } catch {
    return undefined;
  }
}
