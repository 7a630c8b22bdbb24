// Options of the JavaScript engine that must hold before any untrusted WebAssembly is compiled. The engine reads them from the environment
// when it starts, so a process that was started without them re-executes itself: same process id, arguments and descriptors.

import { dlopen, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { err, type Result } from "../../core/result.ts";

/**
 * The unit sets the same. The second compiler of WebAssembly (OMG) is off: some functions of a few KiB make it take gigabytes, and nothing that
 * that can be counted in them predicts which (docs/threat-model.md, T-150). One thread compiles, whatever the number of processors.
 */
export const ENGINE_OPTIONS = { BUN_JSC_useOMGJIT: "0", BUN_JSC_numberOfWasmCompilerThreads: "1" } as const;

/**
 * Returns at once when the options hold; otherwise re-executes the program with them, and returns only when that fails.
 * Must come before anything is opened or started.
 */
export function ensureEngineOptions(): Result<void, string> {
  const started = readFileSync("/proc/self/environ", "latin1").split("\0");
  if (Object.entries(ENGINE_OPTIONS).every(([name, value]) => started.includes(`${name}=${value}`))) return { ok: true, value: undefined };
  const kept = started.filter((entry) => entry !== "" && !Object.keys(ENGINE_OPTIONS).some((name) => entry.startsWith(`${name}=`)));
  const variables = [...kept, ...Object.entries(ENGINE_OPTIONS).map(([name, value]) => `${name}=${value}`)];
  // As the kernel has them: what Bun made of them leaves out its own.
  const words = readFileSync("/proc/self/cmdline", "latin1").split("\0").slice(0, -1);
  const libc = dlopen("libc.so.6", { execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" } });
  libc.symbols.execve(Buffer.from(`${process.execPath}\0`), stringArray(words), stringArray(variables));
  return err(`cannot start "${process.execPath}" again with ${variables.slice(-2).join(" ")}: execve failed`);
}

const POINTER_BYTES = 8;

/** A C array of strings and, in the same memory, what it points to. */
function stringArray(texts: readonly string[]): Buffer {
  const strings = Buffer.from(texts.map((text) => `${text}\0`).join(""), "latin1");
  const array = Buffer.concat([Buffer.alloc(POINTER_BYTES * (texts.length + 1)), strings]);
  let address = BigInt(ptr(array) + POINTER_BYTES * (texts.length + 1));
  for (const [i, text] of texts.entries()) {
    array.writeBigUInt64LE(address, POINTER_BYTES * i);
    address += BigInt(text.length + 1);
  }
  return array;
}
