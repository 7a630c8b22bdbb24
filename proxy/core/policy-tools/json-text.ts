// Reads JSON that people write: every value keeps its place in the text, so that a complaint can say line and column. A member
// given twice is refused: two readers of the file may believe different ones. Never throws, whatever the text is.

import { err, ok, type Result } from "../result.ts";

/** Both counted from 1; columns in characters. */
export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

export interface JsonTextError extends TextPosition {
  /** What was found and what was wanted, in words. */
  readonly message: string;
}

export interface JsonText {
  readonly value: unknown;
  /** Where the value of this JSON pointer begins, or the nearest one around it that is in the text. */
  positionOf(pointer: string): TextPosition;
}

export const MAX_JSON_DEPTH = 64;

export function readJsonText(text: string): Result<JsonText, JsonTextError> {
  const reader = new Reader(text);
  const value = reader.readDocument();
  if (!value.ok) return err({ message: value.error.message, ...positionAt(text, value.error.at) });
  return ok({
    value: value.value,
    positionOf: (pointer) => {
      for (let at = pointer; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
        const offset = reader.offsets.get(at);
        if (offset !== undefined) return positionAt(text, offset);
      }
      return positionAt(text, reader.offsets.get("") ?? 0);
    },
  });
}

function positionAt(text: string, offset: number): TextPosition {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: [...before.slice(lineStart)].length + 1 };
}

type Read = Result<unknown, { readonly at: number; readonly message: string }>;

const BLANK = /[\t\n\r ]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;

class Reader {
  readonly offsets = new Map<string, number>();
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readDocument(): Read {
    this.#skipBlanks();
    const value = this.#readValue("", 0);
    if (!value.ok) return value;
    this.#skipBlanks();
    return this.#at < this.#text.length ? this.#fail("want the end of the file") : value;
  }

  #readValue(pointer: string, depth: number): Read {
    if (depth > MAX_JSON_DEPTH) return this.#fail(`want at most ${MAX_JSON_DEPTH} levels of nesting`);
    this.offsets.set(pointer, this.#at);
    const next = this.#text[this.#at];
    if (next === "{") return this.#readObject(pointer, depth);
    if (next === "[") return this.#readArray(pointer, depth);
    if (next === '"') return this.#readString();
    const word = WORDS.find(([name]) => this.#text.startsWith(name, this.#at));
    if (word !== undefined) {
      this.#at += word[0].length;
      return ok(word[1]);
    }
    const number = this.#take(NUMBER);
    return number === undefined ? this.#fail("want a JSON value") : ok(Number(number));
  }

  #readObject(pointer: string, depth: number): Read {
    const object: Record<string, unknown> = {};
    this.#at++;
    this.#skipBlanks();
    if (this.#skip("}")) return ok(object);
    for (;;) {
      const nameAt = this.#at;
      if (this.#text[nameAt] !== '"') return this.#fail("want a member name in double quotes");
      const name = this.#readString();
      if (!name.ok) return name;
      const key = String(name.value);
      if (Object.hasOwn(object, key))
        return this.#fail(`want each member once: ${JSON.stringify(key.slice(0, 80))} was there before`, nameAt);
      this.#skipBlanks();
      if (!this.#skip(":")) return this.#fail('want ":" after the member name');
      this.#skipBlanks();
      const value = this.#readValue(`${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, depth + 1);
      if (!value.ok) return value;
      // Defined and not assigned: a member called __proto__ is nothing special.
      Object.defineProperty(object, key, { value: value.value, enumerable: true, configurable: true, writable: true });
      this.#skipBlanks();
      if (this.#skip("}")) return ok(object);
      if (!this.#skip(",")) return this.#fail('want "," or "}"');
      this.#skipBlanks();
    }
  }

  #readArray(pointer: string, depth: number): Read {
    const array: unknown[] = [];
    this.#at++;
    this.#skipBlanks();
    if (this.#skip("]")) return ok(array);
    for (;;) {
      const value = this.#readValue(`${pointer}/${array.length}`, depth + 1);
      if (!value.ok) return value;
      array.push(value.value);
      this.#skipBlanks();
      if (this.#skip("]")) return ok(array);
      if (!this.#skip(",")) return this.#fail('want "," or "]"');
      this.#skipBlanks();
    }
  }

  #readString(): Read {
    const text = this.#take(STRING);
    if (text === undefined) return this.#fail("want a text that ends in double quotes, with control characters and backslashes escaped");
    return ok(text.includes("\\") ? JSON.parse(text) : text.slice(1, -1));
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  #skipBlanks(): void {
    this.#take(BLANK);
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #fail(wanted: string, at = this.#at): Read {
    const character = this.#text[at];
    const found = character === undefined ? "the end of the file" : JSON.stringify(String.fromCodePoint(this.#text.codePointAt(at) ?? 0));
    return err({ at, message: `found ${found}, ${wanted}` });
  }
}
