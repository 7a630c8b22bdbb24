// What compiling rules changes in WebAssembly binaries: the core module inside a component, custom sections, one more data segment,
// names of exports. It takes files apart and puts them together; it never judges whether they are valid.

import { err, ok, type Result } from "../result.ts";
import { ByteWriter } from "./byte-writer.ts";
import { SECTION } from "./core-module.ts";
import { CORE_MODULE_SECTION, CUSTOM_SECTION, readSections, type Section, type SectionError, tryRead, writeSections } from "./sections.ts";

export type BinaryError =
  | SectionError
  | { readonly kind: "core-module-count"; readonly found: number }
  | { readonly kind: "unexpected-section"; readonly id: number };

const MEMORY_PAGE_BYTES = 65536;

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
  const writer = new ByteWriter();
  writer.text(name);
  writer.raw(payload);
  return { id: CUSTOM_SECTION, content: writer.finish() };
}

/** Payload of the first custom section of that name, or undefined. */
export function findCustomSection(sections: readonly Section[], name: string): Uint8Array | undefined {
  for (const { id, content } of sections) {
    if (id !== CUSTOM_SECTION) continue;
    const payload = tryRead(content, (reader) =>
      reader.text(content.length) === name ? reader.rest(reader.end - reader.position) : undefined,
    );
    if (payload !== undefined) return payload;
  }
  return undefined;
}

/** The module with one more active data segment, and with memory enough to hold it. The module must have a memory of its own. */
export function addDataSegment(module: Uint8Array, address: number, data: Uint8Array): Result<Uint8Array, BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const grown: Section[] = [];
  let placed = false;
  for (const section of sections.value) {
    const content =
      section.id === SECTION.memory
        ? withMemoryMinimum(section.content, Math.ceil((address + data.length) / MEMORY_PAGE_BYTES))
        : section.id === SECTION.data
          ? withSegment(section.content, address, data)
          : section.id === SECTION.dataCount
            ? withOneMore(section.content)
            : section.content;
    if (content === undefined) return err({ kind: "unexpected-section", id: section.id });
    grown.push({ id: section.id, content });
    placed ||= section.id === SECTION.data;
  }
  return placed ? ok(writeSections(grown, "module")) : err({ kind: "unexpected-section", id: SECTION.data });
}

/** The module with its exports renamed; every export must have a new name. */
export function renameExports(module: Uint8Array, names: ReadonlyMap<string, string>): Result<Uint8Array, BinaryError> {
  const sections = readSections(module, "module");
  if (!sections.ok) return sections;
  const renamed: Section[] = [];
  for (const section of sections.value) {
    const content = section.id === SECTION.export ? renameIn(section.content, names) : section.content;
    if (content === undefined) return err({ kind: "unexpected-section", id: section.id });
    renamed.push({ id: section.id, content });
  }
  return ok(writeSections(renamed, "module"));
}

function renameIn(content: Uint8Array, names: ReadonlyMap<string, string>): Uint8Array | undefined {
  return tryRead(content, (reader) => {
    const writer = new ByteWriter();
    const count = reader.count("exports", content.length);
    writer.u32(count);
    for (let i = 0; i < count; i++) {
      const name = names.get(reader.text(content.length));
      if (name === undefined) return undefined;
      writer.text(name);
      writer.byte(reader.byte());
      writer.u32(reader.u32());
    }
    return writer.finish();
  });
}

/** One memory with flags 0 (no maximum) or 1 (maximum); others are not ours. */
function withMemoryMinimum(content: Uint8Array, pages: number): Uint8Array | undefined {
  return tryRead(content, (reader) => {
    const count = reader.byte();
    const flags = reader.byte();
    if (count !== 1 || flags > 1) return undefined;
    const writer = new ByteWriter();
    writer.bytes(count, flags);
    writer.u32(Math.max(reader.u32(), pages));
    writer.raw(content, reader.position);
    return writer.finish();
  });
}

function withSegment(content: Uint8Array, address: number, data: Uint8Array): Uint8Array | undefined {
  return tryRead(content, (reader) => {
    const writer = new ByteWriter(content.length + data.length + 32);
    writer.u32(reader.u32() + 1);
    writer.raw(content, reader.position);
    writer.bytes(0, 0x41); // memory 0, i32.const
    writer.s32(address);
    writer.byte(0x0b); // end
    writer.u32(data.length);
    writer.raw(data);
    return writer.finish();
  });
}

function withOneMore(content: Uint8Array): Uint8Array | undefined {
  return tryRead(content, (reader) => {
    const writer = new ByteWriter();
    writer.u32(reader.u32() + 1);
    return writer.finish();
  });
}
