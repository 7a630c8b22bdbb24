// `azure-proxy-agent module add`: everything that is asked of a component before the daemon may see it, then one change of the list.
// Nothing is written before all of it said yes.

import { encodePrepared } from "../../adapters/policy/prepared-artefact.ts";
import { changeModules, hashOf, readModuleIndex, readModuleObject } from "../../adapters/storage/module-store.ts";
import { readTrustedKeys } from "../../adapters/storage/trusted-keys.ts";
import { MAX_SIGNATURE_FILE_BYTES, parseSignature, signedAtSeconds } from "../../core/modules/minisign.ts";
import { budgetsFor, type ChosenBudgets } from "../../core/modules/module-budgets.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import {
  isModuleHeader,
  isModuleName,
  isSha256,
  MAX_COMPONENT_BYTES,
  MAX_MODULE_HEADERS,
  MAX_PREPARED_BYTES,
  MAX_SETTINGS_BYTES,
  MODULE_NAME_WANTED,
} from "../../core/modules/module-index.ts";
import { memoryOfModule } from "../../core/modules/module-memory.ts";
import { checkModuleSignature, type VerifiedSignature } from "../../core/modules/module-signature.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { count, quote } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { Given, OptionValues } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { printJson, printLines, type Told, tellFailure, tellRefusal, warn } from "../output.ts";
import { name } from "../policy/input.ts";
import { type CaseTarget, readCaseFile, runModuleCases } from "./cases.ts";
import { confirmChange } from "./confirm.ts";
import { checkRoom, compilePrepared, NO_SETTINGS, ownUserId, type Prepared, prepareBytes, readBudgets, readSettings } from "./input.ts";
import { type Place, placeModule } from "./module-changes.ts";
import { type ModuleConfig, readModuleConfig } from "./module-config.ts";
import { tryModuleSettings } from "./module-trial.ts";
import { exitOf } from "./output.ts";
import { readPlace } from "./place.ts";
import { countFailed, renderFailures } from "./render-module-tests.ts";
import { ADD } from "./table.ts";

type AddOptions = OptionValues<typeof ADD.options>;

/** What the command line says about the entry; undefined: it does not. */
interface Wishes {
  readonly name: string;
  readonly endpoints: readonly Endpoint[] | undefined;
  readonly headers: readonly string[] | undefined;
  readonly place: Place;
}

export async function moduleAdd({ options, operands: [path = ""] }: Given<typeof ADD.options>): Promise<number> {
  const wishes = readWishes(options);
  if (!wishes.ok) return refuseUsage(ADD.name, wishes.error);
  const config = readModuleConfig(options.config);
  if (!config.ok) return config.error;
  const before = readBefore(config.value, wishes.value.name);
  if (!before.ok) return before.error;
  const { old } = before.value;
  const chosen = readBudgets<ChosenBudgets>(options, old?.budgets ?? config.value.budgets);
  if (!chosen.ok) return refuseUsage(ADD.name, chosen.error);

  const component = readBoundedFile(path, MAX_COMPONENT_BYTES);
  if (!component.ok) return tellFailure("noInput", `cannot read ${name(path)}: ${component.error}`).error;
  const wantedHash = options.sha256;
  const foundHash = hashOf(component.value);
  if (wantedHash !== undefined && wantedHash !== foundHash)
    return tellRefusal(`cannot add ${name(path)}: it has the hash ${foundHash}, want ${wantedHash}`).error;
  // Before anything of it is read: a stranger's bytes need not be looked at.
  const signed = checkSignature(options, config.value, component.value, path);
  if (!signed.ok) return signed.error;
  const prepared = prepareBytes(component.value, chosen.value, path);
  if (!prepared.ok) return prepared.error;
  const budgets = budgetsFor(chosen.value, prepared.value.prepared.plan.moduleCount);
  const encoded = encodePrepared(prepared.value.prepared);
  if (encoded.length > MAX_PREPARED_BYTES)
    return tellRefusal(`cannot add ${name(path)}: metered it has ${encoded.length} bytes, want at most ${MAX_PREPARED_BYTES}`).error;
  if (!options.disabled && old?.enabled !== false) {
    const room = checkRoom(config.value, before.value.entries, memoryOfModule(prepared.value.prepared, budgets), wishes.value.name);
    if (!room.ok) return room.error;
  }
  const compiled = await compilePrepared(prepared.value.prepared, name(path));
  if (!compiled.ok) return compiled.error;
  const settings = chooseSettings(options, config.value, old);
  if (!settings.ok) return settings.error;
  const tried = tryModuleSettings(compiled.value, budgets, settings.value);
  if (!tried.ok) return tellRefusal(`cannot add ${name(path)}: ${tried.error}`).error;
  const headers = wishes.value.headers ?? old?.headers ?? [];
  const target = { compiled: compiled.value, budgets, settings: settings.value, headers };
  const cases = runCases(options, target);
  if (!cases.ok) return cases.error;

  const entry: ModuleEntry = {
    name: wishes.value.name,
    enabled: options.disabled ? false : (old?.enabled ?? true),
    audit: options.audit || old?.audit === true,
    endpoints: wishes.value.endpoints ?? old?.endpoints ?? ["imds"],
    headers,
    budgets,
    componentSha256: prepared.value.componentSha256,
    preparedSha256: hashOf(encoded),
    settingsSha256: hashOf(settings.value),
    worldVersion: prepared.value.prepared.plan.worldVersion,
    signedBy: signed.value?.verified.keyId,
    signatureSha256: signed.value === undefined ? undefined : hashOf(signed.value.file),
    pinned: options.pin || old?.pinned === true,
  };
  const placing = { place: wishes.value.place, replace: options.replace, giveUpSignature: options.unsigned };
  if (options["dry-run"]) {
    const would = placeModule(before.value.entries, entry, placing);
    if (!would.ok) return tellRefusal(would.error).error;
  } else {
    const objects = [component.value, encoded, settings.value, ...(signed.value === undefined ? [] : [signed.value.file])];
    const changed = changeModules(config.value.folder, ownUserId(), (entries) => {
      // What was taken over from the old entry must still be what is there.
      if (JSON.stringify(entries.find((each) => each.name === entry.name)) !== JSON.stringify(old))
        return err(`cannot add module "${entry.name}": another command changed it meanwhile; try again`);
      const placed = placeModule(entries, entry, placing);
      return placed.ok ? ok({ entries: placed.value, objects }) : placed;
    });
    if (!changed.ok) return exitOf(changed.error);
  }
  tellWarnings(entry, before.value, signed.value?.verified);
  tellDone(options, path, prepared.value, entry, old !== undefined, cases.value);
  return options["dry-run"] ? EXIT.ok : confirmChange(options, config.value);
}

function readWishes(options: AddOptions): Result<Wishes, string> {
  const { name: moduleName, endpoint: endpoints, sha256 } = options;
  if (!isModuleName(moduleName)) return err(`--name wants ${MODULE_NAME_WANTED}, found ${quote(moduleName)}`);
  const headers = options.header.map((text) => text.toLowerCase());
  const bad = headers.find((text) => !isModuleHeader(text));
  if (bad !== undefined) return err(`--header wants the name of a header, found ${quote(bad)}`);
  if (new Set(headers).size !== headers.length || headers.length > MAX_MODULE_HEADERS)
    return err(`--header wants each name once, at most ${MAX_MODULE_HEADERS}`);
  if (sha256 !== undefined && !isSha256(sha256)) return err(`--sha256 wants 64 lower-case hex digits, found ${quote(sha256)}`);
  return ok({ name: moduleName, endpoints, headers: headers.length === 0 ? undefined : headers, place: readPlace(options) });
}

/** What is installed now, before the change. */
interface Before {
  readonly entries: readonly ModuleEntry[];
  /** The module of the same name. */
  readonly old: ModuleEntry | undefined;
  /** When that one was signed, as its signer said. */
  readonly signedAtSeconds: number | undefined;
}

function readBefore(config: ModuleConfig, wanted: string): Told<Before> {
  const entries = readModuleIndex(config.folder, ownUserId());
  if (!entries.ok) return tellFailure("noInput", entries.error.message);
  const old = entries.value.find((each) => each.name === wanted);
  const file =
    old?.signatureSha256 === undefined
      ? undefined
      : readModuleObject(config.folder, ownUserId(), old.signatureSha256, MAX_SIGNATURE_FILE_BYTES);
  const signature = file?.ok ? parseSignature(Buffer.from(file.value).toString("utf8")) : undefined;
  return ok({ entries: entries.value, old, signedAtSeconds: signature?.ok ? signedAtSeconds(signature.value) : undefined });
}

function checkSignature(
  options: AddOptions,
  config: ModuleConfig,
  component: Uint8Array,
  path: string,
): Told<{ readonly file: Uint8Array; readonly verified: VerifiedSignature } | undefined> {
  const signaturePath = options.signature;
  const file = signaturePath === undefined ? undefined : readBoundedFile(signaturePath, MAX_SIGNATURE_FILE_BYTES);
  if (file?.ok === false) return tellFailure("noInput", `cannot read signature ${name(signaturePath ?? "")}: ${file.error}`);
  const { keys, troubles } = readTrustedKeys(config.trustedKeysFolder, ownUserId());
  if (file !== undefined || config.requireSigned) for (const trouble of troubles) warn(trouble);
  const checked = checkModuleSignature(component, file?.value, keys, config.requireSigned);
  if (!checked.ok) return tellRefusal(`cannot add ${name(path)}: ${checked.error}`);
  return ok(file === undefined || checked.value === undefined ? undefined : { file: file.value, verified: checked.value });
}

function chooseSettings(options: AddOptions, config: ModuleConfig, old: ModuleEntry | undefined): Told<Uint8Array> {
  const path = options.settings;
  if (path !== undefined || old === undefined || !options.replace) return readSettings(path);
  const stored = readModuleObject(config.folder, ownUserId(), old.settingsSha256, MAX_SETTINGS_BYTES);
  return stored.ok ? stored : tellFailure("noInput", stored.error.message);
}

/** @returns how many cases hold; undefined: there are none */
function runCases(options: AddOptions, target: CaseTarget): Told<number | undefined> {
  const path = options.cases;
  if (path === undefined) return ok(undefined);
  const file = readCaseFile(path);
  if (!file.ok) return file;
  const run = runModuleCases(target, file.value, path);
  if (!run.ok) return run;
  const all = run.value.cases.length + run.value.settings.length;
  const failed = countFailed(run.value);
  if (failed === 0) return ok(all);
  process.stderr.write(`${renderFailures(run.value).join("\n")}\n`);
  return tellRefusal(`cannot add the module: ${failed} of ${count(all, "case")} do not hold`);
}

/** What takes protection away is said loudly. */
function tellWarnings(entry: ModuleEntry, { old, signedAtSeconds: oldSeconds }: Before, verified: VerifiedSignature | undefined): void {
  if (entry.audit) warn(`module "${entry.name}" is in audit: its denies are recorded and not applied`);
  if (!entry.enabled) warn(`module "${entry.name}" is disabled: it is not asked`);
  if (old?.signedBy !== undefined && verified === undefined)
    warn(`module "${entry.name}" was signed by key ${old.signedBy} and is not signed any more`);
  const seconds = verified === undefined ? undefined : signedAtSeconds(verified.signature);
  if (oldSeconds !== undefined && seconds !== undefined && seconds < oldSeconds)
    warn(`module "${entry.name}" was signed earlier than the one it replaced: an older version?`);
}

function tellDone(
  options: AddOptions,
  path: string,
  { facts, componentSha256 }: Prepared,
  entry: ModuleEntry,
  replaced: boolean,
  cases: number | undefined,
): void {
  const dry = options["dry-run"];
  if (options.json) {
    printJson({ file: path, installed: !dry, replaced, module: entry, cases, facts });
    return;
  }
  const did = dry ? "would be installed" : replaced ? "replaced" : "installed";
  printLines([
    `module "${entry.name}" ${did}`,
    `  sha256     ${componentSha256}`,
    `  signed by  ${entry.signedBy ?? "nobody"}`,
    `  asked at   ${entry.endpoints.join(", ")}${entry.headers.length === 0 ? "" : `, with the headers ${entry.headers.join(", ")}`}`,
    `  settings   ${options.settings === undefined && entry.settingsSha256 === hashOf(NO_SETTINGS) ? "none" : "taken by the module"}`,
    `  cases      ${cases === undefined ? "none were given" : `${count(cases, "case")} hold`}`,
  ]);
}
