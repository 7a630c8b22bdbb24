// Loads koffi, the bridge to C libraries, so that it works from source and in the compiled binary alike. koffi's own loader
// searches node_modules at run time, which a compiled binary does not have. Must never load a file that others could write.

import { existsSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type koffi from "koffi";
import type { LibraryHandle } from "koffi";

export type Koffi = typeof koffi;

const BUNDLED_ROOT = "/$bunfs/";
const WRITABLE_BY_OTHERS = 0o022;

let loaded: Koffi | undefined;

/**
 * The koffi module. A compiled binary takes `koffi.node` from its own folder, where the package puts it; without that file it
 * takes the copy bundled into it, which Bun unpacks under the temporary folder (and which so needs one that allows execution).
 * @throws Error when neither can be loaded, or when the file beside the binary could be written by others
 */
export function loadKoffi(): Koffi {
  loaded ??= loadNative();
  return loaded;
}

/** Opens a shared library by its soname; undefined when the system has none of that name. */
export function openLibrary(soname: string): LibraryHandle | undefined {
  const koffi = loadKoffi();
  try {
    return koffi.load(soname);
  } catch {
    return undefined;
  }
}

function loadNative(): Koffi {
  if (!import.meta.dir.startsWith(BUNDLED_ROOT)) return loadBundled();
  const beside = join(dirname(realpathSync(process.execPath)), "koffi.node");
  if (!existsSync(beside)) return loadBundled();
  refuseForeignFile(beside);
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, beside);
  return module.exports as Koffi;
}

/** The paths must stay literal: the bundler follows them, and drops the branch of the other processor. */
function loadBundled(): Koffi {
  if (process.arch === "arm64") return require("@koromix/koffi-linux-arm64/linux_arm64/koffi.node");
  return require("@koromix/koffi-linux-x64/linux_x64/koffi.node");
}

function refuseForeignFile(path: string): void {
  const { uid, mode } = statSync(path);
  const ours = uid === 0 || uid === process.geteuid?.();
  if (ours && (mode & WRITABLE_BY_OTHERS) === 0) return;
  throw new Error(`cannot load "${path}": owner is ${uid} and mode ${(mode & 0o7777).toString(8)}, want root and not writable by others`);
}
