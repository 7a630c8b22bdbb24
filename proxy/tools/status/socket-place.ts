// Is what listens at a path root's? The kernel does not let others than the owner of the folders put a socket there, so the owners and
// modes of all folders above answer that, before anything is sent to it.

import { lstatSync } from "node:fs";
import { dirname } from "node:path";

/** `absent`: there is nothing, or nothing for this user. `doubtful`: a user other than root could have placed it; with the reason. */
export type FoundSocket =
  | { readonly kind: "trusted" }
  | { readonly kind: "absent" }
  | { readonly kind: "doubtful"; readonly message: string };

const ROOT = 0;
const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * @param path - absolute, without links
 * @param owner - whose socket and folders are trusted besides root's; tests are not always root
 */
export function examineSocket(path: string, owner = ROOT): FoundSocket {
  const folder = dirname(path);
  try {
    for (const place of [...foldersAbove(folder), folder]) {
      const stat = lstatSync(place);
      if (!stat.isDirectory()) return doubtful(`"${place}" is no folder`);
      if (stat.uid !== ROOT && stat.uid !== owner) return doubtful(`uid ${stat.uid} owns "${place}"`);
      // In a sticky folder others may add names, but not take away or replace those of root.
      const isSafe = (stat.mode & OTHERS_MAY_WRITE) === 0 || ((stat.mode & STICKY) !== 0 && place !== folder);
      if (!isSafe) return doubtful(`others may write to "${place}"`);
    }
    const stat = lstatSync(path);
    if (!stat.isSocket()) return doubtful(`"${path}" is no socket`);
    return stat.uid === ROOT || stat.uid === owner ? { kind: "trusted" } : doubtful(`uid ${stat.uid} owns "${path}"`);
  } catch {
    return { kind: "absent" };
  }
}

/** From the root down, without the folder itself. */
function foldersAbove(folder: string): readonly string[] {
  const above = dirname(folder);
  return above === folder ? [] : [...foldersAbove(above), above];
}

function doubtful(message: string): FoundSocket {
  return { kind: "doubtful", message };
}
