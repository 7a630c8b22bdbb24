// Endless loops of what is slow for its fuel: each is the worst of its kind that was found. For benches of how soon they are over.

import type { ModuleWat } from "./module-wat.ts";

const NEXT_PAGE = "(i32.add (local.get $x) (i32.const 4096))";
const IN_MEMORY = "(i32.const 0x7fffff)";

function endless(locals: string, body: string, times: number): ModuleWat {
  return { memory: "128 128", evaluate: `${locals} (loop $ever ${body.repeat(times)} (br $ever)) (unreachable)` };
}

export const SLOW_LOOPS: Readonly<Record<string, ModuleWat>> = {
  "a loop of nothing": endless("", "", 0),
  "loads that miss every cache": endless(
    "(local $x i32) (memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608))",
    `(local.set $x (i32.add ${NEXT_PAGE} (i32.load8_u (i32.and (local.get $x) ${IN_MEMORY}))))`,
    10,
  ),
  "stores into fresh pages": endless("(local $x i32)", `(i32.store8 (i32.and (local.tee $x ${NEXT_PAGE}) ${IN_MEMORY}) (i32.const 1))`, 10),
  "roots of denormal numbers": endless(
    "(local $x f64) (local.set $x (f64.const 1e-310))",
    "(local.set $x (f64.mul (f64.sqrt (local.get $x)) (f64.const 1e-160))) (f64.store (i32.const 3000) (local.get $x))",
    20,
  ),
  "filling all memory": endless("", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608))", 1),
};
