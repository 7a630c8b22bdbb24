// The outline of a WebAssembly binary: the sections of a core module or a component, taken apart and put together. It never judges
// whether what is in them is valid.

import { err, ok, type Result } from "../result.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Refused } from "./refuse.ts";

export type BinaryKind = "module" | "component";

export interface Section {
  readonly id: number;
  /** Without the id byte and the length. */
  readonly content: Uint8Array;
}

export type SectionError =
  | { readonly kind: "not-wasm"; readonly wanted: BinaryKind }
  | { readonly kind: "truncated"; readonly offset: number };

/** Both kinds: custom. */
export const CUSTOM_SECTION = 0;
/** In a component; its content is a whole core module. */
export const CORE_MODULE_SECTION = 1;

/** The first eight bytes: magic number, version and layer. */
export const PREAMBLES: Readonly<Record<BinaryKind, Uint8Array>> = {
  module: Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00),
  component: Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00),
};

/** In file order; each content is a part of `bytes`. */
export function readSections(bytes: Uint8Array, wanted: BinaryKind): Result<readonly Section[], SectionError> {
  const preamble = PREAMBLES[wanted];
  if (bytes.length < preamble.length || preamble.some((byte, i) => bytes[i] !== byte)) return err({ kind: "not-wasm", wanted });
  const reader = new ByteReader(bytes, preamble.length);
  const sections: Section[] = [];
  while (!reader.done) {
    const offset = reader.position;
    const section = tryRead(reader, () => ({ id: reader.byte(), content: reader.rest(reader.u32()) }));
    if (section === undefined) return err({ kind: "truncated", offset });
    sections.push(section);
  }
  return ok(sections);
}

export function writeSections(sections: readonly Section[], kind: BinaryKind): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writer.raw(PREAMBLES[kind]);
  for (const { id, content } of sections) {
    writer.byte(id);
    writer.u32(content.length);
    writer.raw(content);
  }
  return writer.finish();
}

/** What `read` makes of the bytes; undefined when they end early or hold a number or text that is none. */
export function tryRead<Value>(from: Uint8Array | ByteReader, read: (reader: ByteReader) => Value): Value | undefined {
  try {
    return read(from instanceof ByteReader ? from : new ByteReader(from));
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}
