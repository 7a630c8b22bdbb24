// The key keeper's access to the key folder. The folder is checked again for every step, so that a repair while the agent runs
// is noticed, and damage is refused.

import { openKeyStore } from "../../adapters/storage/key-store.ts";
import type { KeeperPorts } from "./key-keeper.ts";

export function makeKeyFolder(folder: string): Pick<KeeperPorts, "loadKey" | "saveKey" | "pruneKeys"> {
  return {
    loadKey: (guid) => {
      const store = openKeyStore(folder);
      return store.ok ? store.value.load(guid) : store;
    },
    saveKey: (key) => {
      const store = openKeyStore(folder);
      return store.ok ? store.value.save(key) : store;
    },
    pruneKeys: (keepGuid) => {
      const store = openKeyStore(folder);
      if (store.ok) store.value.prune(keepGuid);
    },
  };
}
