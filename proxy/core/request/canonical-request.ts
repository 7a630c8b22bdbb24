// The canonical form of a request, which rules and policies decide on. The original target is forwarded;
// an ambiguous target is refused, never guessed.

import { err, ok, type Result } from "../result.ts";
import type { Endpoint } from "./endpoint.ts";
import { type CanonicalErrorCode, splitTarget } from "./request-target.ts";

export type { CanonicalErrorCode } from "./request-target.ts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] as const;
export type Method = (typeof METHODS)[number];

/** Name and value decoded once, ASCII lower-cased. */
export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

export interface CanonicalPath {
  /** Decoded once, ASCII lower-cased, dots resolved, matrix parameters dropped; no empty segment. */
  readonly segments: readonly string[];
  readonly trailingSlash: boolean;
}

export interface CanonicalRequest extends CanonicalPath {
  readonly endpoint: Endpoint;
  readonly method: Method;
  /** In the order received; names may repeat. */
  readonly query: readonly QueryParameter[];
}

/** The method if it is one we let through; compared with case, as HTTP defines it. */
export function parseMethod(text: string): Method | undefined {
  return METHODS.find((method) => method === text);
}

/**
 * The canonical form of a request, or the code of the first thing that makes it ambiguous.
 * @param endpoint - where the connection went; an absolute-form target must name the same endpoint
 * @param target - request target as received
 */
export function canonicalise(endpoint: Endpoint, method: string, target: string): Result<CanonicalRequest, CanonicalErrorCode> {
  const known = parseMethod(method);
  const parts = splitTarget(target);
  if (!parts.ok) return parts;
  if (known === undefined) return err("CANON_METHOD");
  if (parts.value.destination !== "origin-form" && parts.value.destination !== endpoint) return err("CANON_DESTINATION");
  const path = canonicalisePath(parts.value.path);
  if (!path.ok) return path;
  const query = canonicaliseQuery(parts.value.query);
  if (!query.ok) return query;
  const { segments, trailingSlash } = path.value;
  return ok({ endpoint, method: known, segments, trailingSlash, query: query.value });
}

/** Decodes percent escapes once, folds ASCII case, drops empty and `.` segments and matrix parameters, resolves `..`. */
export function canonicalisePath(raw: string): Result<CanonicalPath, CanonicalErrorCode> {
  const decoded = decodePercent(raw);
  if (!decoded.ok) return decoded;
  const path = decoded.value;
  if (hasControl(path)) return err("CANON_CTRL");
  if (NON_ASCII.test(path)) return err("CANON_NON_ASCII");
  if (path.includes("?")) return err("CANON_EMBQ");
  // A host that folds backslashes to slashes would see another path than the rules did.
  if (path.includes("\\")) return err("CANON_BACKSLASH");
  const segments: string[] = [];
  for (const part of path.toLowerCase().split("/")) {
    const semicolon = part.indexOf(";");
    const segment = semicolon < 0 ? part : part.slice(0, semicolon);
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") segments.push(segment);
    else if (segments.pop() === undefined) return err("CANON_UNDERFLOW");
  }
  return ok({ segments, trailingSlash: raw.length > 1 && raw.endsWith("/") && segments.length > 0 });
}

/** Splits a raw query into decoded pairs; parts without a name are dropped, a missing `=` means an empty value. */
export function canonicaliseQuery(raw: string): Result<readonly QueryParameter[], CanonicalErrorCode> {
  if (raw === "") return ok([]);
  const pairs: QueryParameter[] = [];
  for (const part of raw.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = decodeQueryComponent(equals < 0 ? part : part.slice(0, equals));
    if (!name.ok) return name;
    const value = decodeQueryComponent(equals < 0 ? "" : part.slice(equals + 1));
    if (!value.ok) return value;
    if (name.value !== "") pairs.push({ name: name.value, value: value.value });
  }
  return ok(pairs);
}

/** Decodes one query name or value: `+` is a blank, percent escapes once, ASCII case folded, other characters kept. */
export function decodeQueryComponent(raw: string): Result<string, CanonicalErrorCode> {
  const decoded = decodePercent(raw.includes("+") ? raw.replaceAll("+", " ") : raw);
  if (!decoded.ok) return decoded;
  return hasControl(decoded.value) ? err("CANON_CTRL") : ok(lowerAscii(decoded.value));
}

/** Writes a canonical request back as a target: names sorted, always `name=value`. Canonicalising it again changes nothing. */
export function renderCanonical(request: Pick<CanonicalRequest, "segments" | "trailingSlash" | "query">): string {
  const path = `/${request.segments.map((segment) => escapeWith(segment, PATH_ESCAPED)).join("/")}${request.trailingSlash ? "/" : ""}`;
  if (request.query.length === 0) return path;
  // Stable: equal names keep their order. One sort, because callers choose how many parameters there are.
  const pairs = [...request.query].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return `${path}?${pairs.map((pair) => `${escapeWith(pair.name, QUERY_ESCAPED)}=${escapeWith(pair.value, QUERY_ESCAPED)}`).join("&")}`;
}

const NON_ASCII = /[^\x00-\x7f]/;
const CONTROL = /[\x00-\x1f\x7f]/;
const PATH_ESCAPED = /[\x00-\x20%#?;\x7f]|[^\x00-\x7f]/gu;
const QUERY_ESCAPED = /[\x00-\x20%#&=+\x7f]|[^\x00-\x7f]/gu;
const STRICT_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function hasControl(text: string): boolean {
  return CONTROL.test(text);
}

/** Folds A-Z only: Unicode folding would let other letters (KELVIN SIGN, dotless i) become ASCII ones. */
function lowerAscii(text: string): string {
  return NON_ASCII.test(text) ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : text.toLowerCase();
}

function decodePercent(raw: string): Result<string, CanonicalErrorCode> {
  if (!raw.includes("%")) return ok(raw);
  if (/%(?![0-9A-Fa-f]{2})/.test(raw)) return err("CANON_PCT");
  const source = Buffer.from(raw, "utf8");
  const bytes = new Uint8Array(source.length);
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    const byte = source[i] ?? 0;
    if (byte === 0x25) {
      bytes[length++] = Number.parseInt(source.toString("latin1", i + 1, i + 3), 16);
      i += 2;
    } else bytes[length++] = byte;
  }
  try {
    return ok(STRICT_UTF8.decode(bytes.subarray(0, length)));
  } catch {
    return err("CANON_UTF8");
  }
}

function escapeWith(text: string, pattern: RegExp): string {
  return text.replace(pattern, (character) =>
    [...Buffer.from(character, "utf8")].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}
