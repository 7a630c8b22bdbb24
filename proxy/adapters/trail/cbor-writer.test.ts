import { describe, expect, test } from "bun:test";
import { decode } from "cbor-x/index-no-eval";
import { CborWriter, OutOfRoom } from "./cbor-writer.ts";

function written(write: (writer: CborWriter) => void, room = 200_000): Uint8Array {
  const writer = new CborWriter(room);
  writer.begin();
  write(writer);
  return Uint8Array.from(writer.end());
}

describe("CborWriter writes what cbor-x reads", () => {
  test.each([
    [0],
    [23],
    [24],
    [255],
    [256],
    [65_535],
    [65_536],
    [0xffff_ffff],
    [0x1_0000_0000],
    [Date.UTC(2026, 0, 1)],
    [Number.MAX_SAFE_INTEGER],
  ])("the number %p", (value) => expect(decode(written((writer) => writer.number(value)))).toBe(value));

  test.each([
    [""],
    ["a"],
    ["x".repeat(23)],
    ["x".repeat(24)],
    ["x".repeat(255)],
    ["x".repeat(256)],
    ["x".repeat(70_000)],
    ["é"],
    ["aé€😀"],
    ["é".repeat(200)],
    ["\0\u007f"],
  ])("the text %#", (value) => expect(decode(written((writer) => writer.text(value)))).toBe(value));

  test("half a character becomes the replacement character", () => {
    expect(decode(written((writer) => writer.text("a\ud800")))).toBe("a\ufffd");
  });

  test("arrays, bytes, flags and nothing", () => {
    const bytes = written((writer) => {
      writer.array(5);
      writer.flag(true);
      writer.flag(false);
      writer.none();
      writer.bytes(Uint8Array.of(1, 2, 3));
      writer.raw(written((inner) => inner.text("inner")));
    });
    expect(decode(bytes)).toEqual([true, false, null, Buffer.from([1, 2, 3]), "inner"]);
  });

  test("the next record begins anew", () => {
    const writer = new CborWriter(64);
    for (const text of ["first", "second, longer", "x"]) {
      writer.begin();
      writer.text(text);
      expect(decode(writer.end())).toBe(text);
    }
  });

  test.each([["x".repeat(100)], ["é".repeat(60)]])("what does not fit is said, and nothing is written behind the end", (text) => {
    const writer = new CborWriter(100);
    writer.begin();
    expect(() => writer.text(text)).toThrow(OutOfRoom);
    expect(() => writer.bytes(new Uint8Array(100))).toThrow(OutOfRoom);
  });
});
