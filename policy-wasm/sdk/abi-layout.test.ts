import { describe, expect, test } from "bun:test";
import { Types } from "./abi-layout.ts";
import { parseWit } from "./parse-wit.ts";

function fieldsOf(fields: string) {
  const wit = parseWit(`package a:b@1.0.0; interface i { enum two { a, b } record inner { x: u8, y: u64 } record r { ${fields} } }`);
  const types = new Types(wit);
  const record = types.definition("r");
  if (record.kind !== "record") throw new Error("want a record");
  const { bytes, align } = types.layout({ kind: "named", name: "r" });
  return { bytes, align, offsets: types.fieldOffsets(record), flat: types.flatCount({ kind: "named", name: "r" }) };
}

describe("Types", () => {
  // Worked out by hand from the canonical ABI's despecialize, alignment, elem_size and flatten_type.
  test.each([
    ["a: u8, b: u16, c: u8", { bytes: 6, align: 2, offsets: [0, 2, 4], flat: 3 }],
    ["a: bool, b: two, c: u32", { bytes: 8, align: 4, offsets: [0, 1, 4], flat: 3 }],
    ["a: u8, b: inner", { bytes: 24, align: 8, offsets: [0, 8], flat: 3 }],
    ["a: string, b: list<inner>", { bytes: 16, align: 4, offsets: [0, 8], flat: 4 }],
    ["a: option<u8>, b: u8", { bytes: 3, align: 1, offsets: [0, 2], flat: 3 }],
    ["a: option<string>, b: option<u64>", { bytes: 32, align: 8, offsets: [0, 16], flat: 5 }],
    ["a: result<u8, u64>, b: u8", { bytes: 24, align: 8, offsets: [0, 16], flat: 3 }],
    ["a: result<_, _>", { bytes: 1, align: 1, offsets: [0], flat: 1 }],
    ["a: tuple<u8, u32, u8>, b: u8", { bytes: 16, align: 4, offsets: [0, 12], flat: 4 }],
    ["a: option<tuple<u8, option<u8>>>", { bytes: 4, align: 1, offsets: [0], flat: 4 }],
  ])("lays out %s", (fields, wanted) => {
    expect(fieldsOf(fields)).toEqual(wanted);
  });

  test("more than sixteen flat parameters are spilled", () => {
    const take = (count: number) => `f${count}: func(${Array.from({ length: count }, (_, i) => `p${i}: u8`).join(", ")}) -> u8;`;
    const wit = parseWit(`package a:b@1.0.0; interface i { ${take(16)} ${take(17)} s: func() -> string; }`);
    const types = new Types(wit);
    expect(wit.interfaces[0]?.functions.map((called) => types.isSpilled(called))).toEqual([false, true, false]);
    expect(wit.interfaces[0]?.functions.map((called) => types.returnsPointer(called))).toEqual([false, false, true]);
  });

  test("refuses one name for two types", () => {
    expect(() => new Types(parseWit("package a:b@1.0.0; interface i { enum e { a } } interface j { enum e { a } }"))).toThrow("twice");
  });
});
