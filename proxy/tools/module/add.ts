// `azure-proxy-agent module add`: everything that is asked of a component before the daemon may see it, then one change of the list.
// Nothing is written before all of it said yes.

import { encodePrepared } from "../../adapters/policy/prepared-artefact.ts";
import { changeModules, type Hashed, hashed, hashOf, readModuleIndex, readModuleObject } from "../../adapters/storage/module-store.ts";
import { readTrustedKeys } from "../../adapters/storage/trusted-keys.ts";
import { MAX_SIGNATURE_FILE_BYTES, parseSignature, signedAtSeconds } from "../../core/modules/minisign.ts";
import { budgetsFor, type ChosenBudgets } from "../../core/modules/module-budgets.ts";
import type { ModuleBudgets, ModuleEntry } from "../../core/modules/module-entry.ts";
import {
  isModuleHeader,
  isModuleName,
  isSha256,
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
import type { PreparedComponent } from "../../core/wasm/component-plan.ts";
import type { ComponentFacts } from "../../core/wasm/describe-component.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { Given, OptionValues } from "../command-line/spec.ts";
import { failed, fromStore, misused, printJson, printLines, refused, type Tool, tell, warn } from "../output.ts";
import { name } from "../policy/input.ts";
import { type CaseTarget, readCaseFile, runModuleCases } from "./cases.ts";
import { confirmChange } from "./confirm.ts";
import { checkRoom, compilePrepared, NO_SETTINGS, ownUserId, prepareBytes, readBudgets, readComponentFile, readSettings } from "./input.ts";
import { type Place, placeModule } from "./module-changes.ts";
import { type ModuleConfig, readModuleConfig } from "./module-config.ts";
import { tryModuleSettings } from "./module-trial.ts";
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
  if (!wishes.ok) return tell(misused(ADD.name, wishes.error).error);
  const config = readModuleConfig(options.config);
  if (!config.ok) return tell(config.error);
  const added = await add(path, options, wishes.value, config.value);
  if (!added.ok) return tell(added.error);
  return options["dry-run"] ? EXIT.ok : confirmChange(options, config.value, added.value);
}

/** @returns the list with the module in it */
async function add(path: string, options: AddOptions, wishes: Wishes, config: ModuleConfig): Promise<Tool<readonly ModuleEntry[]>> {
  const index = readIndex(config, wishes.name);
  if (!index.ok) return index;
  const { old } = index.value;
  const chosen = readBudgets<ChosenBudgets>(options, old?.budgets ?? config.budgets);
  if (!chosen.ok) return misused(ADD.name, chosen.error);
  const read = readCandidate(path, options, config, index.value, chosen.value);
  if (!read.ok) return read;
  const candidate = read.value;
  const { prepared } = candidate;
  const budgets = budgetsFor(chosen.value, prepared.plan.moduleCount);
  if (!options.disabled && old?.enabled !== false) {
    const room = checkRoom(config, index.value.entries, memoryOfModule(prepared, budgets), wishes.name);
    if (!room.ok) return room;
  }
  const compiled = await compilePrepared(prepared, name(path));
  if (!compiled.ok) return compiled;
  const settings = chooseSettings(options, config, old);
  if (!settings.ok) return settings;
  const tried = tryModuleSettings(compiled.value, budgets, settings.value);
  if (!tried.ok) return refused(`cannot add ${name(path)}: ${tried.error}`);
  const headers = wishes.headers ?? old?.headers ?? [];
  const cases = runCases(options, { compiled: compiled.value, budgets, settings: settings.value, headers });
  if (!cases.ok) return cases;
  const install: Install = { candidate, settings: hashed(settings.value), budgets, headers };
  const entry = entryOf(options, wishes, install);
  const listed = list(options, wishes, config, entry, install);
  if (!listed.ok) return listed;
  tellWarnings(entry, candidate);
  tellDone(options, candidate, entry, cases.value);
  return listed;
}

/** A component that may be installed: read once, with everything that was found out about it. */
interface Candidate {
  readonly path: string;
  readonly component: Hashed;
  /** Undefined: unsigned. */
  readonly signature: { readonly file: Hashed; readonly verified: VerifiedSignature } | undefined;
  readonly prepared: PreparedComponent;
  readonly facts: ComponentFacts;
  /** The prepared component as the store keeps it. */
  readonly artefact: Hashed;
  readonly index: Index;
}

/** All that goes into the store. */
interface Install {
  readonly candidate: Candidate;
  readonly settings: Hashed;
  readonly budgets: ModuleBudgets;
  readonly headers: readonly string[];
}

function readCandidate(path: string, options: AddOptions, config: ModuleConfig, index: Index, budgets: ChosenBudgets): Tool<Candidate> {
  const bytes = readComponentFile(path);
  if (!bytes.ok) return bytes;
  const component = hashed(bytes.value);
  const wanted = options.sha256;
  if (wanted !== undefined && wanted !== component.sha256)
    return refused(`cannot add ${name(path)}: it has the hash ${component.sha256}, want ${wanted}`);
  // Before anything of it is read: a stranger's bytes need not be looked at.
  const signature = checkSignature(options, config, component.bytes, path);
  if (!signature.ok) return signature;
  const read = prepareBytes(component.bytes, budgets, path);
  if (!read.ok) return read;
  const encoded = encodePrepared(read.value.prepared);
  if (encoded.length > MAX_PREPARED_BYTES)
    return refused(`cannot add ${name(path)}: metered it has ${encoded.length} bytes, want at most ${MAX_PREPARED_BYTES}`);
  return ok({ path, component, signature: signature.value, ...read.value, artefact: hashed(encoded), index });
}

function entryOf(options: AddOptions, wishes: Wishes, { candidate, settings, budgets, headers }: Install): ModuleEntry {
  const { component, artefact, signature, prepared } = candidate;
  const { old } = candidate.index;
  return {
    name: wishes.name,
    enabled: options.disabled ? false : (old?.enabled ?? true),
    audit: options.audit || old?.audit === true,
    endpoints: wishes.endpoints ?? old?.endpoints ?? ["imds"],
    headers,
    budgets,
    componentSha256: component.sha256,
    preparedSha256: artefact.sha256,
    settingsSha256: settings.sha256,
    worldVersion: prepared.plan.worldVersion,
    signedBy: signature?.verified.keyId,
    signatureSha256: signature?.file.sha256,
    pinned: options.pin || old?.pinned === true,
  };
}

/** Changes the list, or with `--dry-run` only says what it would be. */
function list(
  options: AddOptions,
  wishes: Wishes,
  config: ModuleConfig,
  entry: ModuleEntry,
  { candidate, settings }: Install,
): Tool<readonly ModuleEntry[]> {
  const { component, artefact, signature, index } = candidate;
  const placing = { place: wishes.place, replace: options.replace, giveUpSignature: options.unsigned };
  if (options["dry-run"]) {
    const would = placeModule(index.entries, entry, placing);
    return would.ok ? would : refused(would.error);
  }
  const objects = [component, artefact, settings, ...(signature === undefined ? [] : [signature.file])];
  const changed = changeModules(config.folder, ownUserId(), (entries) => {
    // What was taken over from the old entry must still be what is there.
    if (JSON.stringify(entries.find((each) => each.name === entry.name)) !== JSON.stringify(index.old))
      return err(`cannot add module "${entry.name}": another command changed it meanwhile; try again`);
    const placed = placeModule(entries, entry, placing);
    return placed.ok ? ok({ entries: placed.value, objects }) : placed;
  });
  return changed.ok ? changed : fromStore(changed.error);
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
interface Index {
  readonly entries: readonly ModuleEntry[];
  /** The module of the same name. */
  readonly old: ModuleEntry | undefined;
  /** When that one was signed, as its signer said. */
  readonly signedAtSeconds: number | undefined;
}

function readIndex(config: ModuleConfig, wanted: string): Tool<Index> {
  const entries = readModuleIndex(config.folder, ownUserId());
  if (!entries.ok) return fromStore(entries.error);
  const old = entries.value.find((each) => each.name === wanted);
  const file =
    old?.signatureSha256 === undefined
      ? undefined
      : readModuleObject(config.folder, ownUserId(), old.signatureSha256, MAX_SIGNATURE_FILE_BYTES);
  const signature = file?.ok ? parseSignature(Buffer.from(file.value).toString("utf8")) : undefined;
  return ok({ entries: entries.value, old, signedAtSeconds: signature?.ok ? signedAtSeconds(signature.value) : undefined });
}

function checkSignature(options: AddOptions, config: ModuleConfig, component: Uint8Array, path: string): Tool<Candidate["signature"]> {
  const signaturePath = options.signature;
  const file = signaturePath === undefined ? undefined : readBoundedFile(signaturePath, MAX_SIGNATURE_FILE_BYTES);
  if (file?.ok === false) return failed("noInput", `cannot read signature ${name(signaturePath ?? "")}: ${file.error}`);
  const { keys, troubles } = readTrustedKeys(config.trustedKeysFolder, ownUserId());
  if (file !== undefined || config.requireSigned) for (const trouble of troubles) warn(trouble);
  const checked = checkModuleSignature(component, file?.value, keys, config.requireSigned);
  if (!checked.ok) return refused(`cannot add ${name(path)}: ${checked.error}`);
  return ok(file === undefined || checked.value === undefined ? undefined : { file: hashed(file.value), verified: checked.value });
}

function chooseSettings(options: AddOptions, config: ModuleConfig, old: ModuleEntry | undefined): Tool<Uint8Array> {
  const path = options.settings;
  if (path !== undefined || old === undefined || !options.replace) return readSettings(path);
  const stored = readModuleObject(config.folder, ownUserId(), old.settingsSha256, MAX_SETTINGS_BYTES);
  return stored.ok ? stored : fromStore(stored.error);
}

/** @returns how many cases hold; undefined: there are none */
function runCases(options: AddOptions, target: CaseTarget): Tool<number | undefined> {
  const path = options.cases;
  if (path === undefined) return ok(undefined);
  const file = readCaseFile(path);
  if (!file.ok) return file;
  const run = runModuleCases(target, file.value, path);
  if (!run.ok) return run;
  const all = run.value.cases.length + run.value.settings.length;
  const broken = countFailed(run.value);
  if (broken === 0) return ok(all);
  return refused(`cannot add the module: ${broken} of ${count(all, "case")} do not hold`, renderFailures(run.value));
}

/** What takes protection away is said loudly. */
function tellWarnings(entry: ModuleEntry, { index, signature }: Candidate): void {
  const { old, signedAtSeconds: oldSeconds } = index;
  const verified = signature?.verified;
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
  { path, facts, component, index: { old } }: Candidate,
  entry: ModuleEntry,
  cases: number | undefined,
): void {
  const replaced = old !== undefined;
  const dry = options["dry-run"];
  if (options.json) {
    printJson({ file: path, installed: !dry, replaced, module: entry, cases, facts });
    return;
  }
  const did = dry ? "would be installed" : replaced ? "replaced" : "installed";
  printLines([
    `module "${entry.name}" ${did}`,
    `  sha256     ${component.sha256}`,
    `  signed by  ${entry.signedBy ?? "nobody"}`,
    `  asked at   ${entry.endpoints.join(", ")}${entry.headers.length === 0 ? "" : `, with the headers ${entry.headers.join(", ")}`}`,
    `  settings   ${options.settings === undefined && entry.settingsSha256 === hashOf(NO_SETTINGS) ? "none" : "taken by the module"}`,
    `  cases      ${cases === undefined ? "none were given" : `${count(cases, "case")} hold`}`,
  ]);
}
