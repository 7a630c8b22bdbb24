// The strict parser of request heads: bytes to RequestHead, or the status to refuse them with. Pure.
// Ambiguous heads are refused, because the host must see the request that was decided.

import { isLookAlike } from "../../core/channel/header-names.ts";
import type { BodyFraming, HeaderField, RequestHead } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { connectionTokens, hasBareLineFeed, parseContentLength, parseFieldLines } from "./header-fields.ts";
import { MAX_HEAD_BYTES, MAX_METHOD_BYTES, MAX_REQUEST_FIELDS, MAX_TARGET_BYTES } from "./limits.ts";

export interface HeadRefusal {
  readonly status: 400 | 414 | 417 | 431 | 501;
  readonly detail: string;
}

export type HeadScan =
  | { readonly kind: "more" }
  /** The head is `bytes[start, end)`, its last header line included, the empty line not; what follows starts at `next`. */
  | { readonly kind: "found"; readonly start: number; readonly end: number; readonly next: number }
  | { readonly kind: "refused"; readonly refusal: HeadRefusal };

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21\x22\x24-\x7e]+) HTTP\/1\.([01])$/;
const METHOD_START = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}(?: |$)/;
/** Values beyond ASCII cannot be signed in a way both ends agree on. */
const FORBIDDEN_BYTE = /[^\t\r\n\x20-\x7e]/;
const HOST = /^(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?$/;

const CR = 13;
const LF = 10;
const MAX_LEADING_LINES = 2;
const MAX_REQUEST_LINE_BYTES = MAX_METHOD_BYTES + 1 + MAX_TARGET_BYTES + " HTTP/1.1".length;
const MORE: HeadScan = { kind: "more" };

function refuse(status: HeadRefusal["status"], detail: string): { readonly ok: false; readonly error: HeadRefusal } {
  return err({ status, detail });
}

function refused(status: HeadRefusal["status"], detail: string): HeadScan {
  return { kind: "refused", refusal: { status, detail } };
}

/**
 * Searches for the end of a request head in `bytes[from, to)`. What can never become a request (TLS, HTTP/0.9, bare LF,
 * too long) is refused as soon as it shows, not when the client gives up waiting.
 */
export function scanRequestHead(bytes: Buffer, from: number, to: number): HeadScan {
  let start = from;
  for (let line = 0; line < MAX_LEADING_LINES && start < to && bytes[start] === CR; line++) {
    if (start + 1 === to) return MORE;
    if (bytes[start + 1] !== LF) return refused(400, "a bare CR before the request");
    start += 2;
  }
  if (start === to) return MORE;
  const found = bytes.indexOf("\r\n\r\n", start, "latin1");
  if (found >= 0 && found + 4 <= to) {
    if (found - start <= MAX_HEAD_BYTES) return { kind: "found", start, end: found + 2, next: found + 4 };
    return tooLong(bytes, start, to);
  }
  return scanBeginning(bytes, start, to);
}

function scanBeginning(bytes: Buffer, start: number, to: number): HeadScan {
  if (!METHOD_START.test(bytes.toString("latin1", start, Math.min(to, start + MAX_METHOD_BYTES + 1))))
    return refused(400, "not an HTTP/1 request");
  if (hasBareLineFeed(bytes, start, to)) return refused(400, "a line ends in a bare LF");
  const lineEnd = bytes.indexOf("\r\n", start, "latin1");
  if (lineEnd >= 0 && lineEnd < to && lineEnd - start <= MAX_REQUEST_LINE_BYTES) {
    if (!REQUEST_LINE.test(bytes.toString("latin1", start, lineEnd))) return refused(400, "the request line is malformed");
    // Up to three bytes of the empty line may have arrived with the head itself still within bounds.
    return to - start > MAX_HEAD_BYTES + 3 ? refused(431, "the request head is too long") : MORE;
  }
  return to - start > MAX_REQUEST_LINE_BYTES + 1 ? tooLong(bytes, start, to) : MORE;
}

function tooLong(bytes: Buffer, start: number, to: number): HeadScan {
  const lineEnd = bytes.indexOf("\r\n", start, "latin1");
  const lineBytes = (lineEnd < 0 ? to : lineEnd) - start;
  return lineBytes > MAX_REQUEST_LINE_BYTES ? refused(414, "the request target is too long") : refused(431, "the request head is too long");
}

/**
 * Parses a whole request head: latin1 text up to and including the CR LF of its last line, without the empty line.
 * @returns the head with every field as received, or the status the client should get and why
 */
export function parseRequestHead(text: string): Result<RequestHead, HeadRefusal> {
  const lineEnd = text.indexOf("\r\n");
  if (lineEnd > MAX_REQUEST_LINE_BYTES) return refuse(414, "the request target is too long");
  const line = REQUEST_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
  if (line === null) return refuse(400, "the request line is malformed");
  const [, method = "", target = "", minor] = line;
  if (target.length > MAX_TARGET_BYTES) return refuse(414, "the request target is too long");
  if (FORBIDDEN_BYTE.test(text)) return refuse(400, "the head holds a control byte or a byte beyond ASCII");
  const fields = parseFieldLines(text, lineEnd + 2, MAX_REQUEST_FIELDS);
  if (!fields.ok) return refuse(fields.error.kind === "too-many" ? 431 : 400, fields.error.detail);
  return assembleHead(method, target, minor === "1" ? 1 : 0, fields.value);
}

function assembleHead(
  method: string,
  target: string,
  minorVersion: 0 | 1,
  headers: readonly HeaderField[],
): Result<RequestHead, HeadRefusal> {
  let host: string | undefined;
  let contentLength: string | undefined;
  let transferEncoding: string | undefined;
  let expectsContinue = false;
  for (const [name, value] of headers) {
    // The length first: it spares the lower-casing of most names.
    switch (name.length) {
      case 4:
        if (name.toLowerCase() !== "host") break;
        if (host !== undefined) return refuse(400, "two Host fields");
        host = value;
        break;
      case 6:
        if (name.toLowerCase() !== "expect") break;
        if (value.toLowerCase() !== "100-continue") return refuse(417, "an expectation other than 100-continue");
        expectsContinue = minorVersion === 1;
        break;
      case 14:
        if (name.toLowerCase() !== "content-length") break;
        if (contentLength !== undefined) return refuse(400, "two Content-Length fields");
        contentLength = value;
        break;
      case 17:
        if (name.toLowerCase() !== "transfer-encoding") break;
        if (transferEncoding !== undefined) return refuse(400, "two Transfer-Encoding fields");
        transferEncoding = value;
        break;
    }
    if (isLookAlike(name)) return refuse(400, "a header name that some servers read as a reserved one");
  }
  if (host === undefined ? minorVersion === 1 : !isHost(host)) return refuse(400, "the Host field is missing or malformed");
  const framing = requestFraming(minorVersion, contentLength, transferEncoding);
  if (!framing.ok) return framing;
  const tokens = connectionTokens(headers);
  const closeAfter = tokens.includes("close") || (minorVersion === 0 && !tokens.includes("keep-alive"));
  return ok({ method, target, minorVersion, headers, framing: framing.value, closeAfter, expectsContinue, host });
}

function isHost(value: string): boolean {
  const match = HOST.exec(value);
  return match !== null && Number(match[1] ?? 0) <= 65535;
}

const NO_BODY: Result<BodyFraming, HeadRefusal> = ok({ kind: "none" });

function requestFraming(
  minorVersion: 0 | 1,
  contentLength: string | undefined,
  transferEncoding: string | undefined,
): Result<BodyFraming, HeadRefusal> {
  if (transferEncoding !== undefined) {
    if (contentLength !== undefined) return refuse(400, "both Content-Length and Transfer-Encoding");
    if (minorVersion === 0) return refuse(400, "Transfer-Encoding in HTTP/1.0");
    return transferEncoding.toLowerCase() === "chunked" ? ok({ kind: "chunked" }) : refuse(501, "a transfer coding other than chunked");
  }
  if (contentLength === undefined) return NO_BODY;
  const lengthBytes = parseContentLength(contentLength);
  if (lengthBytes === undefined) return refuse(400, "the Content-Length is malformed");
  return lengthBytes === 0 ? NO_BODY : ok({ kind: "length", lengthBytes });
}
