// Random core modules that end by themselves: functions of loops, branches, calls, memory and globals, in text form. Each statement can
// count a tick in an exported global, so that a test knows from the inside how much ran.

import type { Random } from "./random.ts";

const I32_BINARY = [
  "add",
  "sub",
  "mul",
  "and",
  "or",
  "xor",
  "shl",
  "shr_u",
  "shr_s",
  "rotl",
  "div_u",
  "rem_s",
  "eq",
  "lt_s",
  "gt_u",
] as const;
const I64_BINARY = ["add", "sub", "mul", "xor", "shr_u", "rotr", "div_s", "rem_u"] as const;
const F64_BINARY = ["add", "sub", "mul", "div", "min", "max", "copysign"] as const;
const F64_UNARY = ["sqrt", "abs", "neg", "floor", "nearest"] as const;

/** Instructions of one tick, each of which costs a unit at least. */
export const UNITS_PER_TICK = 4;
const TICK = "(global.set $ticks (i64.add (global.get $ticks) (i64.const 1)))";

/** Exports `run` (i32, i64, f64) -> i32, `memory`, and the globals `ticks`, `state` and `level`. */
export function randomWat(random: Random): string {
  const functions = 2 + random.below(4);
  const bodies = Array.from({ length: functions }, (_, i) => writeFunction(random, i));
  const names = bodies.map((_, i) => `$f${i}`).join(" ");
  return `(module
    (type $f (func (param i32 i64 f64) (result i32)))
    (memory (export "memory") 1 4)
    (table 16 funcref) (elem (i32.const 0) ${names})
    (global $fixed i32 (i32.const 77))
    (global $ticks (export "ticks") (mut i64) (i64.const 0))
    (global $state (export "state") (mut i32) (i32.const 1))
    (global $level (export "level") (mut f64) (f64.const 0.5))
    (data (i32.const 64) "some bytes to begin with")
    ${bodies.join("\n")}
    (func (export "run") (type $f) (call $f${functions - 1} (local.get 0) (local.get 1) (local.get 2))))`;
}

function writeFunction(random: Random, index: number): string {
  const writer = new FunctionWriter(random, index);
  return `(func $f${index} (type $f) (local $i i32) (local $j i64) (local $d f64) ${"(local $n0 i32) (local $n1 i32) (local $n2 i32)"}
    ${writer.statements(3, 0)} ${writer.i32(2)})`;
}

class FunctionWriter {
  readonly #random: Random;
  readonly #index: number;

  constructor(random: Random, index: number) {
    this.#random = random;
    this.#index = index;
  }

  statements(depth: number, loops: number): string {
    return this.#random.list(1, 4, () => this.#statement(depth, loops)).join("\n");
  }

  #statement(depth: number, loops: number): string {
    const random = this.#random;
    const tick = random.oneIn(2) ? TICK : "";
    if (depth === 0) return `${tick} ${this.#simple()}`;
    const inner = (): string => this.statements(depth - 1, loops);
    switch (random.below(8)) {
      case 0:
        return `${tick} (if ${this.i32(1)} (then ${inner()}) (else ${inner()}))`;
      case 1:
        return `${tick} (if ${this.i32(1)} (then ${inner()}))`;
      case 2:
        return `(block ${inner()} (br_if 0 ${this.i32(1)}) ${inner()})`;
      case 3: {
        if (loops === 3) return this.#simple();
        const counter = `$n${loops}`;
        const body = this.statements(depth - 1, loops + 1);
        return `(local.set ${counter} (i32.const ${1 + random.below(5)}))
          (loop ${tick} ${body} (local.set ${counter} (i32.sub (local.get ${counter}) (i32.const 1)))
            (br_if 0 (i32.gt_s (local.get ${counter}) (i32.const 0))))`;
      }
      case 4:
        return `(block (block (block (br_table 0 1 2 ${this.i32(1)})) ${inner()} (br 1)) ${inner()}) ${tick}`;
      case 5:
        return `(local.set $i (block (result i32) (if ${this.i32(1)} (then (br 1 ${this.i32(1)}))) ${tick} ${this.i32(1)}))`;
      case 6:
        return random.oneIn(6) ? `(if ${this.i32(1)} (then (return ${this.i32(1)})))` : this.#simple();
      default:
        return `${tick} ${this.#simple()}`;
    }
  }

  #simple(): string {
    switch (this.#random.below(9)) {
      case 0:
        return `(local.set $i ${this.i32(2)})`;
      case 1:
        return `(local.set $j ${this.#i64(2)})`;
      case 2:
        return `(local.set $d ${this.#f64(2)})`;
      case 3:
        return `(global.set $state ${this.i32(1)})`;
      case 4:
        return `(global.set $level ${this.#f64(1)})`;
      case 5:
        return `(i32.store8 ${this.#address()} ${this.i32(1)})`;
      case 6:
        return `(memory.fill ${this.#address()} ${this.i32(1)} (i32.const ${this.#random.below(200)}))`;
      case 7:
        return `(memory.copy ${this.#address()} ${this.#address()} (i32.const ${this.#random.below(200)}))`;
      default:
        return `(drop (memory.grow (i32.const ${this.#random.below(2)})))`;
    }
  }

  #address(): string {
    return `(i32.and ${this.i32(1)} (i32.const 0xfff8))`;
  }

  i32(depth: number): string {
    const random = this.#random;
    if (depth === 0)
      return random.pick([
        "(local.get 0)",
        "(local.get $i)",
        "(global.get $state)",
        "(global.get $fixed)",
        `(i32.const ${random.below(99) - 9})`,
      ]);
    switch (random.below(7)) {
      case 0:
        return `(i32.load ${this.#address()})`;
      case 1:
        return `(i32.wrap_i64 ${this.#i64(depth - 1)})`;
      case 2:
        return `(i32.trunc_sat_f64_s ${this.#f64(depth - 1)})`;
      case 3:
        return this.#call(depth - 1);
      case 4:
        return `(select ${this.i32(depth - 1)} ${this.i32(depth - 1)} ${this.i32(depth - 1)})`;
      default:
        return `(i32.${random.pick(I32_BINARY)} ${this.i32(depth - 1)} ${this.i32(depth - 1)})`;
    }
  }

  /** Only of functions before this one, so that calls end. */
  #call(depth: number): string {
    if (this.#index === 0 || !this.#random.oneIn(3)) return this.i32(0);
    const target = this.#random.below(this.#index);
    const values = `${this.i32(0)} ${this.#i64(0)} ${this.#f64(0)}`;
    return this.#random.oneIn(2)
      ? `(call $f${target} ${values})`
      : `(call_indirect (type $f) ${values} (i32.const ${depth > 5 ? 0 : target}))`;
  }

  #i64(depth: number): string {
    const random = this.#random;
    if (depth === 0) return random.pick(["(local.get 1)", "(local.get $j)", `(i64.const ${random.below(1000) - 100})`]);
    if (random.oneIn(3)) return `(i64.extend_i32_s ${this.i32(depth - 1)})`;
    return `(i64.${random.pick(I64_BINARY)} ${this.#i64(depth - 1)} ${this.#i64(depth - 1)})`;
  }

  #f64(depth: number): string {
    const random = this.#random;
    if (depth === 0) return random.pick(["(local.get 2)", "(local.get $d)", "(global.get $level)", `(f64.const ${random.below(100) / 8})`]);
    if (random.oneIn(3)) return `(f64.convert_i32_s ${this.i32(depth - 1)})`;
    if (random.oneIn(3)) return `(f64.${random.pick(F64_UNARY)} ${this.#f64(depth - 1)})`;
    return `(f64.${random.pick(F64_BINARY)} ${this.#f64(depth - 1)} ${this.#f64(depth - 1)})`;
  }
}
