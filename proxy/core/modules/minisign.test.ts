import { describe, expect, test } from "bun:test";
import { parsePublicKey, parseSignature, signedAtSeconds, type TrustedKey, verifySignature } from "./minisign.ts";

// Made by minisign 0.11 over the 16 bytes of CONTENT.
const CONTENT = Buffer.from("a policy module\n");
const KEY = "untrusted comment: minisign public key 92A47B95745516CA\nRWTKFlV0lXukkjtTKWXrE5tP1BluGnPk+46JMWkX8fzOfjYWHJXOl3kb\n";
const PREHASHED = `untrusted comment: signature from minisign secret key
RUTKFlV0lXukkv2q8xr5cxjkTVyeEMPaFZEujdoLibZCZDsp7dCImgV5IE0wbKmFEUP9ZFOx4p5geIfHXEmwZv+0zlG6PGPgiwo=
trusted comment: timestamp:1790000000\tfile:m.wasm\thashed
WidJIJ+1gXq2RSxjwJzjh4+Q6wg2M/nGez4Wcaq60/zxJkJTpnjJemju+bdLWDC/41Kr55X9WQRZmVsDFkh1AQ==
`;
const PLAIN = `untrusted comment: signature from minisign secret key
RWTKFlV0lXukkra5eAnvkztpeFVJ6K/OlOPKG7yqhy/7EdlIULfWhh/CK+hs9vBtjYPCf25UuGDWn2LZZ2iwVuexq1H20gUnfgE=
trusted comment: timestamp:1790000001\tfile:m.wasm
fSa/MOE9nmMybdS7oQm1sxEp64VgY9h+WqFHnYSlk1AIcI5gDZpib7+v9XawAdzj39EAsWlDVEGqG5YBLd1KBQ==
`;
const ID = "92A47B95745516CA";

function key(): TrustedKey {
  const parsed = parsePublicKey(KEY);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function outcome(text: string, content: Uint8Array = CONTENT, keys: readonly TrustedKey[] = [key()]): string {
  const signature = parseSignature(text);
  if (!signature.ok) return signature.error;
  const verified = verifySignature(signature.value, content, keys);
  return verified.ok ? `signed by ${verified.value.id}` : verified.error;
}

function line(text: string, number: number, edit: (line: string) => string): string {
  return text
    .split("\n")
    .map((each, i) => (i === number - 1 ? edit(each) : each))
    .join("\n");
}

/** The base64 text with one bit of one byte changed. */
function flipped(text: string, byte: number, bit: number): string {
  const bytes = Buffer.from(text, "base64");
  bytes[byte] = (bytes[byte] ?? 0) ^ (1 << bit);
  return bytes.toString("base64");
}

describe("minisign", () => {
  test.each([
    ["prehashed", PREHASHED],
    ["plain", PLAIN],
  ])("takes a %s signature, with any line ends", (_, text) => {
    expect(outcome(text)).toBe(`signed by ${ID}`);
    expect(outcome(text.trimEnd())).toBe(`signed by ${ID}`);
    expect(outcome(text.replaceAll("\n", "\r\n"))).toBe(`signed by ${ID}`);
  });

  test.each([
    ["prehashed", PREHASHED],
    ["plain", PLAIN],
  ])("T-120: no bit of a %s signature, its comment or the file can be changed", (_, text) => {
    for (let bit = 0; bit < 64 * 8; bit++) {
      const at = (byte: number) => line(text, 2, (each) => flipped(each, byte, bit % 8));
      expect(outcome(at(10 + (bit >> 3)))).toContain("is not one over this file");
      expect(outcome(line(text, 4, (each) => flipped(each, bit >> 3, bit % 8)))).toContain("the trusted comment was not written by");
    }
    for (let byte = 0; byte < CONTENT.length; byte++) {
      const other = Buffer.from(CONTENT);
      other[byte] = (other[byte] ?? 0) ^ 1;
      expect(outcome(text, other)).toContain("is not one over this file");
    }
    expect(outcome(line(text, 3, (each) => `${each} `))).toContain("the trusted comment was not written by");
    expect(outcome(line(text, 3, (each) => each.replace("179", "189")))).toContain("the trusted comment was not written by");
  });

  test("T-120: a signature does not pass for one of the other kind", () => {
    expect(outcome(line(PREHASHED, 2, (each) => flipped(each, 1, 5)))).toContain("is not one over this file");
    expect(outcome(line(PLAIN, 2, (each) => flipped(each, 1, 5)))).toContain("is not one over this file");
  });

  test("T-120: an unknown key, and one that only has the same id, sign nothing", () => {
    expect(outcome(PREHASHED, CONTENT, [])).toContain(`signed by key ${ID}, which is not trusted here`);
    expect(outcome(line(PREHASHED, 2, (each) => flipped(each, 4, 0)))).toContain("which is not trusted here");
    const other = { id: ID, bytes: Uint8Array.from(key().bytes, (byte, i) => (i === 0 ? byte ^ 2 : byte)) };
    expect(outcome(PREHASHED, CONTENT, [other])).toContain("is not one over this file");
    expect(outcome(PREHASHED, CONTENT, [other, key()])).toBe(`signed by ${ID}`);
  });

  test("the untrusted comment is free text and goes nowhere", () => {
    expect(outcome(line(PREHASHED, 1, () => "untrusted comment: \u001b[2Jany text"))).toBe(`signed by ${ID}`);
  });

  test.each([
    ["no text", ""],
    ["a key", KEY],
    ["a line more", `${PREHASHED}more\n`],
    ["a blank line before", `\n${PREHASHED}`],
    ["a line less", PREHASHED.split("\n").slice(0, 2).join("\n")],
    ["no comment", line(PREHASHED, 1, () => "comment: x")],
    ["no trusted comment", line(PREHASHED, 3, () => "trusted: x")],
    ["a control character in the trusted comment", line(PREHASHED, 3, (each) => `${each}\u001b[2J`)],
    ["base64 without its padding", line(PREHASHED, 2, (each) => each.replace("=", ""))],
    ["base64 with a blank", line(PREHASHED, 2, (each) => ` ${each}`)],
    ["base64 of the other alphabet", line(PREHASHED, 2, (each) => each.replaceAll("+", "-"))],
    ["base64 with bits left over", line(PREHASHED, 2, (each) => each.replace("wo=", "wp="))],
    ["another algorithm", line(PREHASHED, 2, (each) => flipped(each, 0, 0))],
    ["a short signature", line(PREHASHED, 4, (each) => each.slice(4))],
    ["a long comment", line(PREHASHED, 1, (each) => each + "x".repeat(16 * 1024))],
  ])("T-120: refuses %s", (_, text) => {
    expect(parseSignature(text).ok).toBe(false);
  });

  test.each([
    ["no text", ""],
    ["a signature", PREHASHED],
    ["a key alone", `${KEY.split("\n")[1]}\n`],
    ["two keys", KEY + KEY],
    ["another algorithm", line(KEY, 2, (each) => flipped(each, 1, 5))],
    ["a short key", line(KEY, 2, (each) => each.slice(4))],
    ["bad base64", line(KEY, 2, (each) => `${each}=`)],
  ])("refuses %s as a key", (_, text) => {
    expect(parsePublicKey(text).ok).toBe(false);
  });

  test("T-120: refuses keys under which anybody can sign", () => {
    for (const weak of ["00".repeat(32), `01${"00".repeat(31)}`, `01${"00".repeat(30)}80`, `ec${"ff".repeat(30)}7f`]) {
      const bytes = Buffer.concat([Buffer.from("Ed12345678"), Buffer.from(weak, "hex")]);
      const parsed = parsePublicKey(`untrusted comment: \n${bytes.toString("base64")}\n`);
      expect(parsed.ok ? "taken" : parsed.error).toContain("anybody can sign");
    }
  });

  test("reads when it was signed", () => {
    const at = (comment: string) => {
      const parsed = parseSignature(line(PREHASHED, 3, () => `trusted comment: ${comment}`));
      return parsed.ok ? signedAtSeconds(parsed.value) : undefined;
    };
    expect(at("timestamp:1790000000\tfile:m.wasm\thashed")).toBe(1790000000);
    expect(at("v2\ttimestamp:7")).toBe(7);
    expect([at(""), at("mytimestamp:7"), at("timestamp:x"), at("timestamp:9999999999999")]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
