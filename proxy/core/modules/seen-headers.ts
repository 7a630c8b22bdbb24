// Which header fields of a request a module sees: those that the operator named for it, as text. A field whose bytes are not UTF-8
// is left out, never converted.

import type { HeaderField } from "../request/http-message.ts";
import type { SeenHeader } from "./policy-question.ts";

const NONE: readonly SeenHeader[] = [];
const NON_ASCII = /[^\x00-\x7f]/;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The named fields, in the order received; repeated ones each.
 * @param headers - values hold one character per byte received, without outer blanks
 * @param names - lower-case
 */
export function selectHeaders(headers: readonly HeaderField[], names: ReadonlySet<string>): readonly SeenHeader[] {
  if (names.size === 0) return NONE;
  const seen: SeenHeader[] = [];
  for (const [rawName, rawValue] of headers) {
    const name = rawName.toLowerCase();
    if (!names.has(name)) continue;
    const value = decodeValue(rawValue);
    if (value !== undefined) seen.push({ name, value });
  }
  return seen;
}

function decodeValue(raw: string): string | undefined {
  if (!NON_ASCII.test(raw)) return raw;
  try {
    return UTF8.decode(Buffer.from(raw, "latin1"));
  } catch {
    return undefined;
  }
}
