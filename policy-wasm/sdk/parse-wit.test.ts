import { describe, expect, test } from "bun:test";
import { parseWit } from "./parse-wit.ts";

const HEAD = "package a:b@1.2.3;\n";

describe("parseWit", () => {
  test("reads records, enums, functions and the world, with their docs", () => {
    const wit = parseWit(`/// The package.
package a:some-thing@1.2.3;
interface types {
  /// One.
  /// Two.
  record point {
    /// Left.
    x: u32, names: list<option<string>>,
  }
  // no doc
  enum side { left, /// R.
    right }
}
interface run {
  use types.{point, side};
  /// Goes.
  go: func(at: point, bytes: list<u8>) -> result<_, string>;
  turn: func() -> tuple<side, bool, u64>;
}
world w { export run; }`);
    expect(wit).toMatchObject({ name: "a:some-thing", version: "1.2.3", docs: "The package." });
    expect(wit.interfaces[0]?.definitions).toEqual([
      {
        kind: "record",
        name: "point",
        docs: "One.\nTwo.",
        fields: [
          { name: "x", docs: "Left.", type: { kind: "primitive", name: "u32" } },
          {
            name: "names",
            docs: "",
            type: { kind: "list", element: { kind: "option", element: { kind: "primitive", name: "string" } } },
          },
        ],
      },
      {
        kind: "enum",
        name: "side",
        docs: "",
        cases: [
          { name: "left", docs: "" },
          { name: "right", docs: "R." },
        ],
      },
    ]);
    expect(wit.interfaces[1]?.uses).toEqual([{ from: "types", names: ["point", "side"] }]);
    expect(wit.interfaces[1]?.functions.map(({ name, docs }) => [name, docs])).toEqual([
      ["go", "Goes."],
      ["turn", ""],
    ]);
    expect(wit.interfaces[1]?.functions[0]?.result).toEqual({
      kind: "result",
      ok: undefined,
      error: { kind: "primitive", name: "string" },
    });
    expect(wit.worlds).toEqual([{ name: "w", docs: "", exports: ["run"] }]);
  });

  test.each([
    ["", 'line 1: found "the end of the file", want "package"'],
    ["package a:b;", "want a version"],
    ["package a:b@1.2;", 'found "@"'],
    [`${HEAD}flags f { a }`, 'line 2: found "flags", want interface or world'],
    [`${HEAD}interface i { variant v { a } }`, 'want ":"'],
    [`${HEAD}interface i { resource r; }`, 'want ":"'],
    [`${HEAD}interface i { record r { x: s32 } }`, '"s32", want a type that stands before it'],
    [`${HEAD}interface i { record r { x: later } record later { y: u8 } }`, '"later"'],
    [`${HEAD}interface i { record r { x: u8 } enum r { a } }`, '"r" twice'],
    [`${HEAD}interface i { f: func(x: result<string>) -> u8; }`, "result with 1 sides"],
    [`${HEAD}interface i { f: func(x: u8); }`, 'want "->"'],
    [`${HEAD}interface i { f: func(x: u8) -> u8 }`, 'want ";"'],
    [`${HEAD}world w { import i; }`, 'found "import", want "export"'],
    [`${HEAD}world w { export i; }`, '"i", want an interface of this file'],
    [`${HEAD}interface I {}`, 'found "I"'],
    [`${HEAD}\n\ninterface i {\n?`, "line 5"],
    [`${HEAD}interface i { /* x */ }`, 'found "*"'],
  ])("refuses %j", (text, message) => {
    expect(() => parseWit(text)).toThrow(message);
  });
});
