// The claims and signature that the host checks. What is signed here is byte for byte what is sent:
// one function builds the header list, and both the signing input and the head are rendered from it.

import { createHmac } from "node:crypto";
import type { HeaderField, RequestHead } from "../request/http-message.ts";
import { splitQuery } from "../request/request-target.ts";
import type { Permit } from "../request/verdict.ts";
import { err, ok, type Result } from "../result.ts";
import type { LatchedKey } from "./secure-channel.ts";

export const AUTHORIZATION_SCHEME = "Azure-HMAC-SHA256";
export const AUTHORIZATION_HEADER = "x-ms-azure-host-authorization";
export const DATE_HEADER = "x-ms-azure-host-date";
export const CLAIMS_HEADER = "x-ms-azure-host-claims";

/** What the caller sent is never passed on under these names. */
const OURS: ReadonlySet<string> = new Set([AUTHORIZATION_HEADER, DATE_HEADER, CLAIMS_HEADER]);

/** Fields that speak about one connection only. Fields that a client merely names in `Connection` are kept on purpose:
 *  dropping them would let a client strip `X-Forwarded-For`, by which the host recognises forged requests. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "expect",
]);

/** The body as it will leave: its framing is stated once, by us. */
export type OutboundBody =
  | { readonly kind: "none" }
  | { readonly kind: "buffered"; readonly bytes: Uint8Array }
  | { readonly kind: "streamed" };

/** A request that the signature could not cover wholly. */
export type AmbiguousRequest =
  | { readonly kind: "repeated-header"; readonly name: string }
  | { readonly kind: "colliding-parameters"; readonly text: string };

export interface EndorsementInput {
  readonly head: RequestHead;
  readonly body: OutboundBody;
  readonly isRoot: boolean;
  /** RFC 1123 date on the host's clock. */
  readonly date: string;
  /** Undefined: claims and date are set, the request leaves unsigned (exempt uploads, audit without a key). */
  readonly key: LatchedKey | undefined;
}

/** The value of the claims header; the host compares the text, so blanks are part of it. */
export function renderClaims(isRoot: boolean): string {
  return `{ "isRoot": "${isRoot ? "true" : "false"}"}`;
}

/**
 * Turns a permitted request into the head that goes to the host, latin1 bytes including the empty line.
 * The client's fields keep their order, case and bytes; hop-by-hop fields and anything under our names are dropped.
 * @see docs/protocol.md#signing-input, test/vectors/signing.json
 */
export function endorse(_proof: Permit, input: EndorsementInput): Result<Uint8Array, AmbiguousRequest> {
  const { head, body, key } = input;
  const fields: HeaderField[] = [];
  for (const field of head.headers) {
    const name = field[0].toLowerCase();
    if (!HOP_BY_HOP.has(name) && !OURS.has(name)) fields.push(field);
  }
  const framing = framingField(head, body);
  if (framing !== undefined) fields.push(framing);
  fields.push([DATE_HEADER, input.date], [CLAIMS_HEADER, renderClaims(input.isRoot)]);
  if (key !== undefined) {
    const ambiguity = findAmbiguity(fields, head.target);
    if (ambiguity !== undefined) return err(ambiguity);
    const bytes = body.kind === "buffered" ? body.bytes : EMPTY;
    fields.push([AUTHORIZATION_HEADER, renderAuthorization(key, signingInput(head.method, head.target, fields, bytes))]);
  }
  return ok(renderHead(head.method, head.target, fields));
}

const EMPTY = new Uint8Array(0);

function framingField(head: RequestHead, body: OutboundBody): HeaderField | undefined {
  switch (body.kind) {
    case "buffered":
      return ["Content-Length", String(body.bytes.length)];
    case "streamed":
      return head.framing.kind === "length" ? ["Content-Length", String(head.framing.lengthBytes)] : ["Transfer-Encoding", "chunked"];
    case "none":
      // An explicit zero is kept, because some services refuse a POST without a length.
      return head.framing.kind === "length" ? ["Content-Length", "0"] : undefined;
  }
}

/** `METHOD target HTTP/1.1`, the fields in order, the empty line; latin1, so the bytes are those that were parsed. */
export function renderHead(method: string, target: string, fields: readonly HeaderField[]): Uint8Array {
  let text = `${method} ${target} HTTP/1.1\r\n`;
  for (const [name, value] of fields) text += `${name}: ${value}\r\n`;
  return Buffer.from(`${text}\r\n`, "latin1");
}

/** The three parts of the text that is signed; the body goes between method and headers. */
export interface SigningInput {
  readonly before: string;
  readonly body: Uint8Array;
  readonly after: string;
}

/**
 * The text the host rebuilds and checks. Header names lower-case and sorted by byte, of a repeated header the last value;
 * parameters keyed and sorted by name and value glued together, which is why {@link findAmbiguity} must come first.
 * @param target - origin form or absolute form; only its path and query are signed, never decoded
 */
export function signingInput(method: string, target: string, fields: readonly HeaderField[], body: Uint8Array): SigningInput {
  const values = new Map<string, string>();
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (lower !== AUTHORIZATION_HEADER) values.set(lower, trimBlanks(value));
  }
  let headers = "";
  for (const name of [...values.keys()].sort(byCodeUnit)) headers += `${name}:${values.get(name)}\n`;
  const { path, query } = originForm(target);
  return { before: `${method}\n`, body, after: `\n${headers}${path}\n${signedParameters(query)}` };
}

/** Lower-case hex HMAC-SHA256 of the signing input. */
export function signature(key: LatchedKey, input: SigningInput): string {
  const hmac = createHmac("sha256", key.secret.reveal());
  hmac.update(input.before, "latin1");
  if (input.body.length > 0) hmac.update(input.body);
  return hmac.update(input.after, "latin1").digest("hex");
}

/** The value of the authorization header. */
export function renderAuthorization(key: LatchedKey, input: SigningInput): string {
  return `${AUTHORIZATION_SCHEME} ${key.guid} ${signature(key, input)}`;
}

/** Finds a header or parameter that would be sent but not covered by the signature; undefined when all is covered. */
export function findAmbiguity(fields: readonly HeaderField[], target: string): AmbiguousRequest | undefined {
  const values = new Map<string, string>();
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    const before = values.get(lower);
    if (before !== undefined && before !== value) return { kind: "repeated-header", name: lower };
    values.set(lower, value);
  }
  const query = originForm(target).query;
  if (!query.includes("&")) return undefined;
  const glued = new Map<string, string>();
  for (const [name, value] of queryPairs(query)) {
    const before = glued.get(name + value);
    if (before !== undefined && before !== name) return { kind: "colliding-parameters", text: name + value };
    glued.set(name + value, name);
  }
  return undefined;
}

function originForm(target: string): { readonly path: string; readonly query: string } {
  const hash = target.indexOf("#");
  const whole = hash < 0 ? target : target.slice(0, hash);
  if (whole.startsWith("/")) return splitQuery(whole);
  const { path, query } = splitQuery(whole.replace(/^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?]*/, ""));
  return { path: path === "" ? "/" : path, query };
}

function queryPairs(query: string): (readonly [name: string, value: string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    const name = (equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    if (name !== "") pairs.push([name, equals < 0 ? "" : part.slice(equals + 1)]);
  }
  return pairs;
}

function signedParameters(query: string): string {
  if (query === "") return "";
  const pairs = new Map<string, string>();
  for (const [name, value] of queryPairs(query)) pairs.set(name + value, value === "" ? name : `${name}=${value}`);
  return [...pairs.keys()]
    .sort(byCodeUnit)
    .map((glued) => pairs.get(glued))
    .join("&");
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** By hand: a pattern for trailing blanks restarts at every blank, and a field may hold tens of thousands of them. */
function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
