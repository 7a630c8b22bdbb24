// Makes a policy component of one core module: the wrapping of our own engine with another module inside. So authors of C, Rust and
// AssemblyScript modules need no component tools. What it makes still goes through every check when it is added.

import { readEngineTemplate } from "../../adapters/policy/engine-artifact.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { type CoreExport, readCoreExports, withExports } from "../../core/wasm/core-exports.ts";
import { CORE_MODULE_SECTION, CUSTOM_SECTION, readSections, type Section, writeSections } from "../../core/wasm/sections.ts";

const MAX_NAMED = 12;

interface Wanted {
  readonly name: string;
  /** What languages whose names are plain words export instead. */
  readonly word: string;
  readonly kind: "function" | "memory";
  readonly signature: string | undefined;
}

const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";
const FUNCTIONS: readonly (readonly [name: string, signature: string])[] = [
  ["validate-settings", "(i32 i32) -> (i32)"],
  ["configure", "(i32 i32) -> (i32)"],
  ["evaluate", "(i32) -> (i32)"],
];

const WANTED: readonly Wanted[] = [
  { name: "memory", word: "memory", kind: "memory", signature: undefined },
  { name: "cabi_realloc", word: "cabi_realloc", kind: "function", signature: "(i32 i32 i32 i32) -> (i32)" },
  ...FUNCTIONS.flatMap(([name, signature]): Wanted[] => {
    const word = name.replace("-", "_");
    return [
      { name: `${INTERFACE}#${name}`, word, kind: "function", signature },
      { name: `cabi_post_${INTERFACE}#${name}`, word: `post_${word}`, kind: "function", signature: "(i32) -> ()" },
    ];
  }),
];

/**
 * The component around a core module that exports what the world wants, under the names of the component model or as plain words.
 * The same module always gives the same file.
 * @returns the file, or what is wrong, in words that follow "cannot make a component of …: "
 */
export function componentize(core: Uint8Array): Result<Uint8Array<ArrayBuffer>, string> {
  const trouble = findTrouble(core);
  if (trouble !== undefined) return err(trouble);
  const exports = readCoreExports(core);
  if (!exports.ok) return err("its exports cannot be read");
  const chosen: { from: CoreExport; name: string }[] = [];
  for (const wanted of WANTED) {
    const from = exports.value.find(({ name }) => name === wanted.name) ?? exports.value.find(({ name }) => name === wanted.word);
    if (from === undefined) return err(describeMissing(wanted, exports.value));
    if (from.kind !== wanted.kind) return err(`its export "${from.name}" is a ${from.kind}, want a ${wanted.kind}`);
    if (from.signature !== wanted.signature)
      return err(`its function "${from.name}" is ${from.signature ?? "of an unknown type"}, want ${wanted.signature}`);
    chosen.push({ from, name: wanted.name });
  }
  const inner = withExports(core, chosen);
  const template = readSections(readEngineTemplate(), "component");
  if (!inner.ok || !template.ok) throw new Error("internal error: unusable engine template");
  const sections = template.value.filter(({ id }) => id !== CUSTOM_SECTION);
  return ok(
    writeSections(
      sections.map((section): Section => (section.id === CORE_MODULE_SECTION ? { id: section.id, content: inner.value } : section)),
      "component",
    ),
  );
}

function findTrouble(core: Uint8Array): string | undefined {
  const sections = readSections(core, "module");
  if (!sections.ok) {
    if (readSections(core, "component").ok) return "it is a component already";
    return sections.error.kind === "not-wasm" ? "it is no WebAssembly module" : "it is cut off";
  }
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(Uint8Array.from(core));
  } catch (error) {
    return `it is not valid: ${describeError(error)}`;
  }
  const [found] = WebAssembly.Module.imports(module);
  if (found !== undefined) return `it imports "${found.name}" of "${found.module}", want no import: a policy can only answer`;
  return undefined;
}

function describeMissing({ name, word }: Wanted, exports: readonly CoreExport[]): string {
  const names = exports.slice(0, MAX_NAMED).map((each) => `"${each.name}"`);
  const more = exports.length > MAX_NAMED ? " and more" : "";
  const both = name === word ? `"${name}"` : `"${name}" or "${word}"`;
  return `it does not export ${both}; it exports ${names.length === 0 ? "nothing" : names.join(", ")}${more}`;
}
