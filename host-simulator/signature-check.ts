// The host's side of an endorsement: builds the signed text from the bytes that arrived and checks the HMAC over it.
// Written from the protocol alone. It must never share code with the agent, or one mistake would hide in both.

import { timingSafeEqual } from "node:crypto";
import type { InvalidReason } from "./host-model.ts";
import type { ReceivedHead } from "./request-head.ts";

export const AUTHORIZATION_HEADER = "x-ms-azure-host-authorization";
export const CLAIMS_HEADER = "x-ms-azure-host-claims";
export const DATE_HEADER = "x-ms-azure-host-date";
export const AUTHORIZATION_SCHEME = "Azure-HMAC-SHA256";

/** The parts of a request head that a signature covers. */
export type SignedHead = Pick<ReceivedHead, "method" | "target" | "names" | "values">;

export type Authorization =
  | { readonly kind: "absent" }
  | { readonly kind: "present"; readonly keyGuid: string; readonly signature: Buffer }
  | { readonly kind: "unusable"; readonly reason: InvalidReason };

/** Reads the one `x-ms-azure-host-authorization` a signed request carries: scheme, key guid, 64 lower-case hex digits. */
export function readAuthorization(head: SignedHead): Authorization {
  const at = head.names.indexOf(AUTHORIZATION_HEADER);
  if (at < 0) return { kind: "absent" };
  if (head.names.indexOf(AUTHORIZATION_HEADER, at + 1) >= 0) return { kind: "unusable", reason: "authorization-repeated" };
  const parts = (head.values[at] ?? "").split(" ");
  const [scheme, keyGuid, signatureHex] = parts;
  if (scheme !== AUTHORIZATION_SCHEME) return { kind: "unusable", reason: "scheme-unknown" };
  if (parts.length !== 3 || !keyGuid || signatureHex === undefined || !/^[0-9a-f]{64}$/.test(signatureHex)) {
    return { kind: "unusable", reason: "authorization-malformed" };
  }
  return { kind: "present", keyGuid, signature: Buffer.from(signatureHex, "hex") };
}

/** An HMAC that follows the body as it streams by, so that no body has to be kept. */
export class RunningSignature {
  readonly #hmac: Bun.CryptoHasher;
  readonly #head: SignedHead;

  /** @param key - the raw key, 32 bytes */
  constructor(key: Uint8Array, head: SignedHead) {
    this.#head = head;
    this.#hmac = new Bun.CryptoHasher("sha256", key);
    this.#hmac.update(`${head.method}\n`, "latin1");
  }

  addBody(piece: Uint8Array): void {
    this.#hmac.update(piece);
  }

  /** Ends the text and compares in constant time. Call once. */
  matches(signature: Uint8Array): boolean {
    this.#hmac.update(signedTextAfterBody(this.#head), "latin1");
    return signature.length === 32 && timingSafeEqual(this.#hmac.digest(), signature);
  }
}

/** Everything that is signed after the body's last byte: LF, headers, path, LF, parameters. latin1. */
export function signedTextAfterBody(head: SignedHead): string {
  const { path, query } = splitTarget(head.target);
  return `\n${signedHeaders(head)}${path}\n${signedParameters(query)}`;
}

/** True when the target holds only bytes that the signing rules speak about. */
export function isSignableTarget(target: string): boolean {
  return /^[\x21-\x7e]*$/.test(target);
}

function signedHeaders(head: SignedHead): string {
  const { names, values } = head;
  // Positions in ascending order of name; of a repeated name only the position that came last.
  const order: number[] = [];
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    if (name === AUTHORIZATION_HEADER) continue;
    let slot = order.length;
    while (slot > 0 && (names[order[slot - 1] ?? 0] ?? "") > name) slot--;
    if (slot > 0 && names[order[slot - 1] ?? 0] === name) order[slot - 1] = i;
    else order.splice(slot, 0, i);
  }
  let text = "";
  for (const i of order) text += `${names[i]}:${values[i]}\n`;
  return text;
}

/** Path and raw query of a target; of an absolute form only what follows the authority. A fragment is cut off. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  let rest = target;
  const fragment = rest.indexOf("#");
  if (fragment >= 0) rest = rest.slice(0, fragment);
  if (!rest.startsWith("/")) {
    const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?]*/.exec(rest);
    if (scheme !== null) {
      rest = rest.slice(scheme[0].length);
      if (!rest.startsWith("/")) rest = `/${rest}`;
    }
  }
  const mark = rest.indexOf("?");
  return mark < 0 ? { path: rest, query: "" } : { path: rest.slice(0, mark), query: rest.slice(mark + 1) };
}

function signedParameters(query: string): string {
  if (query === "") return "";
  if (!query.includes("&")) {
    const equals = query.indexOf("=");
    if (equals === 0) return "";
    if (equals < 0) return query.toLowerCase();
    const name = query.slice(0, equals).toLowerCase();
    return equals === query.length - 1 ? name : name + query.slice(equals);
  }
  // Keyed by name and value glued together, as the protocol has it: pairs with the same glue replace one another.
  const byGlue = new Map<string, string>();
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    const name = (equals < 0 ? part : part.slice(0, equals)).toLowerCase();
    if (name === "") continue;
    const value = equals < 0 ? "" : part.slice(equals + 1);
    byGlue.set(name + value, value === "" ? name : `${name}=${value}`);
  }
  const glues = [...byGlue.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return glues.map((glue) => byGlue.get(glue)).join("&");
}

let lastDateText = "";
let lastDateMs = Number.NaN;

/**
 * Checks the date a signed request carries, in the strict form `Wed, 23 Apr 2025 12:00:00 GMT`.
 * @param nowMs - the host's clock, milliseconds since 1970
 * @returns the reason to refuse it, or undefined
 */
export function dateProblem(date: string | undefined, nowMs: number, toleranceSeconds: number): InvalidReason | undefined {
  if (date === undefined) return "date-missing";
  if (date !== lastDateText) {
    const ms = Date.parse(date);
    // Date.parse takes many forms; only the strict one survives the way back.
    lastDateMs = !Number.isNaN(ms) && new Date(ms).toUTCString() === date ? ms : Number.NaN;
    lastDateText = date;
  }
  if (Number.isNaN(lastDateMs)) return "date-malformed";
  return Math.abs(nowMs - lastDateMs) <= toleranceSeconds * 1000 ? undefined : "date-out-of-range";
}
