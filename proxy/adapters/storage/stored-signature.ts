// The signature kept with an installed module, verified with the keys trusted now. Must never rely on the result from when the module
// was added.

import { MAX_SIGNATURE_FILE_BYTES } from "../../core/modules/minisign.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { checkModuleSignature, type VerifiedSignature } from "../../core/modules/module-signature.ts";
import { err, type Result } from "../../core/result.ts";
import { readModuleObject } from "./module-store.ts";
import { NO_KEYS, readTrustedKeys } from "./trusted-keys.ts";

/** Where an installed module and the keys that may sign it are kept; owner is the user id that all of it must belong to. */
export interface SignatureFiles {
  readonly folder: string;
  readonly owner: number;
  readonly trustedKeysFolder: string;
  readonly requireSigned: boolean;
}

/** The signature of an installed module, with the keys trusted now: its signer, or undefined where no signature is allowed. */
export function checkStoredSignature(
  { folder, owner, trustedKeysFolder, requireSigned }: SignatureFiles,
  { signatureSha256 }: Pick<ModuleEntry, "signatureSha256">,
  component: Uint8Array,
): Result<VerifiedSignature | undefined, string> {
  const file = signatureSha256 === undefined ? undefined : readModuleObject(folder, owner, signatureSha256, MAX_SIGNATURE_FILE_BYTES);
  if (file !== undefined && !file.ok) return err(file.error.message);
  const { keys, troubles } = file === undefined ? NO_KEYS : readTrustedKeys(trustedKeysFolder, owner);
  const checked = checkModuleSignature(component, file?.value, keys, requireSigned);
  // A key that is there and does not count is the likeliest reason.
  return checked.ok ? checked : err([checked.error, ...troubles].join("; "));
}
