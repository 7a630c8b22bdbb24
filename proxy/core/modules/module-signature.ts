// Whether a module's signature, or the lack of one, is acceptable. The same check when a module is installed and at every load,
// with the keys that are trusted at that time.

import { err, ok, type Result } from "../result.ts";
import { decodeText } from "../text/decode-text.ts";
import { type ModuleSignature, parseSignature, type TrustedKey, verifySignature } from "./minisign.ts";

export interface VerifiedSignature {
  readonly keyId: string;
  readonly signature: ModuleSignature;
}

/**
 * @param file - the signature file; undefined: unsigned
 * @param required - unsigned modules are refused
 * @returns who signed; undefined for an unsigned module where that is allowed; or in words why the module must not run. A signature
 * that is there must hold, required or not
 */
export function checkModuleSignature(
  component: Uint8Array,
  file: Uint8Array | undefined,
  trusted: readonly TrustedKey[],
  required: boolean,
): Result<VerifiedSignature | undefined, string> {
  if (file === undefined) return required ? err("it is not signed, and requireSignedModules is set") : ok(undefined);
  const text = decodeText(file);
  if (!text.ok) return err(`its signature file: ${text.error}`);
  const signature = parseSignature(text.value);
  if (!signature.ok) return err(`its signature file: ${signature.error}`);
  const key = verifySignature(signature.value, component, trusted);
  return key.ok ? ok({ keyId: key.value.id, signature: signature.value }) : err(key.error);
}
