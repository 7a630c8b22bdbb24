// Which names a component may use. Tools have written names of components into program text without escaping them, so a name that is
// more than letters, digits and a little punctuation is refused whatever it would be used for.

import type { ByteReader } from "./byte-reader.ts";
import { quote, refuse } from "./refuse.ts";

export const MAX_NAME_BYTES = 512;
const PLAIN = /^[A-Za-z0-9_$.:/@#|[\]+-]*$/;
const PLAIN_WITH_BLANKS = /^[A-Za-z0-9_$.:/@#|[\]+ -]*$/;
const WORD = "(?:[a-z][0-9a-z]*|[A-Z][0-9A-Z]*)";
const LABEL = new RegExp(`^${WORD}(?:-${WORD})*$`);

/** Of an import or export of a core module. May be empty. */
export function readCoreName(reader: ByteReader): string {
  return checked(reader, PLAIN);
}

/** Of a custom section, which nothing but `module inspect` shows. */
export function readCustomName(reader: ByteReader): string {
  return checked(reader, PLAIN_WITH_BLANKS);
}

/** Of a field, case or parameter: words joined by hyphens. */
export function readLabel(reader: ByteReader): string {
  const start = reader.position;
  const name = checked(reader, PLAIN);
  if (!LABEL.test(name)) refuse("name", start, `the name ${quote(name)} is not words joined by hyphens`);
  return name;
}

/** Of an import or export of a component: a label, an interface with its version, or a member of a resource. */
export function readExternName(reader: ByteReader): string {
  const start = reader.position;
  const form = reader.byte();
  if (form > 1) refuse("unsupported", start, `a name has form ${form}, want a plain one`);
  const name = checked(reader, PLAIN);
  if (name === "") refuse("name", start, "a name is empty");
  return name;
}

/** A set that refuses what it already holds; names that differ only in case count as the same, as the component model has it. */
export class NameSet {
  readonly #taken = new Set<string>();
  readonly #what: string;
  readonly #foldsCase: boolean;

  constructor(what: string, foldsCase: boolean) {
    this.#what = what;
    this.#foldsCase = foldsCase;
  }

  add(name: string, offset: number): void {
    const key = this.#foldsCase ? name.toLowerCase() : name;
    if (this.#taken.has(key)) refuse("name", offset, `the ${this.#what} ${quote(name)} is there twice`);
    this.#taken.add(key);
  }
}

function checked(reader: ByteReader, allowed: RegExp): string {
  const start = reader.position;
  const name = reader.text(MAX_NAME_BYTES);
  if (!allowed.test(name)) refuse("name", start, `the name ${quote(name)} holds other characters than A-Z a-z 0-9 _ $ . : / @ # | [ ] + -`);
  return name;
}
