import { describe, expect, test } from "bun:test";
import { cutMessage, cutText } from "./status.ts";

describe("cutText", () => {
  test.each([
    ["", 4, ""],
    ["abcd", 4, "abcd"],
    ["abcde", 4, "a..."],
    ["😀😀😀😀", 4, "😀😀😀😀"],
    ["😀😀😀😀😀", 4, "😀..."],
    ["😀😀😀😀a", 4, "😀..."],
    [`${"😀".repeat(5000)}`, 5, "😀😀..."],
    ["é".repeat(9), 8, "ééééé..."],
  ])("%p to %p characters is %p", (text, limit, cut) => {
    expect(cutText(text, limit)).toBe(cut);
  });

  test("never leaves half of a character", () => {
    for (let length = 0; length < 40; length++)
      expect(cutText(`${"a".repeat(length % 7)}${"😀".repeat(length)}`, 9).isWellFormed()).toBe(true);
  });
});

test("cutMessage leaves 1024 characters", () => {
  expect(cutMessage("x".repeat(1024))).toBe("x".repeat(1024));
  expect(cutMessage("x".repeat(1025))).toBe(`${"x".repeat(1021)}...`);
});
