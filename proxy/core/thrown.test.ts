import { expect, test } from "bun:test";
import { describeDefect, describeError, errorCode } from "./thrown.ts";

const SYSTEM = Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT" });

test.each([
  [SYSTEM, "ENOENT: no such file", "ENOENT"],
  [new Error("plain"), "plain", undefined],
  ["a text", "a text", undefined],
  [{ code: "EACCES" }, "[object Object]", undefined],
  [undefined, "undefined", undefined],
])("%p is described as %j with code %j", (thrown, text, code) => {
  expect(describeError(thrown)).toBe(text);
  expect(errorCode(thrown)).toBe(code);
});

test("a defect is described with its stack, and by its message when it has none", () => {
  expect(describeDefect(new Error("plain"))).toMatch(/plain.*thrown\.test/s);
  expect(describeDefect(Object.assign(new Error("plain"), { stack: undefined }))).toBe("plain");
  expect(describeDefect(7)).toBe("7");
});
