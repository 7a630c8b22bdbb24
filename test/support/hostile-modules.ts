// Policy modules that mean harm to the one who runs them, each with what must become of a request that reaches it. They are valid
// components with proper names: the guard takes them, and only running them shows what they are.

import type { ModuleFailure } from "../../proxy/adapters/policy/module-policy.ts";
import type { ModuleWat } from "./module-wat.ts";
import { outcomeWat } from "./wat-policy.ts";

export interface HostileModule {
  readonly name: string;
  readonly parts: ModuleWat;
  /** Why its first answer is `policy-failed`. */
  readonly causes: readonly ModuleFailure["kind"][];
}

const FOREVER = "(loop $ever (br $ever))";
const FINE = [1024, 4] as const;
const ABSTAIN = 2;

/** An outcome whose list of labels is where it should not be. */
const labelsAt = (pointer: number, count: number) => `(drop (block (result i32) ${outcomeWat(ABSTAIN, FINE)}))
  (i32.store (i32.const 532) (i32.const ${pointer})) (i32.store (i32.const 536) (i32.const ${count})) (i32.const 512)`;

/** An allocator that obeys until the module is configured. */
const TURNING_REALLOC: ModuleWat = {
  fields: "(global $armed (mut i32) (i32.const 0))",
  configure: "(global.set $armed (i32.const 1)) (i32.const 264)",
  realloc: `(if (global.get $armed) (then ${FOREVER})) (i32.const 8192)`,
};

export const ENDLESS: readonly HostileModule[] = [
  { name: "never ends", parts: { evaluate: `${FOREVER} (unreachable)` }, causes: ["out-of-fuel"] },
  { name: "never ends in its allocator", parts: TURNING_REALLOC, causes: ["out-of-fuel"] },
  { name: "never ends while it gives memory back", parts: { postEvaluate: FOREVER }, causes: ["out-of-fuel"] },
  {
    name: "fills its memory again and again",
    parts: { memory: "128 128", evaluate: "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608)) (br $l)) (unreachable)" },
    causes: ["out-of-fuel"],
  },
  {
    name: "calls itself without end",
    parts: {
      fields: "(func $f (param i64) (result i64) (i64.add (call $f (local.get 0)) (i64.const 1)))",
      evaluate: "(drop (call $f (i64.const 1))) (i32.const 512)",
    },
    causes: ["trapped", "out-of-fuel"],
  },
  {
    name: "takes all memory and writes behind it",
    parts: {
      memory: "1",
      evaluate: `(drop (memory.grow (i32.const 127))) (drop (memory.grow (i32.const 1)))
        (i32.store (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)) (i32.const 512)`,
    },
    causes: ["trapped"],
  },
];

const ANSWERS: Readonly<Record<string, string>> = {
  "an address outside its memory": "(i32.const -4)",
  "a record that ends outside its memory": "(i32.const 65528)",
  "an address that is not aligned": "(i32.const 514)",
  "a kind that there is not": outcomeWat(3, FINE),
  "a kind of which only the low bits are one": outcomeWat(0x82, FINE),
  "a reason outside its memory": outcomeWat(0, [65_530, 100]),
  "a reason whose end wraps around": outcomeWat(0, [1024, -1]),
  "a reason as large as its memory": outcomeWat(0, [0, 65_536]),
  "a reason of nothing": outcomeWat(0, [1024, 0]),
  "a reason that moves a terminal": `(i32.store (i32.const 2048) (i32.const 0x6d305b1b)) ${outcomeWat(0, [2048, 4])}`,
  "a reason that begins a line of the log": `(i32.store (i32.const 2048) (i32.const 0x6465670a)) ${outcomeWat(0, [2048, 4])}`,
  "a rule that is not UTF-8": `(i32.store (i32.const 2048) (i32.const 0x80ff80c3)) ${outcomeWat(0, FINE, [2048, 4])}`,
  "a rule with half of a surrogate pair": `(i32.store (i32.const 2048) (i32.const 0x0080a0ed)) ${outcomeWat(0, FINE, [2048, 3])}`,
  "a rule that is too long": outcomeWat(0, FINE, [0, 4_097]),
  "labels outside its memory": labelsAt(65_528, 2),
  "so many labels that their size wraps around": labelsAt(1024, 0x10000001),
  "labels that are not aligned": labelsAt(1026, 1),
};

export const NONSENSE: readonly HostileModule[] = Object.entries(ANSWERS).map(([name, evaluate]) => ({
  name: `answers ${name}`,
  parts: { evaluate },
  causes: ["nonsense"],
}));

/** Behaves for so many calls of an instance, and then does something else: never ends, when not said otherwise. */
export function turningModule(goodCalls: number, turned = FOREVER): ModuleWat {
  return {
    fields: "(global $calls (mut i32) (i32.const 0))",
    evaluate: `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.gt_u (global.get $calls) (i32.const ${goodCalls})) (then ${turned})) ${outcomeWat(ABSTAIN, FINE)}`,
  };
}

/** Takes a page of memory with each call, and traps when it gets no more. */
export const LEAKING: ModuleWat = {
  memory: "1",
  evaluate: `(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) ${outcomeWat(ABSTAIN, FINE)}`,
};

/** Each is over before the module can be asked anything. */
export const NEVER_STARTING: Readonly<Record<string, ModuleWat>> = {
  "never ends in its start function": { fields: `(func $s ${FOREVER}) (start $s)` },
  "traps in its start function": { fields: "(func $s unreachable) (start $s)" },
  "never ends in configure": { configure: `${FOREVER} (unreachable)` },
  "traps in configure": { configure: "unreachable" },
  "answers configure outside its memory": { configure: "(i32.const -8)" },
  "never ends in its allocator": { realloc: `${FOREVER} (unreachable)` },
  "allocates outside its memory": { realloc: "(i32.const -8)" },
};
