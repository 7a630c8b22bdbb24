import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { ByteReader } from "../../proxy/core/wasm/byte-reader.ts";
import type { ComponentRefusal } from "../../proxy/core/wasm/component-plan.ts";
import { LIMITS } from "../../proxy/core/wasm/core-limits.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { writeSections } from "../../proxy/core/wasm/sections.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

function refusalOf(component: Uint8Array): ComponentRefusal {
  const result = prepareComponent(component);
  if (result.ok) throw new Error("it was taken, want a refusal");
  expect(result.error.message).toMatch(/^cannot use component: [\x20-\x7e…]*, at offset \d+$/);
  expect(result.error.message).toEndWith(`at offset ${result.error.offset}`);
  expect(result.error.offset).toBeLessThanOrEqual(component.length);
  return result.error;
}

/** A component file that is nothing but this core module: enough for what is refused while the module is read. */
async function around(wat: string): Promise<Uint8Array> {
  return writeSections([{ id: 1, content: await parse(wat) }], "component");
}

describe("core modules the meter does not know", () => {
  test.each([
    ["threads", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "opcode", "0xfe 0x10 (threads and atomics)"],
    ["shared memory", "(memory 1 2 shared)", "unsupported", "flags 0x03"],
    ["memory64", "(memory i64 1)", "unsupported", "flags 0x04"],
    ["two memories", "(memory 1) (memory 1)", "limit", "2 memories"],
    ["tail calls", "(func $f (return_call $f))", "opcode", "0x12 (tail call)"],
    ["exceptions", "(tag $t) (func (throw $t))", "section", "section 13"],
    ["exceptions without a tag", "(func (try_table))", "opcode", "0x1f (exception handling)"],
    ["SIMD in a body", `(func (drop (i32x4.extract_lane 0 (v128.const i64x2 0 0))))`, "opcode", "0xfd 0x0c (SIMD)"],
    ["SIMD in a local", "(func (local v128))", "unsupported", "v128"],
    ["garbage collection", "(type (struct (field i32)))", "unsupported", "0x5f"],
    ["i31", "(func (drop (ref.i31 (i32.const 1))))", "opcode", "0xfb 0x1c (garbage collection)"],
    ["typed references", "(type $t (func)) (func (param (ref $t)))", "unsupported", "type 0x64"],
    ["call_ref", "(type $t (func)) (func (call_ref $t (ref.null $t)))", "unsupported", "ref.null"],
    ["externref", "(func (param externref))", "unsupported", "externref"],
    ["a table of externref", "(table 1 externref)", "unsupported", "0x6f"],
    ["a table with an initial value", "(table 1 funcref (ref.null func))", "unsupported", "0x40"],
    ["a memory above the cap at its start", "(memory 129)", "limit", "129 pages"],
    ["a table above the cap at its start", "(table 16385 funcref)", "limit", "16385 elements"],
    ["an import that nobody gives", '(import "env" "now" (func))', "import-found", "never"],
  ] as const)("T-102: refuses %s", async (what, fields, kind, words) => {
    if (what === "an import that nobody gives") {
      const refusal = refusalOf(await componentFromImport(fields));
      expect(refusal).toMatchObject({ kind });
      expect(refusal.message).toContain('"env now"');
      return;
    }
    const refusal = refusalOf(await around(`(module ${fields})`));
    expect(refusal.message).toContain(words);
    expect(refusal.kind).toBe(kind);
  });

  async function componentFromImport(fields: string): Promise<Uint8Array> {
    return writeSections(
      [
        { id: 1, content: await parse(`(module ${fields})`) },
        { id: 2, content: Uint8Array.of(1, 0x00, 0, 0) },
      ],
      "component",
    );
  }

  test.each([
    ["nesting", `(func ${"(block ".repeat(600)}${")".repeat(600)})`, "nested deeper than 512"],
    ["locals", `(func ${"(local i64) ".repeat(2001)})`, "2000 locals"],
    ["a huge body", `(func ${"(drop (i32.const 1000000))".repeat(110_000)})`, `want at most ${LIMITS.bodyBytes}`],
    ["branch targets", `(func (block (br_table ${"0 ".repeat(10_002)} (i32.const 0))))`, "branch targets"],
    ["tables", "(table 1 funcref) ".repeat(5), "5 tables"],
    ["parameters", `(func (param ${"i32 ".repeat(129)}))`, "129 parameters"],
  ])("T-103: refuses too many or too large: %s", async (_, fields, words) => {
    const refusal = refusalOf(await around(`(module ${fields})`));
    expect(refusal.kind).toBe("limit");
    expect(refusal.message).toContain(words);
  });

  test("T-103: refuses bodies that would take long to check, and modules that metering would blow up", async () => {
    const results = "i32 ".repeat(128);
    const wide = `(type $w (func (result ${results}))) (func (block (type $w) unreachable (br_table ${"0 ".repeat(2_000)} (i32.const 0))) unreachable)`;
    expect(refusalOf(await around(`(module ${wide})`)).message).toContain("more values than its size explains");
    const loops = [0x00, ...Array.from({ length: 170_000 }, () => [0x03, 0x40, 0x0b]).flat(), 0x0b];
    const body = [...lengthOf(loops.length), ...loops];
    const many = moduleOf(
      TYPE,
      [3, [12, ...Array.from({ length: 12 }, () => 0)]],
      [10, [12, ...Array.from({ length: 12 }, () => body).flat()]],
    );
    expect(refusalOf(many).message).toContain("blocks, loops and ifs");
  });

  test("T-103: refuses more than 16 MiB before reading them", () => {
    expect(refusalOf(new Uint8Array(LIMITS.componentBytes + 1)).kind).toBe("limit");
  });

  test("names the opcode where it stands in the file", async () => {
    const component = await around("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))");
    const { offset } = refusalOf(component);
    expect(component.subarray(offset, offset + 2)).toEqual(Uint8Array.of(0xfe, 0x10));
  });
});

/** Core modules as bytes: section id, content. */
function moduleOf(...sections: readonly (readonly [id: number, content: readonly number[]])[]): Uint8Array {
  const module = writeSections(
    sections.map(([id, content]) => ({ id, content: Uint8Array.from(content) })),
    "module",
  );
  return writeSections([{ id: 1, content: module }], "component");
}

function lengthOf(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...lengthOf(value >>> 7)];
}

const TYPE = [1, [1, 0x60, 0, 0]] as const;
const FUNCTION = [3, [1, 0]] as const;
const CODE = [10, [1, 2, 0, 0x0b]] as const;

describe("binaries that are not as the format wants", () => {
  test.each([
    ["a section twice", [TYPE, TYPE], "twice or out of order"],
    ["sections out of order", [FUNCTION, TYPE], "type 0 is not there"],
    ["an unknown section", [[14, []]], "section 14"],
    ["bytes behind the entries", [[1, [1, 0x60, 0, 0, 0]]], "1 bytes more"],
    ["an overlong count", [[1, [0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 0x60, 0, 0]]], "overlong"],
    ["a count above 32 bits", [[1, [0x81, 0x80, 0x80, 0x80, 0x10]]], "32 bits"],
    ["more entries than bytes", [[1, [100]]], "cut off"],
    ["functions without bodies", [TYPE, FUNCTION], "0 bodies for 1 functions"],
    ["bodies without functions", [TYPE, CODE], "1 bodies for 0 functions"],
    ["a type that is not there", [TYPE, [3, [1, 1]], CODE], "type 1 is not there"],
    ["a body without end", [TYPE, FUNCTION, [10, [1, 2, 0, 0x01]]], "cut off"],
    ["a body behind its end", [TYPE, FUNCTION, [10, [1, 3, 0, 0x0b, 0x01]]], "1 bytes more"],
    ["two exports of one name", [TYPE, FUNCTION, [7, [2, 1, 0x61, 0, 0, 1, 0x61, 0, 0]], CODE], '"a" is there twice'],
    ["an export of nothing", [TYPE, FUNCTION, [7, [1, 1, 0x61, 0, 7]], CODE], "func 7"],
    ["a name that is not UTF-8", [TYPE, FUNCTION, [7, [1, 1, 0xff, 0, 0]], CODE], "not UTF-8"],
    ["an overlong UTF-8 name", [TYPE, FUNCTION, [7, [1, 2, 0xc0, 0x80, 0, 0]], CODE], "not UTF-8"],
    ["a start function that is not there", [TYPE, FUNCTION, [8, [9]], CODE], "start function 9"],
    ["an overlong constant", [[6, [1, 0x7f, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0b]]], "overlong"],
    ["a constant whose last byte has other bits", [[6, [1, 0x7f, 0, 0x41, 0xff, 0xff, 0xff, 0xff, 0x4f, 0x0b]]], "32 bits"],
    ["a constant that reads a variable", [[6, [2, 0x7f, 1, 0x41, 0, 0x0b, 0x7f, 0, 0x23, 0, 0x0b]]], "imported constant"],
    [
      "a wrong number of data segments",
      [
        [5, [1, 0, 1]],
        [12, [3]],
        [11, [0]],
      ],
      "announces 3 data segments",
    ],
  ] as const)("T-100: refuses %s", (_, sections, words) => {
    expect(refusalOf(moduleOf(...(sections as readonly (readonly [number, readonly number[]])[]))).message).toContain(words);
  });

  test("T-100: refuses sections that end behind the file", async () => {
    const whole = await around("(module (func))");
    for (let length = 8; length < whole.length; length++) refusalOf(whole.subarray(0, length));
  });

  test.each([
    ["i32.add without operands", [0x6a, 0x1a, 0x0b], "operand is missing"],
    ["f64 where i32 is wanted", [0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x45, 0x1a, 0x0b], "has type 0x7c, want 0x7f"],
    ["a value left behind", [0x41, 0, 0x0b], "leaves values"],
    ["a label that is not there", [0x0c, 5, 0x0b], "label 5"],
    ["else without if", [0x05, 0x0b, 0x0b], "else without if"],
    ["if without else that makes a value", [0x41, 0, 0x04, 0x7f, 0x41, 0, 0x0b, 0x1a, 0x0b], "if without else"],
    ["a local that is not there", [0x20, 0, 0x1a, 0x0b], "local 0"],
    ["a load without memory", [0x41, 0, 0x28, 2, 0, 0x1a, 0x0b], "no memory"],
    ["a function that is not there", [0x10, 3, 0x0b], "function 3"],
    ["an undeclared reference", [0xd2, 0, 0x1a, 0x0b], "not declared"],
    ["an opcode nobody knows", [0xff, 0x0b], "0xff 0x0b (unknown)"],
  ] as const)("T-100: refuses a body with %s", (_, code, words) => {
    const body = [0, ...code];
    expect(refusalOf(moduleOf(TYPE, FUNCTION, [10, [1, body.length, ...body]])).message).toContain(words);
  });
});

describe("ByteReader", () => {
  test.each([
    [[0x7f], 127],
    [[0x80, 0x01], 128],
    [[0x80, 0x00], 0],
    [[0xff, 0xff, 0xff, 0xff, 0x0f], 0xffffffff],
  ])("reads %p as an unsigned number", (bytes, value) => {
    const reader = new ByteReader(Uint8Array.from(bytes));
    expect([reader.u32(), reader.done]).toEqual([value, true]);
  });

  test.each([
    [[0x7f], -1],
    [[0x40], -64],
    [[0xc0, 0x00], 64],
    [[0x80, 0x80, 0x80, 0x80, 0x78], -2147483648],
    [[0xff, 0xff, 0xff, 0xff, 0x07], 2147483647],
  ])("reads %p as a signed number", (bytes, value) => {
    expect(new ByteReader(Uint8Array.from(bytes)).s32()).toBe(value);
    const skipped = new ByteReader(Uint8Array.from(bytes));
    skipped.skipSigned(32);
    expect(skipped.done).toBe(true);
  });

  test.each([[[]], [[0x80]], [[0xff, 0xff, 0xff, 0xff, 0x1f]], [[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]]])(
    "refuses %p as an unsigned number",
    (bytes) => {
      expect(() => new ByteReader(Uint8Array.from(bytes)).u32()).toThrow("cannot use component");
    },
  );
});
