import { describe, expect, test } from "bun:test";
import { commandLineText, MAX_COMMAND_LINE } from "./command-line.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("commandLineText", () => {
  test.each([
    ["", ""],
    ["\0\0\0", ""],
    ["sleep\x0060\0", "sleep 60"],
    ["a\0b\0c\0d\0e\0", "a b c d"],
    ["\0a\0\0b\0\0\0c\0d\0e", "a b c d"],
    ["title without end", "title without end"],
    ["a\nb\0\u001b[31m\0", "a\nb \u001b[31m"],
    ["\ufeffa\0", "\ufeffa"],
    ["mysql\0--password\0hunter22\0db\0", "mysql --password [REDACTED] db"],
    ["curl\0-H\0Authorization: Bearer abc\0http://h/\0", "curl -H Authorization: [REDACTED] http://h/"],
    ["x\0Password=a b c;User=u\0y\0", "x Password=[REDACTED];User=u y"],
  ])("%p becomes %p", (raw, shown) => {
    expect(commandLineText(bytes(raw))).toBe(shown);
  });

  test("replaces bytes that are not UTF-8", () => {
    expect(commandLineText(new Uint8Array([0x61, 0xff, 0xc0, 0, 0x62]))).toBe("a\ufffd\ufffd b");
  });

  test("is cut, and never inside a character", () => {
    expect(commandLineText(bytes("x".repeat(8192)), true)).toBe("x".repeat(MAX_COMMAND_LINE));
    const odd = commandLineText(bytes(`x${"\u{1F600}".repeat(2000)}`), true);
    expect(odd.length).toBe(MAX_COMMAND_LINE - 1);
    expect(odd.isWellFormed()).toBe(true);
  });

  test("does not show a key that the limit cut in two", () => {
    const key = `${"Ab3".repeat(15).slice(0, 43)}=`;
    // Redaction shortens the text so much that its end would come into sight.
    const shown = commandLineText(bytes(`key ${`${key} `.repeat(400)}`), true);
    expect(shown).not.toContain("Ab3");
    expect(commandLineText(bytes(`key\0${"-".repeat(1000)}\0${key}\0`))).not.toContain("Ab3");
  });

  test("does not hide the end of four whole arguments when only later ones were cut off", () => {
    expect(commandLineText(bytes(`a\0b\0c\0last\0${"x".repeat(100)}`), true)).toBe("a b c last");
  });
});
