import { describe, expect, test } from "bun:test";
import { MAX_JSON_DEPTH, readJsonText } from "./json-text.ts";

function read(text: string) {
  const json = readJsonText(text);
  if (!json.ok) throw new Error(json.error.message);
  return json.value;
}

describe("readJsonText", () => {
  test.each([
    ["{}"],
    ["[]"],
    ['{"a":[1,-0.5e+3,true,false,null,"x"],"b":{"c":""}}'],
    ['"\\u0041\\n\\"\\\\\\/ é 😀"'],
    [" \t\r\n [ 1 , 2 ] "],
    ["0"],
    ['{"toString":1,"constructor":{"x":2}}'],
  ])("reads %p as every JSON reader does", (text) => {
    expect(read(text).value).toEqual(JSON.parse(text));
  });

  test("takes a member called __proto__ for an ordinary one", () => {
    const { value } = read('{"__proto__":{"mode":"disabled"},"a":1}');
    expect(Object.keys(value as object)).toEqual(["__proto__", "a"]);
    expect((value as { mode?: string }).mode).toBeUndefined();
  });

  test.each([
    ["", 1, 1, "the end of the text"],
    ["{", 1, 2, "want a member name"],
    ['{"a":1,}', 1, 8, "want a member name"],
    ["[1,]", 1, 4, "want a JSON value"],
    ["[1 2]", 1, 4, 'want "," or "]"'],
    ['{"a" 1}', 1, 6, 'want ":"'],
    ['{"a":1 "b":2}', 1, 8, 'want "," or "}"'],
    ["{a:1}", 1, 2, "double quotes"],
    ["{'a':1}", 1, 2, "double quotes"],
    ["nul", 1, 1, "want a JSON value"],
    ["01", 1, 2, "want the end of the text"],
    ["1.", 1, 2, "want the end of the text"],
    ["+1", 1, 1, "want a JSON value"],
    ["NaN", 1, 1, "want a JSON value"],
    ["[] x", 1, 4, "want the end of the text"],
    ['"a\nb"', 1, 3, "control characters"],
    ['"abc', 1, 5, "found the end of the text"],
    ['"\\x41"', 1, 2, "an escape that JSON has"],
    ['"\\u12"', 1, 2, "an escape that JSON has"],
    ["// comment", 1, 1, "want a JSON value"],
    ["\ufeff{}", 1, 1, "want a JSON value"],
    ['{\n  "a": 1,\n  "b": [1, ?]\n}', 3, 12, "want a JSON value"],
    ['{"é😀": ?}', 1, 9, "want a JSON value"],
  ])("refuses %p at line %p, column %p", (text, line, column, words) => {
    const json = readJsonText(text);
    expect(json.ok).toBe(false);
    if (json.ok) return;
    expect([json.error.line, json.error.column]).toEqual([line, column]);
    expect(json.error.message).toContain(words);
  });

  test.each([
    ['{"mode":"enforce","mode":"disabled"}', 19],
    ['{"mode":"enforce","m\\u006fde":"disabled"}', 19],
    ['{"__proto__":1,"__proto__":2}', 16],
    ['{"a":{"b":1,"b":1}}', 13],
  ])("refuses a member given twice: %p", (text, column) => {
    const json = readJsonText(text);
    expect(json.ok ? "read" : [json.error.column, json.error.message.includes("again, want each member once")]).toEqual([column, true]);
  });

  test("takes as many levels as it says, and refuses one more however deep the text goes", () => {
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(readJsonText(nested(MAX_JSON_DEPTH)).ok).toBe(true);
    for (const depth of [MAX_JSON_DEPTH + 1, 1_000_000]) {
      const json = readJsonText(nested(depth));
      expect(json.ok ? "read" : json.error.message).toContain(`at most ${MAX_JSON_DEPTH} levels`);
    }
  });

  test("reads texts, names and lists of a million characters", () => {
    const long = "x".repeat(1_000_000);
    expect(read(`"${long}"`).value).toBe(long);
    expect(readJsonText(`"${long}`).ok).toBe(false);
    expect(read(`{"${long}":[${"0,".repeat(500_000)}1]}`).positionOf(`/${long}/500000`).column).toBe(
      '{"'.length + 1_000_000 + '":['.length + 1_000_000 + 1,
    );
  });

  test("finds where each value begins, and the nearest around one that is not there", () => {
    const json = read('{\n  "rules": {\n    "a/b~c": [10,\n      {"x": "é", "y": 2}]\n  }\n}');
    const at = (pointer: string) => Object.values(json.positionOf(pointer));
    expect(at("")).toEqual([1, 1]);
    expect(at("/rules")).toEqual([2, 12]);
    expect(at("/rules/a~1b~0c")).toEqual([3, 14]);
    expect(at("/rules/a~1b~0c/0")).toEqual([3, 15]);
    expect(at("/rules/a~1b~0c/1/y")).toEqual([4, 23]);
    expect(at("/rules/a~1b~0c/1/z")).toEqual([4, 7]);
    expect(at("/rules/a~1b~0c/9")).toEqual([3, 14]);
    expect(at("/mode")).toEqual([1, 1]);
  });
});
