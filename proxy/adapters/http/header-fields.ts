// Header lines of both directions: the strict grammar, connection tokens, names that resemble ours, and writing fields back.
// Works on latin1 strings; it never repairs what it reads.

import type { HeaderField } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";

export interface FieldRefusal {
  readonly kind: "malformed" | "too-many";
  readonly detail: string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const UNSENDABLE_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const SPACE = 32;
const TAB = 9;
const CR = 13;
const LF = 10;

const NOT_A_LINE_END: FieldRefusal = { kind: "malformed", detail: "a line does not end in exactly CR LF" };
const NO_NAME: FieldRefusal = { kind: "malformed", detail: "a header line has no name and colon" };
const BAD_NAME: FieldRefusal = { kind: "malformed", detail: "a header name is not a token" };
const TOO_MANY: FieldRefusal = { kind: "too-many", detail: "too many header fields" };

/**
 * Reads header lines up to the end of `text`, which must end after the CR LF of the last one.
 * Folded lines fail because their first byte is no token. Bytes of values are the caller's check: one test over
 * the whole head is cheaper than one for each value.
 */
export function parseFieldLines(text: string, from: number, maxFields: number): Result<readonly HeaderField[], FieldRefusal> {
  const fields: HeaderField[] = [];
  let at = from;
  while (at < text.length) {
    const lineFeed = text.indexOf("\n", at);
    // INVARIANT: the first CR of the line stands right before its LF, so no value holds a bare CR or LF.
    if (lineFeed < 1 || text.indexOf("\r", at) !== lineFeed - 1) return err(NOT_A_LINE_END);
    const colon = text.indexOf(":", at);
    if (colon <= at || colon > lineFeed) return err(NO_NAME);
    const name = text.slice(at, colon);
    if (!TOKEN.test(name)) return err(BAD_NAME);
    let start = colon + 1;
    let end = lineFeed - 1;
    while (start < end && isBlank(text.charCodeAt(start))) start++;
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
    if (fields.push([name, text.slice(start, end)]) > maxFields) return err(TOO_MANY);
    at = lineFeed + 1;
  }
  return ok(fields);
}

/** True when a line in `bytes[start, to)` ends in LF without CR: no head that holds one can become valid. */
export function hasBareLineFeed(bytes: Buffer, start: number, to: number): boolean {
  for (let at = bytes.indexOf(LF, start); at >= 0 && at < to; at = bytes.indexOf(LF, at + 1)) {
    if (at === start || bytes[at - 1] !== CR) return true;
  }
  return false;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Names that change what a message means to the next reader: framing, routing, and the headers only we may set. */
function isReserved(lowerCaseName: string): boolean {
  return (
    lowerCaseName === "content-length" ||
    lowerCaseName === "transfer-encoding" ||
    lowerCaseName === "host" ||
    lowerCaseName.startsWith("x-ms-azure-host-")
  );
}

/** True for a name that some servers fold into a reserved one because they read `_` as `-`. */
export function isLookAlike(name: string): boolean {
  return name.includes("_") && isReserved(name.toLowerCase().replaceAll("_", "-"));
}

const NO_TOKENS: readonly string[] = [];

/** The lower-case tokens of all Connection fields. */
export function connectionTokens(fields: readonly HeaderField[]): readonly string[] {
  let tokens = NO_TOKENS;
  for (const [name, value] of fields) {
    if (name.length !== 10 || name.toLowerCase() !== "connection") continue;
    tokens = tokens.concat(
      value
        .toLowerCase()
        .split(",")
        .map((token) => token.trim()),
    );
  }
  return tokens;
}

const CONTENT_LENGTH = /^[0-9]{1,15}$/;

/** A Content-Length value in bytes, at most 15 digits so that it is exact as a number; undefined when it is anything else. */
export function parseContentLength(value: string): number | undefined {
  return CONTENT_LENGTH.test(value) ? Number(value) : undefined;
}

/** Of one field in memory: its pair and its two texts. */
const FIELD_COST_BYTES = 200;

/** Of one parameter of the target: read and decoded, its pair and its texts. */
const PARAMETER_COST_BYTES = 600;
const AMPERSAND = 38;

/**
 * What a head costs in memory while its request or response is in progress, in bytes: each text is kept as received and as sent
 * on, and what was read of it points into both.
 */
export function headCost(fields: readonly HeaderField[], target = ""): number {
  let bytes = 2 * target.length;
  for (let at = 0; at < target.length; at++) if (target.charCodeAt(at) === AMPERSAND) bytes += PARAMETER_COST_BYTES;
  for (const [name, value] of fields) bytes += 2 * (name.length + value.length) + FIELD_COST_BYTES;
  return bytes;
}

/** One header line. Throws when the field could end the line early: our own code made it, so that is our bug. */
export function renderField(name: string, value: string): string {
  if (!TOKEN.test(name) || UNSENDABLE_VALUE.test(value))
    throw new Error(`internal error: header field ${JSON.stringify(name)} cannot be sent`);
  return `${name}: ${value}\r\n`;
}
