// Puts policy modules into a store as the module commands do, from WebAssembly text: for tests of the daemon that runs them.

import { join } from "node:path";
import { componentEmbed, componentNew, parse } from "@bytecodealliance/jco";
import { encodePrepared } from "../../proxy/adapters/policy/prepared-artefact.ts";
import { changeModules, type Hashed, hashed } from "../../proxy/adapters/storage/module-store.ts";
import type { ModuleEntry } from "../../proxy/core/modules/module-entry.ts";
import { ok } from "../../proxy/core/result.ts";
import { DEFAULT_PREPARATION_LIMITS } from "../../proxy/core/wasm/core-limits.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { moduleEntry } from "./module-entry.ts";
import { outcomeWat } from "./wat-policy.ts";

const WIT = join(import.meta.dir, "../../policy-wasm/wit/policy.wit");
const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";

export const ALLOW = 0;
export const DENY = 1;
export const ABSTAIN = 2;

/** Where the arguments of `evaluate` have the caller's user id, and the number of path segments. */
export const USER_ID_AT = 52;
export const SEGMENT_COUNT_AT = 8;

/** Instructions that answer with this kind and the reason "fine". */
export const answerWat = (kind: number) => outcomeWat(kind, [1024, 4]);

/** Another answer when the word of the arguments at this offset is the one in the settings (see $setting). */
export const whenSettingIs = (offset: number, then: string, otherwise: string) =>
  `(if (result i32) (i32.eq (i32.load offset=${offset} (local.get 0)) (global.get $setting)) (then ${then}) (else ${otherwise}))`;

/** A component whose `evaluate` does this; local 0 points to its arguments, $setting has the first four bytes of the settings. */
export async function guestComponent(evaluate: string): Promise<Uint8Array> {
  const core = await parse(`(module (memory (export "memory") 2 16) (data (i32.const 1024) "fine")
    (global $top (mut i32) (i32.const 8192)) (global $setting (mut i32) (i32.const -1))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "${INTERFACE}#validate-settings") (param i32 i32) (result i32) (i32.const 256))
    (func (export "${INTERFACE}#configure") (param i32 i32) (result i32)
      (if (i32.eq (local.get 1) (i32.const 4)) (then (global.set $setting (i32.load (local.get 0))))) (i32.const 256))
    (func (export "${INTERFACE}#evaluate") (param i32) (result i32) ${evaluate})
    (func (export "cabi_post_${INTERFACE}#evaluate") (param i32) (global.set $top (i32.const 8192))))`);
  return componentNew(await componentEmbed({ binary: core, witPath: WIT, world: "policy" }));
}

export interface InstalledModule extends Partial<ModuleEntry> {
  readonly name: string;
  readonly component: Uint8Array;
  readonly settings?: Uint8Array;
}

/** Four bytes of settings, for `whenSettingIs`. */
export function settingOf(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** Makes these the installed modules, in this order. */
export function installModules(folder: string, modules: readonly InstalledModule[], owner = 0): void {
  const objects: Hashed[] = [];
  const entries = modules.map(({ component, settings = new Uint8Array(), ...more }): ModuleEntry => {
    const prepared = prepareComponent(component, DEFAULT_PREPARATION_LIMITS);
    if (!prepared.ok) throw new Error(prepared.error.message);
    const parts = [hashed(component), hashed(encodePrepared(prepared.value.prepared)), hashed(settings)] as const;
    objects.push(...parts);
    return moduleEntry({
      componentSha256: parts[0].sha256,
      preparedSha256: parts[1].sha256,
      settingsSha256: parts[2].sha256,
      ...more,
    });
  });
  const changed = changeModules(folder, owner, () => ok({ entries, objects }));
  if (!changed.ok) throw new Error(changed.error.message);
}
