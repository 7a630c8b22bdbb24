import { describe, expect, test } from "bun:test";
import { count, LINE_COLUMNS, quote, renderJson, wrap } from "./text-layout.ts";

describe("wrap", () => {
  test("breaks at blanks, indents what follows, and loses no word", () => {
    const words = Array.from({ length: 60 }, (_, i) => `word${i}`);
    const lines = wrap("  lead: ", words.join(" "));
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.every((line) => line.length <= LINE_COLUMNS)).toBe(true);
    expect(lines.slice(1).every((line) => line.startsWith(" ".repeat(8)) && line[8] !== " ")).toBe(true);
    expect(lines.join(" ").replace("lead:", "").split(/ +/).filter(Boolean)).toEqual(words);
  });

  test("leaves a word whole that is longer than a line", () => {
    const path = `/${"x".repeat(150)}`;
    expect(wrap("- ", `see ${path} there`)).toEqual(["- see", `  ${path}`, "  there"]);
  });

  test.each(["\u001b[2J", "a\nb", "a\rb", "\u202e", "\u009b1m", "\ud800"])("escapes %p", (text) => {
    expect(wrap("", text).join("")).toMatch(/^[ -~]+$/);
    expect(quote(text)).toMatch(/^[ -~]+$/);
  });
});

describe("renderJson", () => {
  test("means the same and holds nothing that moves a terminal", () => {
    const value = { "k\u202e": ["\u009b", "\u2028", "plain é"], n: 1 };
    const text = renderJson(value, 2);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).not.toMatch(/[\u0080-\u009f\u2028\u202e]/);
  });

  test("writes big integers as numbers and nothing as null", () => {
    expect(renderJson({ a: 5n })).toBe('{"a":5}');
    expect(renderJson(undefined)).toBe("null");
  });
});

test("count uses the plural for all but one", () => {
  expect([0, 1, 2].map((n) => count(n, "identity", "identities"))).toEqual(["0 identities", "1 identity", "2 identities"]);
});
