import { describe, expect, test } from "bun:test";
import { readSections, writeSections } from "./sections.ts";
import { addDataSegment, customSection, extractCoreModule, findCustomSection, renameExports } from "./wasm-binary.ts";

const MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const COMPONENT = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);

function bytes(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Memory of one page exported as "m", and one data segment "hi" at 8. */
const WITH_DATA = bytes(MODULE, [5, 3, 1, 0, 1], [7, 5, 1, 1, 0x6d, 2, 0], [11, 8, 1, 0, 0x41, 8, 0x0b, 2, 0x68, 0x69]);

describe("readSections", () => {
  test.each<[string, Uint8Array, "module" | "component", string]>([
    ["nothing", new Uint8Array(), "module", "not-wasm"],
    ["a component as a module", COMPONENT, "module", "not-wasm"],
    ["a module as a component", MODULE, "component", "not-wasm"],
    ["a cut preamble", MODULE.subarray(0, 7), "module", "not-wasm"],
    ["a section without length", bytes(MODULE, [1]), "module", "truncated"],
    ["a length without end", bytes(MODULE, [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), "module", "truncated"],
    ["a length over 32 bits", bytes(MODULE, [1, 0xff, 0xff, 0xff, 0xff, 0x7f]), "module", "truncated"],
    ["a section longer than the file", bytes(MODULE, [1, 2, 0]), "module", "truncated"],
  ])("refuses %s", (_, file, wanted, kind) => {
    expect(readSections(file, wanted)).toMatchObject({ ok: false, error: { kind } });
  });

  test("undoes writeSections", () => {
    const sections = [customSection("n", Uint8Array.of(1, 2, 3)), { id: 11, content: new Uint8Array(300) }];
    expect(readSections(writeSections(sections, "component"), "component")).toEqual({ ok: true, value: sections });
  });
});

describe("extractCoreModule", () => {
  test("gives the one module", () => {
    expect(extractCoreModule(bytes(COMPONENT, [1, 8], MODULE))).toEqual({ ok: true, value: MODULE });
  });

  test.each<[string, Uint8Array, number]>([
    ["none", COMPONENT, 0],
    ["two", bytes(COMPONENT, [1, 8], MODULE, [1, 8], MODULE), 2],
  ])("refuses %s", (_, file, found) => {
    expect(extractCoreModule(file)).toEqual({ ok: false, error: { kind: "core-module-count", found } });
  });
});

describe("findCustomSection", () => {
  test("finds by name, and nothing in broken or other sections", () => {
    const sections = [
      { id: 0, content: Uint8Array.of(200) },
      { id: 1, content: Uint8Array.of(1, 0x6e) },
      customSection("n", Uint8Array.of(7)),
    ];
    expect(findCustomSection(sections, "n")).toEqual(Uint8Array.of(7));
    expect(findCustomSection(sections, "m")).toBeUndefined();
  });
});

describe("addDataSegment", () => {
  test("puts bytes where they were asked for and makes memory large enough", () => {
    const data = Uint8Array.of(1, 2, 3);
    const module = addDataSegment(WITH_DATA, 0x2fffe, data);
    if (!module.ok) throw new Error(module.error.kind);
    const { m } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.value))).exports;
    if (!(m instanceof WebAssembly.Memory)) throw new Error("no memory");
    expect(m.buffer.byteLength).toBe(4 * 65536);
    expect(new Uint8Array(m.buffer, 0x2fffe, 3)).toEqual(data);
    expect(new Uint8Array(m.buffer, 8, 2)).toEqual(Uint8Array.of(0x68, 0x69));
  });

  test.each<[string, Uint8Array]>([
    ["no data section", bytes(MODULE, [5, 3, 1, 0, 1])],
    ["shared memory", bytes(MODULE, [5, 4, 1, 3, 1, 1], [11, 8, 1, 0, 0x41, 8, 0x0b, 2, 0x68, 0x69])],
    ["two memories", bytes(MODULE, [5, 5, 2, 0, 1, 0, 1], [11, 8, 1, 0, 0x41, 8, 0x0b, 2, 0x68, 0x69])],
  ])("refuses a module with %s", (_, module) => {
    expect(addDataSegment(module, 0, new Uint8Array(1))).toMatchObject({ ok: false, error: { kind: "unexpected-section" } });
  });
});

describe("renameExports", () => {
  test("gives every export its new name", () => {
    const renamed = renameExports(WITH_DATA, new Map([["m", "memory"]]));
    if (!renamed.ok) throw new Error(renamed.error.kind);
    expect(WebAssembly.Module.exports(new WebAssembly.Module(Uint8Array.from(renamed.value)))).toEqual([
      { name: "memory", kind: "memory" },
    ]);
  });

  test("refuses an export without a new name", () => {
    expect(renameExports(WITH_DATA, new Map())).toMatchObject({ ok: false, error: { kind: "unexpected-section", id: 7 } });
  });
});
