// Endless loops of what is slow for its fuel: each is the worst of its kind that was found. For benches of how soon they are over.

import type { ModuleWat } from "./module-wat.ts";

const NEXT_PAGE = "(i32.add (local.get $x) (i32.const 4096))";
/** Half of it: filling all of it takes more than the default fuel. */
const IN_MEMORY = "(i32.const 0x3fffff)";

function endless(locals: string, body: string, times: number): ModuleWat {
  return { memory: "128 128", evaluate: `${locals} (loop $ever ${body.repeat(times)} (br $ever)) (unreachable)` };
}

export const SLOW_LOOPS: Readonly<Record<string, ModuleWat>> = {
  "a loop of nothing": endless("", "", 0),
  "loads that miss every cache": endless(
    "(local $x i32) (memory.fill (i32.const 0) (i32.const 1) (i32.const 4194304))",
    `(local.set $x (i32.add ${NEXT_PAGE} (i32.load8_u (i32.and (local.get $x) ${IN_MEMORY}))))`,
    10,
  ),
  "stores into fresh pages": endless("(local $x i32)", `(i32.store8 (i32.and (local.tee $x ${NEXT_PAGE}) ${IN_MEMORY}) (i32.const 1))`, 10),
  "roots of denormal numbers": endless(
    "(local $x f64) (local.set $x (f64.const 1e-310))",
    "(local.set $x (f64.mul (f64.sqrt (local.get $x)) (f64.const 1e-160))) (f64.store (i32.const 3000) (local.get $x))",
    20,
  ),
  "filling memory": endless("", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 2097152))", 1),
};

const NEXT_LINE = "(i32.and (i32.add (i32.mul (local.get $line) (i32.const 1664525)) (i32.const 1013904223)) (i32.const 0x1ffff))";
/** Configure lays a chain through all 8 MiB, in an order that no cache foresees; evaluate follows it and does nothing else. */
export const CHAIN_OF_LOADS: ModuleWat = {
  memory: "128 128",
  realloc: "(i32.const 8)",
  configure: `(local $i i32) (local $line i32) (local $next i32)
    (loop $lines
      (local.set $next ${NEXT_LINE})
      (i32.store (i32.shl (local.get $line) (i32.const 6)) (i32.shl (local.get $next) (i32.const 6)))
      (local.set $line (local.get $next))
      (br_if $lines (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 131072))))
    (i32.const 264)`,
  evaluate: `(local $at i32) (loop $ever (local.set $at ${"(i32.load ".repeat(400)}(local.get $at)${")".repeat(400)}) (br $ever)) (unreachable)`,
};
