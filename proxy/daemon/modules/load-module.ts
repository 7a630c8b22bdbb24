// From an entry of the list to a running module: reads what the entry names by hash, verifies the signature with the keys trusted now,
// compiles asynchronously and starts. What was prepared by another version of the agent is prepared again from the component.

import { compileComponent } from "../../adapters/policy/component-instance.ts";
import { startModulePolicy } from "../../adapters/policy/module-policy.ts";
import { currentPrepared } from "../../adapters/policy/prepared-artefact.ts";
import { hashOf, readModuleIndex, readModuleObject } from "../../adapters/storage/module-store.ts";
import { checkStoredSignature } from "../../adapters/storage/stored-signature.ts";
import { NO_KEYS, readTrustedKeys } from "../../adapters/storage/trusted-keys.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { MAX_COMPONENT_BYTES, MAX_PREPARED_BYTES, MAX_SETTINGS_BYTES, renderModuleIndex } from "../../core/modules/module-index.ts";
import { addModuleMemory, memoryOfModule } from "../../core/modules/module-memory.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { PreparedComponent } from "../../core/wasm/component-plan.ts";
import type { LoadModule, ModuleListing } from "./module-chain.ts";

export interface ModuleFiles {
  readonly folder: string;
  readonly trustedKeysFolder: string;
  readonly requireSigned: boolean;
  /** User id that all of it must belong to. */
  readonly owner: number;
  readonly monotonicMs: () => number;
  /** Of this thread. */
  readonly cpuMs: () => number;
}

/** The list as it is on disk; the trusted keys are read only where a signature counts. */
export function readListing(files: ModuleFiles): Result<ModuleListing, string> {
  const entries = readModuleIndex(files.folder, files.owner);
  if (!entries.ok) return err(entries.error.message);
  const keysCount = files.requireSigned || entries.value.some(({ signedBy }) => signedBy !== undefined);
  const { keys } = keysCount && entries.value.length > 0 ? readTrustedKeys(files.trustedKeysFolder, files.owner) : NO_KEYS;
  return ok({
    entries: entries.value,
    sha256: hashOf(Buffer.from(renderModuleIndex(entries.value))),
    dependsOn: keys.map(({ id, bytes }) => `${id}:${Buffer.from(bytes).toString("base64")}`).join(),
  });
}

export function makeLoadModule(files: ModuleFiles): LoadModule {
  return async (entry, failed, taken) => {
    const prepared = readPrepared(files, entry);
    if (!prepared.ok) return prepared;
    const takes = memoryOfModule(prepared.value, entry.budgets);
    const room = addModuleMemory(taken, takes);
    if (!room.ok) return room;
    const settings = readModuleObject(files.folder, files.owner, entry.settingsSha256, MAX_SETTINGS_BYTES);
    if (!settings.ok) return err(settings.error.message);
    const compiled = await compileComponent(prepared.value);
    if (!compiled.ok) return err(compiled.error.message);
    const started = startModulePolicy(entry, compiled.value, settings.value, {
      monotonicMs: files.monotonicMs,
      cpuMs: files.cpuMs,
      failed,
    });
    return started.ok ? ok({ module: started.value, takes }) : started;
  };
}

function readPrepared(files: ModuleFiles, entry: ModuleEntry): Result<PreparedComponent, string> {
  const component = readModuleObject(files.folder, files.owner, entry.componentSha256, MAX_COMPONENT_BYTES);
  if (!component.ok) return err(component.error.message);
  const signature = checkStoredSignature(files, entry, component.value);
  if (!signature.ok) return signature;
  const artefact = readModuleObject(files.folder, files.owner, entry.preparedSha256, MAX_PREPARED_BYTES);
  if (!artefact.ok) return err(artefact.error.message);
  const { memoryBytes } = entry.budgets;
  return currentPrepared(artefact.value, component.value, memoryBytes, memoryBytes);
}
