// The little of the WebAssembly binary format that compiling rules needs: sections of modules and components, the core module
// inside a component, one more data segment. It splits and assembles files; it never validates them.

import { err, ok, type Result } from "../result.ts";

export interface Section {
  readonly id: number;
  /** Without the id byte and the length. */
  readonly content: Uint8Array;
}

export type BinaryError =
  | { readonly kind: "not-wasm"; readonly wanted: "module" | "component" }
  | { readonly kind: "truncated"; readonly offset: number }
  | { readonly kind: "core-module-count"; readonly found: number }
  | { readonly kind: "unexpected-section"; readonly id: number };

export const CUSTOM_SECTION = 0;
/** In a component; its content is a whole core module. */
export const CORE_MODULE_SECTION = 1;
const MODULE_MEMORY_SECTION = 5;
const MODULE_EXPORT_SECTION = 7;
const MODULE_DATA_COUNT_SECTION = 12;
const MODULE_DATA_SECTION = 11;

const MODULE_PREAMBLE = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
const COMPONENT_PREAMBLE = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00);
const MEMORY_PAGE_BYTES = 65536;

/** Sections of a core module (`module`) or a component, in file order. */
export function readSections(bytes: Uint8Array, wanted: "module" | "component"): Result<readonly Section[], BinaryError> {
  const preamble = wanted === "module" ? MODULE_PREAMBLE : COMPONENT_PREAMBLE;
  if (bytes.length < preamble.length || preamble.some((byte, i) => bytes[i] !== byte)) return err({ kind: "not-wasm", wanted });
  const sections: Section[] = [];
  let offset = preamble.length;
  while (offset < bytes.length) {
    const id = bytes[offset] ?? 0;
    const size = readUnsigned(bytes, offset + 1);
    if (size === undefined || size.end + size.value > bytes.length) return err({ kind: "truncated", offset });
    sections.push({ id, content: bytes.subarray(size.end, size.end + size.value) });
    offset = size.end + size.value;
  }
  return ok(sections);
}

export function writeSections(sections: readonly Section[], kind: "module" | "component"): Uint8Array<ArrayBuffer> {
  const parts = sections.flatMap(({ id, content }) => [Uint8Array.of(id, ...encodeUnsigned(content.length)), content]);
  return concatenate([kind === "module" ? MODULE_PREAMBLE : COMPONENT_PREAMBLE, ...parts]);
}

/** The one core module of a component. */
export function extractCoreModule(component: Uint8Array): Result<Uint8Array, BinaryError> {
  const sections = readSections(component, "component");
  if (!sections.ok) return sections;
  const modules = sections.value.filter((section) => section.id === CORE_MODULE_SECTION);
  const only = modules[0];
  return only !== undefined && modules.length === 1 ? ok(only.content) : err({ kind: "core-module-count", found: modules.length });
}

/** A custom section: its name, then free bytes. */
export function customSection(name: string, payload: Uint8Array): Section {
  const text = new TextEncoder().encode(name);
  return { id: CUSTOM_SECTION, content: concatenate([Uint8Array.from(encodeUnsigned(text.length)), text, payload]) };
}

/** Payload of the first custom section of that name, or undefined. */
export function findCustomSection(sections: readonly Section[], name: string): Uint8Array | undefined {
  for (const { id, content } of sections) {
    if (id !== CUSTOM_SECTION) continue;
    const size = readUnsigned(content, 0);
    if (size === undefined || size.end + size.value > content.length) continue;
    if (new TextDecoder().decode(content.subarray(size.end, size.end + size.value)) === name)
      return content.subarray(size.end + size.value);
  }
  return undefined;
}

/** The module with one more active data segment, and with memory enough to hold it. The module must have a memory of its own. */
export function addDataSegment(module: Uint8Array, address: number, data: Uint8Array): Result<Uint8Array, BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const segment = concatenate([
    Uint8Array.of(0, 0x41, ...encodeSigned(address), 0x0b, ...encodeUnsigned(data.length)), // memory 0, i32.const, end
    data,
  ]);
  const grown: Section[] = [];
  let placed = false;
  for (const section of sections.value) {
    if (section.id === MODULE_MEMORY_SECTION) {
      const content = withMemoryMinimum(section.content, Math.ceil((address + data.length) / MEMORY_PAGE_BYTES));
      if (content === undefined) return err({ kind: "unexpected-section", id: section.id });
      grown.push({ id: section.id, content });
    } else if (section.id === MODULE_DATA_SECTION || section.id === MODULE_DATA_COUNT_SECTION) {
      const count = readUnsigned(section.content, 0);
      if (count === undefined) return err({ kind: "unexpected-section", id: section.id });
      const more = Uint8Array.from(encodeUnsigned(count.value + 1));
      const isData = section.id === MODULE_DATA_SECTION;
      grown.push({ id: section.id, content: isData ? concatenate([more, section.content.subarray(count.end), segment]) : more });
      placed ||= isData;
    } else grown.push(section);
  }
  return placed ? ok(writeSections(grown, "module")) : err({ kind: "unexpected-section", id: MODULE_DATA_SECTION });
}

/** The module with its exports renamed; every export must have a new name. */
export function renameExports(module: Uint8Array, names: ReadonlyMap<string, string>): Result<Uint8Array, BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const renamed: Section[] = [];
  for (const section of sections.value) {
    if (section.id !== MODULE_EXPORT_SECTION) {
      renamed.push(section);
      continue;
    }
    const content = renameIn(section.content, names);
    if (content === undefined) return err({ kind: "unexpected-section", id: section.id });
    renamed.push({ id: section.id, content });
  }
  return ok(writeSections(renamed, "module"));
}

function renameIn(content: Uint8Array, names: ReadonlyMap<string, string>): Uint8Array | undefined {
  const count = readUnsigned(content, 0);
  if (count === undefined) return undefined;
  const parts: Uint8Array[] = [content.subarray(0, count.end)];
  let offset = count.end;
  for (let i = 0; i < count.value; i++) {
    const size = readUnsigned(content, offset);
    if (size === undefined) return undefined;
    const nameEnd = size.end + size.value;
    const name = names.get(new TextDecoder().decode(content.subarray(size.end, nameEnd)));
    const index = readUnsigned(content, nameEnd + 1);
    if (name === undefined || index === undefined) return undefined;
    const text = new TextEncoder().encode(name);
    parts.push(Uint8Array.from(encodeUnsigned(text.length)), text, content.subarray(nameEnd, index.end));
    offset = index.end;
  }
  return concatenate(parts);
}

/** One memory with flags 0 (no maximum) or 1 (maximum); others are not ours. */
function withMemoryMinimum(content: Uint8Array, pages: number): Uint8Array | undefined {
  const flags = content[1];
  const minimum = readUnsigned(content, 2);
  if (content[0] !== 1 || (flags !== 0 && flags !== 1) || minimum === undefined) return undefined;
  const limits = Uint8Array.of(1, flags, ...encodeUnsigned(Math.max(minimum.value, pages)));
  return concatenate([limits, content.subarray(minimum.end)]);
}

function readUnsigned(bytes: Uint8Array, offset: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[offset + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value < 2 ** 32 ? { value, end: offset + i + 1 } : undefined;
  }
  return undefined;
}

function encodeUnsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function encodeSigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
