// The state in which the host demands endorsements, and the key that is latched for it.

import { err, ok, type Result } from "../result.ts";
import { Secret } from "./secret.ts";

/** A key the host has accepted (attested), or that it says it already latched and that was read from disk. */
export interface LatchedKey {
  /** Lower or upper case as the host gave it; it goes into headers and file names, so its form is checked. */
  readonly guid: string;
  readonly incarnationId: number | undefined;
  /** Time of issue as the host wrote it; kept for the key file only. */
  readonly issued: string;
  readonly secret: Secret;
}

export type SecureChannel =
  | { readonly kind: "unknown" }
  | { readonly kind: "disabled" }
  /** Enabled, but no usable key: nothing that needs an endorsement may leave. */
  | { readonly kind: "unlatched" }
  | { readonly kind: "latched"; readonly key: LatchedKey };

export type KeyError = { readonly kind: "key-not-json" } | { readonly kind: "key-member"; readonly member: string; readonly want: string };

const GUID = /^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/;

/** True for the one form a key guid may have; anything else could leave the key folder or the URL it is put into. */
export function isKeyGuid(text: string): boolean {
  return GUID.test(text);
}

/** Reads a key as the host answers it and as the key file holds it. Errors name the member and never quote what was found. */
export function parseKey(text: string): Result<LatchedKey, KeyError> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return err({ kind: "key-not-json" });
  }
  if (typeof json !== "object" || json === null) return err({ kind: "key-not-json" });
  const { authorizationScheme, guid, issued, key, incarnationId } = json as Readonly<Record<string, unknown>>;
  if (authorizationScheme !== "Azure-HMAC-SHA256")
    return err({ kind: "key-member", member: "authorizationScheme", want: "Azure-HMAC-SHA256" });
  if (typeof guid !== "string" || !isKeyGuid(guid)) return err({ kind: "key-member", member: "guid", want: "a GUID" });
  if (typeof key !== "string" || !/^[0-9A-Fa-f]{64}$/.test(key))
    return err({ kind: "key-member", member: "key", want: "64 hex digits (256 bits)" });
  const incarnation = incarnationId ?? undefined;
  if (incarnation !== undefined && !(Number.isInteger(incarnation) && Number(incarnation) >= 0 && Number(incarnation) <= 0xffffffff)) {
    return err({ kind: "key-member", member: "incarnationId", want: "a number from 0 to 4294967295" });
  }
  return ok({
    guid,
    incarnationId: incarnation === undefined ? undefined : Number(incarnation),
    issued: typeof issued === "string" ? issued : "",
    secret: new Secret(Buffer.from(key, "hex")),
  });
}

/** The key file's content: the same members as the host's answer, so that either agent can take the other's file. */
export function renderKeyFile(key: LatchedKey): string {
  const { guid, issued, incarnationId } = key;
  const hex = Buffer.from(key.secret.reveal()).toString("hex").toUpperCase();
  return `${JSON.stringify({ authorizationScheme: "Azure-HMAC-SHA256", incarnationId, guid, issued, key: hex }, null, 2)}\n`;
}

export function renderKeyError(error: KeyError): string {
  return error.kind === "key-not-json" ? "key is not a JSON object" : `key member "${error.member}" is not ${error.want}`;
}
