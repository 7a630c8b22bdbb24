import { describe, expect, test } from "bun:test";
import { type Random, seededRandom } from "../../../test/support/random.ts";
import { MAX_JSON_DEPTH, parseStrictJson, renderJsonError } from "./strict-json.ts";

const SEED = 20_260_311;

function outcome(input: Uint8Array | string, maxBytes?: number): string {
  const read = maxBytes === undefined ? parseStrictJson(input) : parseStrictJson(input, { maxBytes });
  return read.ok ? "read" : renderJsonError(read.error);
}

describe("parseStrictJson", () => {
  test("reads bytes and texts alike, with one byte order mark at the start", () => {
    for (const text of ['{"a":[1,"é😀"]}', '\ufeff{"a":[1,"é😀"]}']) {
      for (const input of [text, Buffer.from(text)]) {
        const read = parseStrictJson(input);
        expect(read.ok && read.value.value).toEqual({ a: [1, "é😀"] });
        expect(read.ok && read.value.positionOf("/a/1")).toEqual({ line: 1, column: 9 });
      }
    }
  });

  test.each([
    [new Uint8Array([0xff, 0xfe, 0x7b, 0]), "UTF-16"],
    [new Uint8Array([0x7b, 0xc0, 0xaf, 0x7d]), "not UTF-8 at offset 1"],
    [new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]), "not UTF-8"],
    [new Uint8Array([0x22, 0xe2, 0x82]), "not UTF-8"],
    [Buffer.from("[1]\0"), "NUL"],
    ["[1]\0", "line 1, column 4"],
    ["\ufeff\ufeff{}", "line 1, column 1"],
    ["{}\ufeff", "line 1, column 3"],
    ['{"mode":"enforce","mode":"disabled"}', 'line 1, column 19: found member "mode" again'],
    ['{"a":{"x":1,\n"\\u0078":2}}', 'line 2, column 1: found member "x" again'],
    ["", "line 1, column 1: found the end of the text"],
  ])("refuses %p and says why", (input, words) => {
    expect(outcome(input)).toContain(words);
  });

  test("counts bytes, not characters", () => {
    expect(outcome('"é"', 3)).toBe("found 4 bytes, want at most 3");
    expect(outcome('"é"', 4)).toBe("read");
    expect(outcome(new Uint8Array(1024 * 1024 + 1))).toBe("found 1048577 bytes, want at most 1048576");
  });

  test("T-74: members called like those of every object are nothing special", () => {
    const read = parseStrictJson('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":2}');
    expect(read.ok && Object.keys(read.value.value as object)).toEqual(["__proto__", "constructor", "toString"]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe(`laws of parseStrictJson (seed ${SEED})`, () => {
  test("T-74: accepts exactly what JSON.parse accepts, less members given twice and too deep texts, with the same value", () => {
    const random = seededRandom(SEED);
    const seen = { read: 0, broken: 0, twice: 0, deep: 0 };
    for (let i = 0; i < 20_000; i++) {
      const text = damage(random, randomText(random, random.oneIn(50) ? 80 : 5));
      const read = parseStrictJson(text);
      const plain = plainly(text);
      if (plain === undefined) {
        seen.broken++;
        expect([text, read.ok]).toEqual([text, false]);
      } else if (depthOf(plain.value) > MAX_JSON_DEPTH) {
        seen.deep++;
        expect([text, read.ok]).toEqual([text, false]);
      } else if (read.ok) {
        seen.read++;
        expect([text, read.value.value]).toEqual([text, plain.value]);
        // Nothing was dropped: as many members as there are colons outside of texts.
        expect([text, countMembers(read.value.value)]).toEqual([text, colonsOutsideTexts(text)]);
      } else {
        seen.twice++;
        expect(read.error.message).toContain("again, want each member once");
        expect([text, countMembers(plain.value) < colonsOutsideTexts(text)]).toEqual([text, true]);
      }
    }
    // A generator that no longer reaches a branch would make this test empty.
    for (const [branch, count] of Object.entries(seen)) expect([branch, count > 100]).toEqual([branch, true]);
  });

  test("no bytes make it throw", () => {
    const random = seededRandom(SEED + 1);
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(randomText(random, 4));
      for (let k = random.below(4); k > 0; k--) bytes[random.below(bytes.length)] = random.below(256);
      expect(typeof outcome(bytes)).toBe("string");
    }
  });
});

function plainly(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

const NAMES = ["a", "b", "\\u0061", "__proto__", "", "a/b", "é", "\\ud800", ":", '\\"'] as const;
const SCALARS = [
  "0",
  "-0",
  "1e3",
  "-1.5E-2",
  "1e999",
  "01",
  "true",
  "false",
  "null",
  '""',
  '"x:\\n"',
  '"\\"{"',
  '"\\ud83d\\ude00"',
] as const;
const BLANKS = ["", "", "", " ", "\n", "\t", "\r\n"] as const;

/** Mostly JSON; members repeat often. */
function randomText(random: Random, depth: number): string {
  const blank = () => random.pick(BLANKS);
  const value = (left: number, straight: boolean): string => {
    if (left === 0 || (!straight && random.oneIn(3))) return random.pick(SCALARS);
    const inner = () => `${blank()}${value(left - 1, straight)}${blank()}`;
    const count = straight ? 1 : random.below(4);
    if (random.oneIn(2)) return `[${Array.from({ length: count }, inner).join(",")}]`;
    return `{${Array.from({ length: count }, () => `${blank()}"${random.pick(NAMES)}"${blank()}:${inner()}`).join(",")}}`;
  };
  return `${blank()}${value(depth, depth > 10)}${blank()}`;
}

/** One character away from what it was, in every third case. */
function damage(random: Random, text: string): string {
  if (!random.oneIn(3)) return text;
  const at = random.below(text.length + 1);
  const inserted = random.pick(["", "", ",", "}", "[", '"', "\\", "\0", "\u00a0", "'", "1", "-", "."]);
  return text.slice(0, at) + inserted + text.slice(at + random.below(2));
}

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

function countMembers(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inner = Object.values(value);
  return (Array.isArray(value) ? 0 : inner.length) + inner.reduce((sum: number, each) => sum + countMembers(each), 0);
}

function colonsOutsideTexts(text: string): number {
  return text.replace(/"(?:[^"\\]|\\.)*"/gs, "").split(":").length - 1;
}
