// The exports of a core module with the types of its functions, and the module with only some exports, under other names. For our
// own tools and their authors' modules: enough of the format to say clearly what is wrong, not a validator.

import { err, ok, type Result } from "../result.ts";
import { type BinaryError, CUSTOM_SECTION, readSections, type Section, writeSections } from "./wasm-binary.ts";

export interface CoreExport {
  readonly name: string;
  readonly kind: "function" | "table" | "memory" | "global" | "other";
  readonly index: number;
  /** As in `(i32 i32) -> (i32)`; undefined when it is no function of the module's own. */
  readonly signature: string | undefined;
}

const TYPE_SECTION = 1;
const FUNCTION_SECTION = 3;
const EXPORT_SECTION = 7;
const KINDS = ["function", "table", "memory", "global"] as const;
const KIND_BYTES = { function: 0, table: 1, memory: 2, global: 3, other: 4 } as const;
const VALUE_TYPES = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
]);

/** The module must import nothing: only then is a function's index its place in the function section. */
export function readCoreExports(module: Uint8Array): Result<readonly CoreExport[], BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const content = (id: number) => new Reader(sections.value.find((section) => section.id === id)?.content ?? Uint8Array.of(0));
  try {
    const types = readTypes(content(TYPE_SECTION));
    const functions = content(FUNCTION_SECTION);
    const typeOf = Array.from({ length: functions.unsigned() }, () => functions.unsigned());
    const exports = content(EXPORT_SECTION);
    return ok(
      Array.from({ length: exports.unsigned() }, (): CoreExport => {
        const name = exports.text();
        const kind = KINDS[exports.byte()] ?? "other";
        const index = exports.unsigned();
        return { name, kind, index, signature: kind === "function" ? types[typeOf[index] ?? -1] : undefined };
      }),
    );
  } catch (error) {
    if (error instanceof Truncated) return err({ kind: "truncated", offset: 0 });
    throw error;
  }
}

/** Function types as text. Those of later proposals end the list: nothing of the policy world uses them. */
function readTypes(reader: Reader): readonly string[] {
  const types: string[] = [];
  for (let rest = reader.unsigned(); rest > 0; rest--) {
    if (reader.byte() !== 0x60) return types;
    const values = () => Array.from({ length: reader.unsigned() }, () => VALUE_TYPES.get(reader.byte()) ?? "other").join(" ");
    types.push(`(${values()}) -> (${values()})`);
  }
  return types;
}

/** The module with these exports only, and without custom sections, which hold names of functions and tools. */
export function withExports(
  module: Uint8Array,
  exports: readonly { readonly from: CoreExport; readonly name: string }[],
): Result<Uint8Array<ArrayBuffer>, BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const entries = exports.flatMap(({ from, name }) => {
    const text = new TextEncoder().encode(name);
    return [...unsignedBytes(text.length), ...text, KIND_BYTES[from.kind], ...unsignedBytes(from.index)];
  });
  const content = Uint8Array.from([...unsignedBytes(exports.length), ...entries]);
  const kept = sections.value.filter(({ id }) => id !== CUSTOM_SECTION);
  return ok(
    writeSections(
      kept.map((section): Section => (section.id === EXPORT_SECTION ? { id: section.id, content } : section)),
      "module",
    ),
  );
}

function unsignedBytes(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsignedBytes(value >>> 7)];
}

class Truncated extends Error {}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new Truncated();
    return byte;
  }

  /** Counts and indexes; none is larger than what is left of the section times a few. */
  unsigned(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 2 ** 24) throw new Truncated();
        return value;
      }
    }
    throw new Truncated();
  }

  text(): string {
    const length = this.unsigned();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Truncated();
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return text;
  }
}
