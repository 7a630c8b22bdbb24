// Hand-made policy components for tests, from WebAssembly text: a module with every export the world wants, whose behaviour the
// test fills in. Data at 1024 may be used freely; the outcome record stands at 512.

import { parse } from "@bytecodealliance/jco";
import { CORE_MODULE_SECTION, writeSections } from "../../proxy/core/wasm/sections.ts";

const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";

export interface WatParts {
  /** Instructions of `evaluate`; they must leave the result pointer. Parameter 0 is the argument pointer. */
  readonly evaluate?: string;
  readonly configure?: string;
  /** Parameters 0 to 3 are old pointer, old size, alignment, new size. */
  readonly realloc?: string;
  /** Further fields of the module: data, globals, functions, imports. */
  readonly fields?: string;
  /** Export this name is left out. */
  readonly without?: string;
}

/** Writes an outcome without labels at 512 and leaves its address. */
export function outcomeWat(
  kind: number,
  reason: readonly [pointer: number, bytes: number],
  rule: readonly [pointer: number, bytes: number] = [0, 0],
): string {
  const words = [reason[0], reason[1], rule[0], rule[1], 0, 0];
  return [
    `(i32.store8 (i32.const 512) (i32.const ${kind}))`,
    ...words.map((word, i) => `(i32.store (i32.const ${516 + 4 * i}) (i32.const ${word}))`),
    "(i32.const 512)",
  ].join("\n");
}

export async function componentFromWat({ evaluate, configure, realloc, fields, without }: WatParts): Promise<Uint8Array> {
  const functions: readonly (readonly [string, string, string])[] = [
    ["cabi_realloc", "(param i32 i32 i32 i32) (result i32)", realloc ?? "(i32.const 4096)"],
    [`${INTERFACE}#validate-settings`, "(param i32 i32) (result i32)", "(i32.const 256)"],
    [`${INTERFACE}#configure`, "(param i32 i32) (result i32)", configure ?? "(i32.const 256)"],
    [`${INTERFACE}#evaluate`, "(param i32) (result i32)", evaluate ?? outcomeWat(0, [1024, 4])],
    [`cabi_post_${INTERFACE}#evaluate`, "(param i32)", ""],
  ];
  const written = functions.filter(([name]) => name !== without).map(([name, type, body]) => `(func (export "${name}") ${type} ${body})`);
  const wat = `(module ${fields ?? '(data (i32.const 1024) "fine")'} ${without === "memory" ? "(memory 1)" : '(memory (export "memory") 1 16)'}\n${written.join("\n")})`;
  return writeSections([{ id: CORE_MODULE_SECTION, content: await parse(wat) }], "component");
}
