// Limits on the memory of all installed modules together: of the engine's compiler, and as linear memory. Each module has limits of
// its own; these keep many of them below the service's limit.

import { err, ok, type Result } from "../result.ts";
import type { ModuleBudgets } from "./module-entry.ts";

/** At most, in bytes. */
export interface ModuleMemory {
  /** As `core/wasm/compiler-memory.ts` estimates it. */
  readonly compilerBytes: number;
  /** Of all linear memories, grown as far as the budget goes. */
  readonly linearBytes: number;
}

/** What a prepared component says of itself. */
export interface MemoryOfComponent {
  readonly compilerBytes: number;
  /** How many linear memories it has. */
  readonly memories: number;
}

export const NO_MODULE_MEMORY: ModuleMemory = { compilerBytes: 0, linearBytes: 0 };

/** Twice the first is taken while one list of modules replaces another. */
export const MEMORY_OF_ALL_MODULES: ModuleMemory = { compilerBytes: 160 * 1024 * 1024, linearBytes: 256 * 1024 * 1024 };

export function memoryOfModule(
  { compilerBytes, memories }: MemoryOfComponent,
  { memoryBytes }: Pick<ModuleBudgets, "memoryBytes">,
): ModuleMemory {
  return { compilerBytes, linearBytes: memories * memoryBytes };
}

const IN_WORDS = { compilerBytes: "for compiling", linearBytes: "as their own memories" } as const;
const MIB = 1024 * 1024;

/**
 * Adds a module to those that are there.
 * @param taken - of all enabled modules before it
 * @returns what all of them take, or in words what is too much
 */
export function addModuleMemory(taken: ModuleMemory, more: ModuleMemory): Result<ModuleMemory, string> {
  const sum = { compilerBytes: taken.compilerBytes + more.compilerBytes, linearBytes: taken.linearBytes + more.linearBytes };
  for (const what of ["compilerBytes", "linearBytes"] as const) {
    const most = MEMORY_OF_ALL_MODULES[what];
    if (sum[what] <= most) continue;
    return err(
      `with it all enabled modules may take ${Math.ceil(sum[what] / MIB)} MiB ${IN_WORDS[what]} (${Math.ceil(more[what] / MIB)} of them for it), want at most ${most / MIB}`,
    );
  }
  return ok(sum);
}
