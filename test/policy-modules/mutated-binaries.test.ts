// Broken binaries by the thousand: whatever the guard and the meter take, two validators that are not ours must take too. The engine's
// own checks the core modules, as they came and as they were metered; that of jco's tools checks everything around them.
// MUTANTS=10000 SEED=7 bun test test/policy-modules/mutated-binaries.test.ts

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { componentWit } from "@bytecodealliance/jco";
import { readComponent } from "../../proxy/core/wasm/component-reader.ts";
import { DEFAULT_PREPARATION_LIMITS } from "../../proxy/core/wasm/core-limits.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { componentFromModuleWat } from "../support/module-wat.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";
import { mutate } from "../support/wasm-mutator.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MUTANTS = Number(process.env.MUTANTS ?? 1_500);
const SEED = Number(process.env.SEED ?? 1);
/** Nothing may take longer on one file, however slow the machine. */
const MAX_MS = 30_000;

const EVERYTHING = `
  (type $t (func (param i32) (result i32))) (table $table 4 funcref) (elem (i32.const 0) $double $half) (elem $later func $double)
  (global $count (mut i64) (i64.const 0)) (data $more "more") (elem declare func $half)
  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $half (param i32) (result i32) (if (result i32) (local.get 0) (then (i32.shr_u (local.get 0) (i32.const 1))) (else (i32.const 9))))
  (func $pair (param i32) (result i32 i64) (local.get 0) (i64.extend_i32_u (local.get 0)))
  (func $use (param $n i32) (result i32) (local $x f64) (local $r funcref)
    (block $out (loop $again (br_if $out (i32.eqz (local.get $n)))
      (global.set $count (i64.add (global.get $count) (i64.const 3)))
      (local.set $x (f64.sqrt (f64.convert_i32_s (local.get $n))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (block $a (block $b (block $c (br_table $a $b $c $again (local.get $n)))))
      (br $again)))
    (memory.init $more (i32.const 2000) (i32.const 0) (i32.const 4)) (memory.copy (i32.const 2100) (i32.const 2000) (i32.const 4))
    (memory.fill (i32.const 2200) (i32.const 7) (i32.const 40)) (data.drop $more)
    (table.init $later (i32.const 2) (i32.const 0) (i32.const 1)) (table.copy (i32.const 3) (i32.const 0) (i32.const 1))
    (local.set $r (table.get (i32.const 1))) (table.set (i32.const 0) (local.get $r)) (drop (ref.is_null (ref.func $half)))
    (drop (table.grow (ref.null func) (i32.const 1))) (table.fill (i32.const 0) (local.get $r) (i32.const 2))
    (call $pair (local.get $n)) (drop)
    (drop (memory.grow (i32.const 1)))
    (i32.add (i32.trunc_sat_f64_s (local.get $x)))
    (drop) (call_indirect (type $t) (select (i32.const 4) (i32.const 6) (local.get $n)) (i32.const 1)))`;

interface Subject {
  readonly name: string;
  readonly bytes: Uint8Array;
}

async function subjects(): Promise<readonly Subject[]> {
  const engine = readFileSync(join(import.meta.dir, "../../build/policy/engine.component.wasm"));
  return [
    { name: "the rules engine", bytes: new Uint8Array(engine) },
    { name: "a small module", bytes: await componentFromModuleWat({}) },
    { name: "a module with one of everything", bytes: await componentFromModuleWat({ fields: EVERYTHING, memory: "1 4" }) },
  ];
}

async function judge(bytes: Uint8Array): Promise<"refused" | "taken" | string> {
  const started = performance.now();
  const result = prepareComponent(bytes);
  if (performance.now() - started > MAX_MS) return "took too long";
  if (!result.ok) return result.error.offset <= bytes.length ? "refused" : "an offset behind the file";
  const { modules } = result.value.prepared;
  const cores = readComponent(bytes, DEFAULT_PREPARATION_LIMITS).core.modules;
  for (const [i, { start, end }] of cores.entries()) {
    if (!WebAssembly.validate(bytes.slice(start, end))) return "the engine refuses a core module";
    if (!WebAssembly.validate(Uint8Array.from(modules[i] ?? []))) return "the engine refuses a metered module";
  }
  try {
    await componentWit(bytes);
  } catch (error) {
    return `the tools refuse the component: ${error instanceof Error ? error.message : String(error)}`;
  }
  return "taken";
}

async function run(subject: Subject, random: Random, mutants: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = { taken: 0, refused: 0 };
  for (let i = 0; i < mutants; i++) {
    const mutant = mutate(subject.bytes, random);
    const verdict = await judge(mutant);
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (verdict !== "taken" && verdict !== "refused") {
      throw new Error(`seed ${random.seed}, ${subject.name}, mutant ${i}: ${verdict}: ${Buffer.from(mutant).toString("base64")}`);
    }
  }
  return counts;
}

describe("mutated binaries", () => {
  test(`T-106: nothing is taken that a second validator refuses (seed ${SEED}, ${MUTANTS} mutants)`, async () => {
    const all = await subjects();
    for (const subject of all) {
      expect(await judge(subject.bytes)).toBe("taken");
      const counts = await run(subject, seededRandom(SEED), Math.ceil(MUTANTS / all.length));
      // Both kinds must occur, or the mutator has become too coarse or too fine to show anything.
      expect(counts.taken).toBeGreaterThan(0);
      expect(counts.refused).toBeGreaterThan(0);
    }
  }, 600_000);

  test("T-106: no bytes make it throw", () => {
    const random = seededRandom(SEED);
    for (let i = 0; i < 500; i++) {
      const bytes = Uint8Array.from([
        0,
        0x61,
        0x73,
        0x6d,
        0x0d,
        0,
        1,
        0,
        ...random.list(0, 60, () => random.below(random.oneIn(2) ? 16 : 256)),
      ]);
      expect(typeof prepareComponent(bytes).ok).toBe("boolean");
    }
  });
});
