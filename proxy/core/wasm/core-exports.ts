// The exports of a core module with the types of its functions, and the module with only some exports, under other names. For our
// own tools and their authors' modules: enough of the format to say clearly what is wrong, not a validator.

import { err, ok, type Result } from "../result.ts";
import type { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { SECTION } from "./core-module.ts";
import { CUSTOM_SECTION, readSections, type Section, type SectionError, tryRead, writeSections } from "./sections.ts";

export interface CoreExport {
  readonly name: string;
  readonly kind: "function" | "table" | "memory" | "global" | "other";
  readonly index: number;
  /** As in `(i32 i32) -> (i32)`; undefined when it is no function of the module's own. */
  readonly signature: string | undefined;
}

/** A section that is not there holds no entries. */
const NO_ENTRIES = Uint8Array.of(0);
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
export function readCoreExports(module: Uint8Array): Result<readonly CoreExport[], SectionError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const read = <Value>(id: number, how: (reader: ByteReader) => Value) =>
    tryRead(sections.value.find((section) => section.id === id)?.content ?? NO_ENTRIES, how);
  const types = read(SECTION.type, readTypes);
  const typeOf = read(SECTION.function, (reader) => readEach(reader, () => reader.u32()));
  const exports =
    types &&
    typeOf &&
    read(SECTION.export, (reader) =>
      readEach(reader, (): CoreExport => {
        const name = reader.text(module.length);
        const kind = KINDS[reader.byte()] ?? "other";
        const index = reader.u32();
        return { name, kind, index, signature: kind === "function" ? types[typeOf[index] ?? -1] : undefined };
      }),
    );
  return exports === undefined ? err({ kind: "truncated", offset: 0 }) : ok(exports);
}

function readEach<Value>(reader: ByteReader, read: () => Value): readonly Value[] {
  return Array.from({ length: reader.count("entries", reader.end) }, read);
}

/** Function types as text. Those of later proposals end the list: nothing of the policy world uses them. */
function readTypes(reader: ByteReader): readonly string[] {
  const types: string[] = [];
  for (let rest = reader.count("types", reader.end); rest > 0; rest--) {
    if (reader.byte() !== 0x60) return types;
    const values = () => readEach(reader, () => VALUE_TYPES.get(reader.byte()) ?? "other").join(" ");
    types.push(`(${values()}) -> (${values()})`);
  }
  return types;
}

/** The module with these exports only, and without custom sections, which hold names of functions and tools. */
export function withExports(
  module: Uint8Array,
  exports: readonly { readonly from: CoreExport; readonly name: string }[],
): Result<Uint8Array<ArrayBuffer>, SectionError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const writer = new ByteWriter();
  writer.u32(exports.length);
  for (const { from, name } of exports) {
    writer.text(name);
    writer.byte(KIND_BYTES[from.kind]);
    writer.u32(from.index);
  }
  const content = writer.finish();
  const kept = sections.value.filter(({ id }) => id !== CUSTOM_SECTION);
  return ok(
    writeSections(
      kept.map((section): Section => (section.id === SECTION.export ? { id: section.id, content } : section)),
      "module",
    ),
  );
}
