import { expect, test } from "bun:test";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";

test.each([0, 1, 63, 64, -1, -64, -65, 0x7f, 0x80, 0x2fffe, 2 ** 31 - 1, -(2 ** 31)])("%i is read as it was written", (value) => {
  const writer = new ByteWriter();
  writer.s32(value);
  const reader = new ByteReader(writer.finish());
  expect(reader.s32()).toBe(value);
  expect(reader.done).toBe(true);
});

test.each([
  [0, [0]],
  [63, [63]],
  [64, [0xc0, 0]],
  [-64, [0x40]],
  [-65, [0xbf, 0x7f]],
])("%i takes as few bytes as may be", (value, bytes) => {
  const writer = new ByteWriter();
  writer.s32(value);
  expect([...writer.finish()]).toEqual(bytes);
});

test("a text is written as UTF-8", () => {
  const writer = new ByteWriter();
  writer.text("aé");
  expect([...writer.finish()]).toEqual([3, 0x61, 0xc3, 0xa9]);
});
