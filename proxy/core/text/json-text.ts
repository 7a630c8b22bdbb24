// Reads hand-written JSON: every value keeps its place in the text, so that an error can give line and column. A member
// given twice is refused: two readers of the file may use different ones. Never throws, and takes time and memory in
// proportion to the text, whatever the text is.

import { err, ok, type Result } from "../result.ts";

/** Both counted from 1; columns in UTF-16 code units, as most editors do. */
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

/** Arrays and objects within one another. */
export const MAX_JSON_DEPTH = 64;

/** Where a value begins; for an array or object also where its elements or members do. */
type Place = number | { readonly at: number; readonly within: readonly Place[] | ReadonlyMap<string, Place> };

export function readJsonText(text: string): Result<JsonText, JsonTextError> {
  const read = new Reader(text).readDocument();
  const lines = new LineIndex(text);
  if (!read.ok) return err({ message: read.error.message, ...lines.positionOf(read.error.at) });
  const { value, place } = read.value;
  return ok({ value, positionOf: (pointer) => lines.positionOf(findPlace(place, pointer)) });
}

function findPlace(root: Place, pointer: string): number {
  let place = root;
  for (const token of pointer.split("/").slice(1)) {
    if (typeof place === "number") break;
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~");
    const inner: Place | undefined = place.within instanceof Map ? place.within.get(name) : elementOf(place.within, name);
    if (inner === undefined) break;
    place = inner;
  }
  return typeof place === "number" ? place : place.at;
}

function elementOf(within: readonly Place[] | ReadonlyMap<string, Place>, name: string): Place | undefined {
  return Array.isArray(within) && /^[0-9]+$/.test(name) ? within[Number(name)] : undefined;
}

/** Finds lines by halving, so that many complaints about a long text cost little. */
class LineIndex {
  readonly #text: string;
  #starts: readonly number[] | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  positionOf(offset: number): TextPosition {
    this.#starts ??= this.#findStarts();
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 };
  }

  #findStarts(): readonly number[] {
    const starts = [0];
    for (let at = this.#text.indexOf("\n"); at >= 0; at = this.#text.indexOf("\n", at + 1)) starts.push(at + 1);
    return starts;
  }
}

interface Fault {
  readonly at: number;
  readonly message: string;
}

type Read = Result<{ readonly value: unknown; readonly place: Place }, Fault>;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const WORDS = [
  ["true", true],
  ["false", false],
  ["null", null],
] as const;
const MAX_SHOWN_CHARACTERS = 80;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readDocument(): Read {
    this.#skipBlanks();
    const read = this.#readValue(0);
    if (!read.ok) return read;
    this.#skipBlanks();
    return this.#at < this.#text.length ? this.#fail("want the end of the text") : read;
  }

  #readValue(depth: number): Read {
    const at = this.#at;
    const next = this.#text[at];
    if (next === "{" || next === "[") {
      if (depth >= MAX_JSON_DEPTH) return this.#fail(`want at most ${MAX_JSON_DEPTH} levels of nesting`);
      return next === "{" ? this.#readObject(depth + 1) : this.#readArray(depth + 1);
    }
    if (next === '"') {
      const text = this.#readString();
      return text.ok ? ok({ value: text.value, place: at }) : text;
    }
    const word = WORDS.find(([name]) => this.#text.startsWith(name, at));
    if (word !== undefined) {
      this.#at += word[0].length;
      return ok({ value: word[1], place: at });
    }
    const number = this.#take(NUMBER);
    return number === undefined ? this.#fail("want a JSON value") : ok({ value: Number(number), place: at });
  }

  #readObject(depth: number): Read {
    const object: Record<string, unknown> = {};
    const within = new Map<string, Place>();
    const at = this.#at++;
    this.#skipBlanks();
    if (this.#skip("}")) return ok({ value: object, place: { at, within } });
    for (;;) {
      const nameAt = this.#at;
      if (this.#text[nameAt] !== '"') return this.#fail("want a member name in double quotes");
      const name = this.#readString();
      if (!name.ok) return name;
      if (within.has(name.value)) {
        const shown = JSON.stringify(name.value.slice(0, MAX_SHOWN_CHARACTERS));
        return err({ at: nameAt, message: `found member ${shown} again, want each member once` });
      }
      this.#skipBlanks();
      if (!this.#skip(":")) return this.#fail('want ":" after the member name');
      this.#skipBlanks();
      const read = this.#readValue(depth);
      if (!read.ok) return read;
      within.set(name.value, read.value.place);
      // Defined and not assigned: a member called __proto__ is nothing special.
      Object.defineProperty(object, name.value, { value: read.value.value, enumerable: true, configurable: true, writable: true });
      this.#skipBlanks();
      if (this.#skip("}")) return ok({ value: object, place: { at, within } });
      if (!this.#skip(",")) return this.#fail('want "," or "}"');
      this.#skipBlanks();
    }
  }

  #readArray(depth: number): Read {
    const array: unknown[] = [];
    const within: Place[] = [];
    const at = this.#at++;
    this.#skipBlanks();
    if (this.#skip("]")) return ok({ value: array, place: { at, within } });
    for (;;) {
      const read = this.#readValue(depth);
      if (!read.ok) return read;
      array.push(read.value.value);
      within.push(read.value.place);
      this.#skipBlanks();
      if (this.#skip("]")) return ok({ value: array, place: { at, within } });
      if (!this.#skip(",")) return this.#fail('want "," or "]"');
      this.#skipBlanks();
    }
  }

  #readString(): Result<string, Fault> {
    const start = this.#at;
    let escaped = false;
    for (let at = start + 1; ; at++) {
      const code = this.#text.charCodeAt(at);
      // NaN: the end of the text.
      if (!(code >= 0x20)) return this.#fail("want the end of the text in double quotes; control characters are written as escapes", at);
      if (code === 0x22) {
        this.#at = at + 1;
        const raw = this.#text.slice(start, at + 1);
        return ok(escaped ? String(JSON.parse(raw)) : raw.slice(1, -1));
      }
      if (code !== 0x5c) continue;
      ESCAPE.lastIndex = at;
      const sequence = ESCAPE.exec(this.#text)?.[0];
      if (sequence === undefined) return this.#fail("want an escape that JSON has", at);
      escaped = true;
      at += sequence.length - 1;
    }
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  #skipBlanks(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #fail(wanted: string, at = this.#at): { readonly ok: false; readonly error: Fault } {
    const code = this.#text.codePointAt(at);
    const found = code === undefined ? "the end of the text" : JSON.stringify(String.fromCodePoint(code));
    return err({ at, message: `found ${found}, ${wanted}` });
  }
}

/** True for what JSON calls an object: no array, not null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
