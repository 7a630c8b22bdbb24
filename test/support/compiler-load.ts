// Modules that make the engine's compiler take much memory, each in a way of its own, and what one of them takes: measured in a process that does
// nothing else, from compiling until its functions were called so often that the engine has made machine code of them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENGINE_OPTIONS } from "../../proxy/adapters/native/engine-options.ts";
import type { ModuleWat } from "./module-wat.ts";

const CALLS = 40;

/**
 * @param body - of each function; parameter 0 is 0, and what stands behind the first line is only compiled
 * @param functions - how many of them
 */
function functionsOf(body: string, functions: number, { locals = 0, fields = "" } = {}): ModuleWat {
  const declared = locals === 0 ? "" : `(local ${"i64 ".repeat(locals)})`;
  const each = (i: number) => `(func $f${i} (param i32) ${declared} (if (i32.eqz (local.get 0)) (then (return))) ${body})`;
  const all = Array.from({ length: functions }, (_, i) => i);
  const calls = all.map((i) => `(call $f${i} (i32.const 0))`).join("");
  const abstain = `(i32.store8 (i32.const 512) (i32.const 2)) (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 4)) (i32.const 512)`;
  return {
    fields: `${fields} ${all.map(each).join("\n")}`,
    evaluate: `${calls.repeat(Math.max(1, Math.floor(CALLS / functions)))} ${abstain}`,
  };
}

/** `times` pieces of code over values that stay on the stack. */
function overValues(values: number, code: string): string {
  return `${"(i64.load (i32.const 8))".repeat(values)} ${code} ${"(drop)".repeat(values)}`;
}

const LOOP = "(loop)";

/** How large each is: 1 is as near to the limits as goes. */
export const COMPILER_LOADS: Readonly<Record<string, (size: number) => ModuleWat>> = {
  "loops over many locals": (size) => functionsOf(LOOP.repeat(2_600 * size), 1, { locals: 1_990 }),
  "functions with few loops over many locals": (size) => functionsOf(LOOP.repeat(100), 26 * size, { locals: 1_990 }),
  "loops over values on the stack": (size) => functionsOf(overValues(1_000, LOOP.repeat(200)), 22 * size),
  "loops in loops": (size) => functionsOf(`${"(loop ".repeat(500)}${")".repeat(500)}`.repeat(5), 2 * size, { locals: 900 }),
  "loops with nothing": (size) => functionsOf(LOOP.repeat(15_000), 9 * size),
  "blocks and branches": (size) => functionsOf("(block (br_if 0 (local.get 0)))".repeat(16_000), 16 * size),
  "branch tables": (size) => functionsOf(`(block (br_table ${"0 ".repeat(4_000)} (local.get 0)))`.repeat(100), 4 * size),
  "values that branches move": (size) =>
    functionsOf(
      `(block (type $v) (i64.const 9) ${"(i64.load (i32.const 8))".repeat(60)} ${"(br_if 0 (local.get 0))".repeat(8_000)} (return)) ${"(drop)".repeat(60)}`,
      8 * size,
      { fields: `(type $v (func (result ${"i64 ".repeat(60)})))` },
    ),
  calls: (size) => functionsOf("(call $g)".repeat(100_000), 2 * size, { fields: "(func $g)" }),
  "calls with many parameters": (size) =>
    functionsOf(`${"(i64.const 1)".repeat(100)} (call $g)`.repeat(1_000), 12 * size, { fields: `(func $g (param ${"i64 ".repeat(100)}))` }),
  "calls through a table": (size) =>
    functionsOf("(call_indirect (type $t) (local.get 0))".repeat(30_000), 4 * size, { fields: "(table 4 funcref) (type $t (func))" }),
  divisions: (size) => functionsOf(`(local.set 1 (i64.div_s (local.get 1) (local.get 1)))`.repeat(40_000), 8 * size, { locals: 1 }),
  "references from a table": (size) =>
    functionsOf("(drop (table.get 0 (local.get 0)))".repeat(50_000), 6 * size, { fields: "(table 4 funcref)" }),
  functions: (size) => functionsOf("", 20_000 * size),
};

/** A few KiB, far below every limit, for which the second compiler would take gigabytes. */
export const OPTIMIZER_BOMB: ModuleWat = functionsOf(
  `${Array.from({ length: 1_000 }, (_, i) => `(if (local.get 0) (then (local.set ${1 + (i % 100)} (i64.add (local.get ${1 + (i % 100)}) (i64.const 1)))))`).join("")}
  (i64.const 0) ${Array.from({ length: 100 }, (_, i) => `(i64.add (local.get ${1 + i}))`).join("")} (global.set $sum)`,
  1,
  { locals: 100, fields: "(global $sum (mut i64) (i64.const 0))" },
);

export interface CompilerLoad {
  /** More than before compiling, at most. */
  readonly peakBytes: number;
  readonly estimatedBytes: number;
}

/** Compiles and asks the component in a process of its own, with the options of the engine that the agent has. */
export async function measureCompiler(component: Uint8Array, calls: number): Promise<CompilerLoad> {
  const folder = mkdtempSync(join(tmpdir(), "apa-compiler-"));
  try {
    const path = join(folder, "policy.wasm");
    writeFileSync(path, component);
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "compile-in-child.ts"), path, String(calls)], {
      env: { ...process.env, ...ENGINE_OPTIONS, BUN_GC_TIMER_DISABLE: "1" },
      stdout: "pipe",
      stderr: "inherit",
    });
    const text = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error(`the process that compiles ended with ${child.exitCode ?? child.signalCode}`);
    return JSON.parse(text) as CompilerLoad;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
