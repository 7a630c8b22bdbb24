// Reads one HTTP/1.1 request head from raw bytes and keeps it as it came. Liberal in what it records, strict in framing:
// a request whose end is open to opinion is refused. Never normalises, decodes or reorders anything.

export type ReceivedFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly lengthBytes: number }
  | { readonly kind: "chunked" };

export interface ReceivedHead {
  /** The whole head as latin1, with the empty line. */
  readonly text: string;
  readonly method: string;
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** Lower-cased, in the order received. */
  readonly names: readonly string[];
  /** Without outer blanks; `values[i]` belongs to `names[i]`. */
  readonly values: readonly string[];
  readonly framing: ReceivedFraming;
  /** The connection ends after the answer. */
  readonly wantsClose: boolean;
  readonly expectsContinue: boolean;
}

export interface HeadProblem {
  readonly status: 400 | 431 | 501 | 505;
  readonly detail: string;
}

export type HeadResult = { readonly ok: true; readonly head: ReceivedHead } | { readonly ok: false; readonly problem: HeadProblem };

export const MAX_HEAD_BYTES = 128 * 1024;
const MAX_FIELDS = 512;

const NO_BODY: ReceivedFraming = { kind: "none" };
const CHUNKED: ReceivedFraming = { kind: "chunked" };

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
/** Control characters, and CR or LF that do not stand together. */
const STRAY_CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n/;

/** Names seen before and their lower-case form: most requests carry the same few. */
const knownNames = new Map<string, string>();
const MAX_KNOWN_NAMES = 1000;

/**
 * Parses a complete head.
 * @param text - latin1 of the bytes up to and including the empty line
 */
export function parseRequestHead(text: string): HeadResult {
  if (STRAY_CONTROL.test(text)) return bad("head holds a control character");
  const lineEnd = text.indexOf("\r\n");
  const firstBlank = text.indexOf(" ");
  const secondBlank = text.indexOf(" ", firstBlank + 1);
  if (firstBlank <= 0 || secondBlank < 0 || secondBlank > lineEnd) return bad("request line is not METHOD TARGET VERSION");
  const method = text.slice(0, firstBlank);
  const target = text.slice(firstBlank + 1, secondBlank);
  const version = text.slice(secondBlank + 1, lineEnd);
  if (!TOKEN.test(method)) return bad("method is not a token");
  if (!TARGET.test(target)) return bad("target is empty or holds a control character");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    return /^HTTP\/\d\.\d$/.test(version) ? problem(505, `version is "${version}"`) : bad("request line does not end in a version");
  }

  const names: string[] = [];
  const values: string[] = [];
  let at = lineEnd + 2;
  const end = text.length - 2;
  while (at < end) {
    const fieldEnd = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon > fieldEnd) return bad("header line has no colon");
    const name = text.slice(at, colon);
    const lowerCaseName = lowerCaseOf(name);
    if (lowerCaseName === undefined) return bad("header name is not a token");
    names.push(lowerCaseName);
    values.push(trimBlanks(text, colon + 1, fieldEnd));
    if (names.length > MAX_FIELDS) return problem(431, `more than ${MAX_FIELDS} header fields`);
    at = fieldEnd + 2;
  }

  const minorVersion = version === "HTTP/1.1" ? 1 : 0;
  const framing = framingOf(names, values, minorVersion);
  if ("problem" in framing) return { ok: false, problem: framing.problem };
  const connection = lastValue(names, values, "connection")?.toLowerCase();
  const wantsClose = minorVersion === 1 ? connection?.includes("close") === true : connection?.includes("keep-alive") !== true;
  const expectsContinue = minorVersion === 1 && lastValue(names, values, "expect")?.toLowerCase() === "100-continue";
  return { ok: true, head: { text, method, target, minorVersion, names, values, framing, wantsClose, expectsContinue } };
}

/** The value that arrived last under this lower-case name. */
export function headerOf(head: Pick<ReceivedHead, "names" | "values">, lowerCaseName: string): string | undefined {
  return lastValue(head.names, head.values, lowerCaseName);
}

/** Header lines as pairs, names with the case they came in. Only for recorded heads: it parses the text again. */
export function headerPairsOf(text: string): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (const line of text.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    if (colon > 0) pairs.push([line.slice(0, colon), trimBlanks(line, colon + 1, line.length)]);
  }
  return pairs;
}

/** undefined when the name is not a token. */
function lowerCaseOf(name: string): string | undefined {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) return undefined;
  const lowerCase = name.toLowerCase();
  if (knownNames.size < MAX_KNOWN_NAMES && name.length < 100) knownNames.set(name, lowerCase);
  return lowerCase;
}

function lastValue(names: readonly string[], values: readonly string[], name: string): string | undefined {
  const at = names.lastIndexOf(name);
  return at < 0 ? undefined : values[at];
}

function trimBlanks(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function framingOf(names: readonly string[], values: readonly string[], minorVersion: 0 | 1): ReceivedFraming | { problem: HeadProblem } {
  let length: string | undefined;
  let encoding: string | undefined;
  for (let i = 0; i < names.length; i++) {
    if (names[i] === "content-length") {
      if (length !== undefined) return { problem: { status: 400, detail: "content-length is repeated" } };
      length = values[i];
    } else if (names[i] === "transfer-encoding") {
      if (encoding !== undefined) return { problem: { status: 400, detail: "transfer-encoding is repeated" } };
      encoding = values[i];
    }
  }
  if (encoding !== undefined) {
    if (length !== undefined) return { problem: { status: 400, detail: "both content-length and transfer-encoding" } };
    if (minorVersion === 0) return { problem: { status: 400, detail: "transfer-encoding in HTTP/1.0" } };
    if (encoding.toLowerCase() !== "chunked") return { problem: { status: 501, detail: `transfer-encoding is "${encoding}"` } };
    return CHUNKED;
  }
  if (length === undefined || length === "0") return NO_BODY;
  if (!/^\d{1,15}$/.test(length)) return { problem: { status: 400, detail: `content-length is "${length}"` } };
  return { kind: "length", lengthBytes: Number(length) };
}

function bad(detail: string): HeadResult {
  return problem(400, detail);
}

function problem(status: HeadProblem["status"], detail: string): HeadResult {
  return { ok: false, problem: { status, detail } };
}
