import { describe, expect, test } from "bun:test";
import { decodeText } from "./decode-text.ts";

describe("decodeText", () => {
  test("reads UTF-8 and passes over a byte order mark at the beginning only", () => {
    expect(decodeText(Buffer.from("é😀"))).toEqual({ ok: true, value: "é😀" });
    expect(decodeText(Buffer.from("\ufeff{}"))).toEqual({ ok: true, value: "{}" });
    expect(decodeText(Buffer.from("{\ufeff}"))).toEqual({ ok: true, value: "{\ufeff}" });
    expect(decodeText(new Uint8Array())).toEqual({ ok: true, value: "" });
  });

  test.each([
    [[0x61, 0x00], "a NUL byte at offset 1"],
    [[0x61, 0xff, 0x62], "not UTF-8 at offset 1"],
    [[0xc3, 0xa9, 0xc3], "not UTF-8 at offset 3"],
    [[0x61, 0xc0, 0xaf], "not UTF-8 at offset 1"],
    [[0xed, 0xa0, 0x80], "not UTF-8 at offset 1"],
    [[0xff, 0xfe, 0x7b, 0x00], "UTF-16"],
    [[0xfe, 0xff, 0x00, 0x7b], "UTF-16"],
  ])("refuses %p", (bytes, words) => {
    const text = decodeText(Uint8Array.from(bytes));
    expect(text.ok ? "read" : text.error).toContain(words);
  });
});
