// Policy modules as the daemon runs them: the store is watched and checked with each poll, changes take effect between two requests.

import { mkdirSync } from "node:fs";
import { defaultModuleFolder, MODULE_INDEX_FILE } from "../../adapters/storage/module-store.ts";
import { watchFolder } from "../../adapters/storage/watch-folder.ts";
import type { Config } from "../../core/config.ts";
import { makeLoadModule, readListing } from "./load-module.ts";
import { type ModuleChain, type ModuleChainPorts, makeModuleChain } from "./module-chain.ts";

export interface ModuleRuntime extends Disposable, Pick<ModuleChain, "isUsed" | "statusPart"> {
  /** Activates what is installed. Requests must wait for the first call: before it no module is evaluated. */
  look(): Promise<void>;
}

export function startModules(
  config: Pick<Config, "moduleFolder" | "latchKeyFolder" | "trustedKeysFolder" | "requireSignedModules">,
  ports: Omit<ModuleChainPorts, "readListing" | "load">,
): ModuleRuntime {
  const folder = config.moduleFolder ?? defaultModuleFolder(config.latchKeyFolder);
  const { monotonicMs } = ports;
  const files = {
    folder,
    trustedKeysFolder: config.trustedKeysFolder,
    requireSigned: config.requireSignedModules,
    owner: 0,
    monotonicMs,
    cpuMs: threadCpuMs,
  };
  const chain = makeModuleChain({ ...ports, readListing: () => readListing(files), load: makeLoadModule(files) });
  makeModuleFolder(folder);
  const watch = watchFolder(folder, MODULE_INDEX_FILE, () => void chain.check());
  return {
    look() {
      watch.renew();
      return chain.check();
    },
    isUsed: chain.isUsed,
    statusPart: chain.statusPart,
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

/** Modules run on the thread that asks. */
function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** So that there is something to watch before the first module is installed. Whether it may be used is checked when it is read. */
function makeModuleFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch {
    // Without it there are no modules; a file in its place is reported by the first check.
  }
}
