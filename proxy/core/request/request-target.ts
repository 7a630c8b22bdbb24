// Splits a request target into authority, path and query, and says which endpoint an absolute-form target names.
// Host spellings (decimal, hex, octal, IPv4-mapped) are folded to one address; names are never resolved.

import { err, ok, type Result } from "../result.ts";
import { type Endpoint, endpointAt } from "./endpoint.ts";

export const CANONICAL_ERROR_CODES = [
  "CANON_SCHEME",
  "CANON_METHOD",
  "CANON_USERINFO",
  "CANON_HOST",
  "CANON_PORT",
  "CANON_PCT",
  "CANON_UTF8",
  "CANON_CTRL",
  "CANON_NON_ASCII",
  "CANON_EMBQ",
  "CANON_BACKSLASH",
  "CANON_UNDERFLOW",
  "CANON_DESTINATION",
] as const;
/** Stable code of why a target has no canonical form. */
export type CanonicalErrorCode = (typeof CANONICAL_ERROR_CODES)[number];

export interface TargetParts {
  /** What an absolute-form target names; `origin-form` when the target names nothing. */
  readonly destination: Endpoint | "unknown" | "origin-form";
  /** Raw path, `/` when the target has none. */
  readonly path: string;
  /** Raw query without the question mark; empty when there is none. */
  readonly query: string;
}

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;

/** Splits at the first `#` (cut off), then scheme and authority, then the first `?`. Nothing is decoded. Rules and signature both
 *  start from these parts, so that what is signed is what was judged. */
export function splitTarget(target: string): Result<TargetParts, CanonicalErrorCode> {
  const hash = target.indexOf("#");
  const whole = hash < 0 ? target : target.slice(0, hash);
  const scheme = SCHEME.exec(whole);
  if (scheme === null) return ok({ destination: "origin-form", ...splitPath(whole) });
  if (scheme[1]?.toLowerCase() !== "http") return err("CANON_SCHEME");
  const rest = whole.slice(scheme[0].length);
  const end = rest.search(/[/?]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const destination = parseAuthority(authority);
  if (!destination.ok) return destination;
  return ok({ destination: destination.value, ...splitPath(end < 0 ? "" : rest.slice(end)) });
}

function splitPath(text: string): Pick<TargetParts, "path" | "query"> {
  const { path, query } = splitQuery(text);
  return { path: path === "" ? "/" : path, query };
}

/** Splits an origin-form target at its first question mark. */
export function splitQuery(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: "" } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

function parseAuthority(authority: string): Result<Endpoint | "unknown", CanonicalErrorCode> {
  if (authority.includes("@")) return err("CANON_USERINFO");
  let host = authority;
  let portText = "";
  if (authority.startsWith("[")) {
    const close = authority.indexOf("]");
    if (close < 0) return err("CANON_HOST");
    host = authority.slice(0, close + 1);
    const after = authority.slice(close + 1);
    if (after !== "" && !after.startsWith(":")) return err("CANON_HOST");
    portText = after.slice(1);
  } else {
    const colon = authority.lastIndexOf(":");
    if (colon >= 0) {
      host = authority.slice(0, colon);
      portText = authority.slice(colon + 1);
    }
  }
  const port = parsePort(portText);
  if (!port.ok) return port;
  const address = parseHost(host);
  if (!address.ok) return address;
  return ok(address.value === undefined ? "unknown" : (endpointAt(address.value, port.value) ?? "unknown"));
}

function parsePort(text: string): Result<number, CanonicalErrorCode> {
  if (text === "") return ok(80);
  if (!/^[0-9]{1,5}$/.test(text)) return err("CANON_PORT");
  const port = Number(text);
  return port <= 0xffff ? ok(port) : err("CANON_PORT");
}

/** Dotted IPv4 when the host is an IPv4 address in any spelling, undefined for names and real IPv6 addresses. */
function parseHost(host: string): Result<string | undefined, CanonicalErrorCode> {
  if (host.startsWith("[") || host.includes(":")) return parseIpv6(host.replace(/^\[|\]$/g, ""));
  // By hand: a pattern for trailing dots restarts at every dot, and a host may hold tens of thousands of them.
  let end = host.length;
  while (end > 0 && host.charCodeAt(end - 1) === 0x2e) end--;
  const name = host.slice(0, end);
  if (name === "") return err("CANON_HOST");
  if (/^[0-9A-Fa-fxX.]+$/.test(name)) return parseIpv4(name);
  return /^[A-Za-z0-9.-]+$/.test(name) ? ok(undefined) : err("CANON_HOST");
}

/** One to four parts, each decimal, `0x` hex or leading-zero octal; the last part fills the remaining bytes. */
function parseIpv4(text: string): Result<string, CanonicalErrorCode> {
  const parts = text.split(".");
  if (parts.length > 4) return err("CANON_HOST");
  const values = parts.map(parseIpv4Part);
  let address = 0;
  for (const [index, value] of values.entries()) {
    const last = index === values.length - 1;
    const limit = last ? 2 ** (8 * (4 - index)) : 256;
    if (value === undefined || value >= limit) return err("CANON_HOST");
    address += last ? value : value * 2 ** (8 * (3 - index));
  }
  return ok([24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join("."));
}

function parseIpv4Part(part: string): number | undefined {
  if (/^0[xX][0-9A-Fa-f]{1,8}$/.test(part)) return Number.parseInt(part.slice(2), 16);
  if (/^0[0-7]{0,11}$/.test(part)) return Number.parseInt(part, 8);
  return /^[1-9][0-9]{0,9}$/.test(part) ? Number(part) : undefined;
}

/** Only IPv4-mapped addresses name an endpoint; any other valid IPv6 address is another host. */
function parseIpv6(text: string): Result<string | undefined, CanonicalErrorCode> {
  const groups = expandIpv6(text);
  if (groups === undefined) return err("CANON_HOST");
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (!mapped) return ok(undefined);
  const [high = 0, low = 0] = groups.slice(6);
  return ok([high >> 8, high & 255, low >> 8, low & 255].join("."));
}

/** The eight 16-bit groups, or undefined when the text is not an IPv6 address. */
function expandIpv6(text: string): readonly number[] | undefined {
  let source = text;
  const dotted = /^(.*:)([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$/.exec(text);
  if (dotted !== null) {
    const bytes = dotted.slice(2).map(Number);
    if (bytes.some((byte) => byte > 255)) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = bytes;
    source = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const halves = source.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  if (head === undefined || [...head, ...(tail ?? [])].some((group) => !/^[0-9A-Fa-f]{1,4}$/.test(group))) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...Array<string>(missing).fill("0"), ...(tail ?? [])].map((group) => Number.parseInt(group, 16));
}
