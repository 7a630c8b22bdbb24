import { describe, expect, test } from "bun:test";
import { HarmlessTexts } from "./harmless-texts.ts";

describe("HarmlessTexts", () => {
  test("knows what was added and nothing else", () => {
    const texts = new HarmlessTexts(8);
    texts.add("a");
    expect(texts.has("a")).toBe(true);
    expect(["A", "a ", "", "b"].filter((text) => texts.has(text))).toEqual([]);
  });

  test.each(["x".repeat(513), "\n", "\x7f", "\u0085", "\u2028", "é", "\ud800"])("does not keep %p", (text) => {
    const texts = new HarmlessTexts(8);
    texts.add(text);
    expect(texts.has(text)).toBe(false);
  });

  test("stays bounded, and keeps what is asked for again and again", () => {
    const texts = new HarmlessTexts(4);
    texts.add("often");
    const kept: string[] = [];
    for (let n = 0; n < 100; n++) {
      texts.add(`once ${n}`);
      if (!texts.has("often")) kept.push(`lost at ${n}`);
    }
    expect(kept).toEqual([]);
    expect(Array.from({ length: 100 }, (_, n) => n).filter((n) => texts.has(`once ${n}`)).length).toBeLessThanOrEqual(8);
  });
});
