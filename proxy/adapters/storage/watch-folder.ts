// Reports when a file of a folder was put in place. A hint only: events can be lost, so listeners also check by themselves.

import { type FSWatcher, statSync, watch } from "node:fs";

export interface FolderWatch extends Disposable {
  /** Checks whether the watched folder is still the one at that path, and watches the one that is. Cheap. */
  renew(): void;
}

/** @param onChange - called for each event on that file name; must not throw */
export function watchFolder(folder: string, fileName: string, onChange: () => void): FolderWatch {
  let watcher: FSWatcher | undefined;
  let watched = "";

  function close(): void {
    watcher?.close();
    watcher = undefined;
    watched = "";
  }

  function renew(): void {
    const now = identityOf(folder);
    if (now === watched) return;
    close();
    if (now === "") return;
    try {
      watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === fileName) onChange();
      });
      watcher.on("error", close);
      watched = now;
    } catch {
      // Too many watches on this machine, or the folder went away: the listener's own checks must do.
      close();
    }
  }

  renew();
  return { renew, [Symbol.dispose]: close };
}

function identityOf(folder: string): string {
  try {
    const { dev, ino } = statSync(folder);
    return `${dev}:${ino}`;
  } catch {
    return "";
  }
}
