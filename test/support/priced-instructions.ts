// Each kind of instruction that the meter admits, as an endless loop of many of them in their slowest form: for the bench that compares prices
// with what they take, and for the test that the dear ones are priced.

import type { ModuleWat } from "./module-wat.ts";

const TIMES = 20;

interface Kind {
  readonly fields?: string;
  readonly memory?: string;
  /** Before the loop. */
  readonly before?: string;
  readonly body: string;
}

const F64_OF = "(f64.const 1e-310)";
const set = (type: string, expression: string): string => `(local.set $${type} ${expression})`;
const i = "(local.get $i32)";
const l = "(local.get $i64)";
const s = "(local.get $f32)";
const d = "(local.get $f64)";
const r = "(local.get $ref)";

const PASSES = "(param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)";
const PASSED = l.repeat(12);

export const PRICED: Readonly<Record<string, Kind>> = {
  "i32.add": { body: set("i32", `(i32.add ${i} (i32.const 3))`) },
  "i64.popcnt": { body: set("i64", `(i64.popcnt ${l})`) },
  "i64.rotl": { body: set("i64", `(i64.rotl ${l} ${l})`) },
  select: { body: set("i64", `(select ${l} (i64.const 3) ${i})`) },
  "br_if not taken": { body: `(block (br_if 0 (i32.eqz ${i})))`, before: "(local.set $i32 (i32.const 1))" },
  "br_if taken": { body: `(block (br_if 0 ${i}) (local.set $i64 (i64.const 1)))`, before: "(local.set $i32 (i32.const 1))" },
  br_table: { body: `(block $a (block $b (br_table $a $b $a $b ${i})))` },
  "a loop's head": { body: "(loop)" },
  "global.get, global.set": { fields: "(global $g (mut i64) (i64.const 0))", body: "(global.set $g (global.get $g))" },
  "i32.div_u": { body: set("i32", `(i32.div_u (i32.const -1) (i32.add ${i} (i32.const 3)))`) },
  "i64.div_s": { body: set("i64", "(i64.div_s (i64.const 0x7fffffffffffffff) (i64.or (local.get $i64) (i64.const 3)))") },
  "i64.rem_u": { body: set("i64", "(i64.rem_u (i64.const -1) (i64.or (local.get $i64) (i64.const 3)))") },
  "f64.add": { body: set("f64", `(f64.add ${d} ${F64_OF})`) },
  "f64.mul": { body: set("f64", `(f64.mul ${d} (f64.const 0.9999999))`), before: set("f64", F64_OF) },
  "f32.mul": { body: set("f32", `(f32.mul ${s} (f32.const 0.9999999))`), before: set("f32", "(f32.const 1e-40)") },
  "f64.div": { body: set("f64", `(f64.div ${d} (f64.const 0.9999999))`), before: set("f64", F64_OF) },
  "f64.sqrt": { body: set("f64", `(f64.mul (f64.sqrt ${d}) (f64.const 1e-160))`), before: set("f64", F64_OF) },
  "f32.sqrt": { body: set("f32", `(f32.mul (f32.sqrt ${s}) (f32.const 1e-22))`), before: set("f32", "(f32.const 1e-40)") },
  "f64.min": { body: set("f64", `(f64.min ${d} (f64.const nan))`) },
  "f64.copysign": { body: set("f64", `(f64.copysign ${d} (f64.const -1))`) },
  "f64.nearest": { body: set("f64", `(f64.nearest ${d})`), before: set("f64", F64_OF) },
  "f64.trunc": { body: set("f64", `(f64.trunc ${d})`), before: set("f64", F64_OF) },
  "f64.lt": { body: set("i32", `(f64.lt ${d} ${d})`), before: set("f64", F64_OF) },
  "f32.demote_f64": { body: set("f32", `(f32.demote_f64 ${d})`), before: set("f64", "(f64.const 1e-40)") },
  "f64.promote_f32": { body: set("f64", `(f64.promote_f32 ${s})`), before: set("f32", "(f32.const 1e-40)") },
  "i64.trunc_f64_s": { body: set("i64", `(i64.trunc_f64_s ${d})`), before: set("f64", "(f64.const 1e15)") },
  "i64.trunc_f64_u": { body: set("i64", `(i64.trunc_f64_u ${d})`), before: set("f64", "(f64.const 1e19)") },
  "i32.trunc_f32_u": { body: set("i32", `(i32.trunc_f32_u ${s})`), before: set("f32", "(f32.const 4e9)") },
  "i64.trunc_sat_f64_u": { body: set("i64", `(i64.trunc_sat_f64_u ${d})`), before: set("f64", "(f64.const 1e30)") },
  "i32.trunc_sat_f32_s": { body: set("i32", `(i32.trunc_sat_f32_s ${s})`), before: set("f32", "(f32.const nan)") },
  "f64.convert_i64_u": { body: set("f64", `(f64.convert_i64_u ${l})`), before: "(local.set $i64 (i64.const -1))" },
  "f32.convert_i64_u": { body: set("f32", `(f32.convert_i64_u ${l})`), before: "(local.set $i64 (i64.const -1))" },
  "i64.load": { body: set("i64", `(i64.load (i32.wrap_i64 ${l}))`) },
  "i64.load across a line": { body: set("i64", `(i64.load offset=61 (i32.wrap_i64 ${l}))`) },
  "i64.store": { body: `(i64.store offset=61 ${i} ${l})` },
  "store, load": {
    body: `(i32.store8 (i32.const 3) ${i}) ${set("i32", "(i32.load (i32.const 2))")} ${set("i32", `(i32.and ${i} (i32.const 7))`)}`,
  },
  call: { fields: "(func $f)", body: "(call $f)" },
  "call with 12 parameters": { fields: `(func $f ${PASSES})`, body: `(call $f ${PASSED})` },
  "call with 12 results": {
    fields: `(func $f (result ${"i64 ".repeat(12)}) ${"(i64.const 1)".repeat(12)})`,
    body: `(call $f) ${"(drop)".repeat(12)}`,
  },
  "call of a function with 2,000 locals": { fields: `(func $f (local ${"i64 ".repeat(2_000)}))`, body: "(call $f)" },
  "call of a function that holds floats": {
    fields: `(func $f (local ${"f64 ".repeat(40)}))`,
    body: "(call $f)",
  },
  recursion: {
    fields: "(func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))))))",
    body: "(call $f (i32.const 1000))",
  },
  "recursion with values": {
    fields:
      "(func $f (param i64 i64 f64) (result i64) (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1)) (else (i64.add (call $f (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (local.get 2)) (local.get 1)))))",
    body: "(drop (call $f (i64.const 1000) (i64.const 2) (f64.const 3)))",
  },
  call_indirect: { fields: "(table funcref (elem $f)) (type $t (func)) (func $f)", body: "(call_indirect (type $t) (i32.const 0))" },
  "call_indirect of many": {
    fields: `(table funcref (elem ${Array.from({ length: 16 }, (_, n) => `$f${n}`).join(" ")})) (type $t (func)) ${Array.from({ length: 16 }, (_, n) => `(func $f${n})`).join("")}`,
    body: `(call_indirect (type $t) (local.tee $i32 (i32.and (i32.mul (i32.add ${i} (i32.const 7)) (i32.const 5)) (i32.const 15))))`,
  },
  "ref.func": { fields: "(func $f) (elem declare func $f)", body: "(local.set $ref (ref.func $f))" },
  "ref.func into a global": {
    fields: "(func $f) (elem declare func $f) (global $g (mut funcref) (ref.null func))",
    body: "(global.set $g (ref.func $f))",
  },
  "a reference into a global": {
    fields: "(func $f) (elem declare func $f) (global $g (mut funcref) (ref.null func))",
    before: "(local.set $ref (ref.func $f))",
    body: `(global.set $g ${r})`,
  },
  "ref.is_null": { body: set("i32", `(ref.is_null ${r})`) },
  "table.get": { fields: "(func $f) (table funcref (elem $f))", body: "(local.set $ref (table.get 0 (i32.const 0)))" },
  "table.set": {
    fields: "(func $f) (elem declare func $f) (table 4 funcref)",
    before: "(local.set $ref (ref.func $f))",
    body: `(table.set 0 (i32.const 0) ${r})`,
  },
  "table.set of null": { fields: "(table 4 funcref)", body: "(table.set 0 (i32.const 0) (ref.null func))" },
  "table.size": { fields: "(table 4 funcref)", body: set("i32", "(table.size 0)") },
  "table.grow": { fields: "(table 4 funcref)", body: set("i32", "(table.grow 0 (ref.null func) (i32.const 0))") },
  "table.fill": { fields: "(table 64 funcref)", body: "(table.fill 0 (i32.const 0) (ref.null func) (i32.const 64))" },
  "table.fill with a function": {
    fields: "(func $f) (elem declare func $f) (table 64 funcref)",
    before: "(local.set $ref (ref.func $f))",
    body: `(table.fill 0 (i32.const 0) ${r} (i32.const 64))`,
  },
  "table.copy": {
    fields: `(func $f) (table 64 funcref) (elem (i32.const 0) func ${"$f ".repeat(64)})`,
    body: "(table.copy (i32.const 0) (i32.const 1) (i32.const 63))",
  },
  "table.init": {
    fields: `(func $f) (table 64 funcref) (elem $e func ${"$f ".repeat(60)})`,
    body: "(table.init $e (i32.const 0) (i32.const 0) (i32.const 60))",
  },
  "table.init of nothing": {
    fields: "(func $f) (table 64 funcref) (elem $e func $f)",
    body: "(table.init $e (i32.const 0) (i32.const 0) (i32.const 0))",
  },
  "elem.drop": { fields: "(func $f) (elem $e func $f)", body: "(elem.drop $e)" },
  "data.drop": { fields: `(data $d "x")`, body: "(data.drop $d)" },
  "memory.size": { body: set("i32", "(memory.size)") },
  "memory.grow of nothing": { memory: "1 1", body: "(drop (memory.grow (i32.const 0)))" },
  "memory.grow that fails": { memory: "1 1", body: "(drop (memory.grow (i32.const 65535)))" },
  "memory.fill of nothing": { body: "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0))" },
  "memory.fill of little": { body: "(memory.fill (i32.const 1) (i32.const 1) (i32.const 63))" },
  "memory.fill": { memory: "128 128", body: "(memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608))" },
  "memory.copy of little": { body: "(memory.copy (i32.const 1) (i32.const 0) (i32.const 63))" },
  "memory.copy": { memory: "128 128", body: "(memory.copy (i32.const 0) (i32.const 1) (i32.const 8388607))" },
  "memory.init": { fields: `(data $d "${"x".repeat(63)}")`, body: "(memory.init $d (i32.const 1) (i32.const 0) (i32.const 63))" },
};

/** For a bench: until the fuel is used up. */
export function endlessly(kind: Kind): ModuleWat {
  return around(kind, `(loop $ever ${kind.body.repeat(TIMES)} (br $ever)) (unreachable)`);
}

/** So many times, and then an answer. */
export function once(kind: Kind, times: number): ModuleWat {
  return around(kind, `${kind.body.repeat(times)} (i32.const 512)`);
}

function around({ fields, memory, before = "" }: Kind, code: string): ModuleWat {
  const locals = "(local $i32 i32) (local $i64 i64) (local $f32 f32) (local $f64 f64) (local $ref funcref)";
  const evaluate = `${locals} ${before} ${code}`;
  return { evaluate, ...(fields === undefined ? {} : { fields }), ...(memory === undefined ? {} : { memory }) };
}
