// Loads koffi's native module, the one way this program calls C libraries (libbpf, libc). Every adapter may import this file.
// In the compiled binary the module travels inside the program and is loaded from anonymous memory: it must never pass
// through a directory that others can write to (Bun's own way is a file in /tmp), nor depend on the working directory.

import { dlopen as dlopenC, ptr } from "bun:ffi";
import { closeSync, readFileSync, writeFileSync } from "node:fs";

type Koffi = typeof import("koffi").default;

const BUNDLE_ROOT = "/$bunfs/root/";
const MFD_CLOEXEC = 0x1;
/** Linux 6.3: "this memory file may be executed"; older kernels answer EINVAL and need no flag. */
const MFD_EXEC = 0x10;

let loaded: Koffi | undefined;

/**
 * The koffi module, loaded on first use (about 2 ms).
 * @throws Error when the native module for this machine is not part of the program: a broken build, not a run-time condition
 */
export function loadKoffi(): Koffi {
  loaded ??= fromMemory() ?? requireNative();
  return loaded;
}

/** Static paths, so that `bun build --compile` embeds the file. koffi's own loader searches directories instead. */
function requireNative(): Koffi {
  if (process.arch === "arm64") return require("@koromix/koffi-linux-arm64/linux_arm64/koffi.node") as Koffi;
  return require("@koromix/koffi-linux-x64/linux_x64/koffi.node") as Koffi;
}

/** Undefined when not compiled, or when the kernel forbids executable memory files (sysctl vm.memfd_noexec = 2). */
function fromMemory(): Koffi | undefined {
  const name = embeddedName();
  if (name === undefined) return undefined;
  const libc = dlopenC("libc.so.6", { memfd_create: { args: ["ptr", "u32"], returns: "i32" } });
  let descriptor = -1;
  try {
    const title = ptr(Buffer.from("koffi\0"));
    descriptor = libc.symbols.memfd_create(title, MFD_CLOEXEC | MFD_EXEC);
    if (descriptor < 0) descriptor = libc.symbols.memfd_create(title, MFD_CLOEXEC);
    if (descriptor < 0) return undefined;
    writeFileSync(descriptor, readFileSync(`${BUNDLE_ROOT}${name}`));
    const holder: { exports: unknown } = { exports: {} };
    process.dlopen(holder, `/proc/self/fd/${descriptor}`);
    return holder.exports as Koffi;
  } catch {
    return undefined;
  } finally {
    // The mapping keeps the memory alive.
    if (descriptor >= 0) closeSync(descriptor);
    libc.close();
  }
}

/** Name of the module inside the program; when not compiled nothing is embedded. */
function embeddedName(): string | undefined {
  for (const blob of Bun.embeddedFiles) {
    const name = (blob as Blob & { readonly name?: string }).name ?? "";
    if (name.startsWith("koffi") && name.endsWith(".node")) return name;
  }
  return undefined;
}
