// What the module commands work on: a component in a file or an installed module, checked and metered, with its settings. An operand
// with a dot or a slash in it is a file, any other the name of an installed module.

import { dirname, join } from "node:path";
import { type CompiledComponent, compileComponent } from "../../adapters/policy/component-instance.ts";
import { currentPrepared } from "../../adapters/policy/prepared-artefact.ts";
import { hashOf, readModuleIndex, readModuleObject } from "../../adapters/storage/module-store.ts";
import {
  type BUDGET_NAMES,
  budgetsFor,
  type ChosenBudgets,
  isBudget,
  MEMORY_PAGE_BYTES,
  wantedBudget,
} from "../../core/modules/module-budgets.ts";
import type { ModuleBudgets, ModuleEntry } from "../../core/modules/module-entry.ts";
import { MAX_COMPONENT_BYTES, MAX_PREPARED_BYTES, MAX_SETTINGS_BYTES } from "../../core/modules/module-index.ts";
import { addModuleMemory, type ModuleMemory, memoryOfModule, NO_MODULE_MEMORY } from "../../core/modules/module-memory.ts";
import type { SeenHeader } from "../../core/modules/policy-question.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { PreparedComponent } from "../../core/wasm/component-plan.ts";
import { DEFAULT_PREPARATION_LIMITS } from "../../core/wasm/core-limits.ts";
import { type Preparation, prepareComponent } from "../../core/wasm/prepare-component.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { OptionValues } from "../command-line/spec.ts";
import { failed, fromStore, misused, refused, type Tool } from "../output.ts";
import { name } from "../policy/input.ts";
import { findModule } from "./module-changes.ts";
import { type ModuleConfig, readDefaultBudgets, readModuleConfig } from "./module-config.ts";
import type { BUDGET_OPTIONS, USABLE_OPTIONS } from "./table.ts";

export const NO_SETTINGS = new Uint8Array(0);

/** Which budget an option overrides. */
const BUDGET_OF = { fuel: "fuel", memory: "memoryBytes", reason: "reasonBytes" } as const satisfies Record<
  keyof typeof BUDGET_OPTIONS,
  (typeof BUDGET_NAMES)[number]
>;

type BudgetOptions = OptionValues<typeof BUDGET_OPTIONS>;
export type UsableOptions = OptionValues<typeof USABLE_OPTIONS>;

/** A component file, checked and metered. */
export interface PreparedFile extends Preparation {
  readonly componentSha256: string;
}

/** A module that can be asked. */
export interface UsableModule {
  readonly label: string;
  readonly componentSha256: string;
  readonly compiled: CompiledComponent;
  readonly budgets: ModuleBudgets;
  readonly settings: Uint8Array;
  /** Undefined: not installed. */
  readonly entry: ModuleEntry | undefined;
}

export function isModuleFile(operand: string): boolean {
  return operand === "-" || /[./]/.test(operand);
}

/** `--fuel`, `--memory` in KiB or MiB or bytes, `--reason`. */
export function readBudgets<Budgets extends ChosenBudgets>(options: BudgetOptions, defaults: Budgets): Result<Budgets, string> {
  const given: Partial<Record<keyof ModuleBudgets, number>> = {};
  for (const option of ["fuel", "memory", "reason"] as const) {
    const budget = BUDGET_OF[option];
    const text = options[option];
    if (text === undefined) continue;
    const match = /^([0-9]{1,10})(k|m)?$/i.exec(text);
    const unit = match?.[2]?.toLowerCase();
    const value = Number(match?.[1]) * (unit === "m" ? 1024 * 1024 : unit === "k" ? 1024 : 1);
    if (match === null || (unit !== undefined && budget !== "memoryBytes") || !isBudget(budget, value))
      return err(`--${option} wants ${wantedBudget(budget)}${budget === "memoryBytes" ? ', such as "8m"' : ""}, found ${quote(text)}`);
    given[budget] = value;
  }
  return ok({ ...defaults, ...given });
}

/** Checks and meters a component file. */
export function prepareFile(path: string, budgets: Pick<ModuleBudgets, "memoryBytes">): Tool<PreparedFile> {
  const component = readComponentFile(path);
  if (!component.ok) return component;
  const done = prepareBytes(component.value, budgets, path);
  return done.ok ? ok({ componentSha256: hashOf(component.value), ...done.value }) : done;
}

export function readComponentFile(path: string): Tool<Uint8Array> {
  const component = readBoundedFile(path, MAX_COMPONENT_BYTES);
  return component.ok ? component : failed("noInput", `cannot read ${name(path)}: ${component.error}`);
}

export function prepareBytes(component: Uint8Array, { memoryBytes }: Pick<ModuleBudgets, "memoryBytes">, path: string): Tool<Preparation> {
  const done = prepareComponent(component, { ...DEFAULT_PREPARATION_LIMITS, memoryPages: memoryBytes / MEMORY_PAGE_BYTES });
  return done.ok ? done : refused(`${name(path)}: ${done.error.message}`);
}

export async function compilePrepared(prepared: PreparedComponent, label: string): Promise<Tool<CompiledComponent>> {
  const compiled = await compileComponent(prepared);
  return compiled.ok ? compiled : refused(`${label}: ${compiled.error.message}`);
}

export function readSettings(path: string | undefined): Tool<Uint8Array> {
  if (path === undefined) return ok(NO_SETTINGS);
  const bytes = readBoundedFile(path, MAX_SETTINGS_BYTES);
  return bytes.ok ? bytes : failed("noInput", `cannot read settings ${name(path)}: ${bytes.error}`);
}

/**
 * A component file or an installed module, with `--settings`, `--fuel` and so on in place of its own.
 * @param command - its words, for messages
 */
export async function readUsableModule(command: string, operand: string, options: UsableOptions): Promise<Tool<UsableModule>> {
  const given = options.settings;
  const settings = given === undefined ? undefined : readSettings(given);
  if (settings?.ok === false) return settings;
  if (isModuleFile(operand)) {
    const defaults = readDefaultBudgets(options.config);
    if (!defaults.ok) return defaults;
    const budgets = readBudgets(options, defaults.value);
    if (!budgets.ok) return misused(command, budgets.error);
    const file = prepareFile(operand, budgets.value);
    if (!file.ok) return file;
    const compiled = await compilePrepared(file.value.prepared, name(operand));
    if (!compiled.ok) return compiled;
    const { componentSha256, prepared } = file.value;
    return ok({
      label: operand,
      componentSha256,
      compiled: compiled.value,
      budgets: budgetsFor(budgets.value, prepared.plan.moduleCount),
      settings: settings?.value ?? NO_SETTINGS,
      entry: undefined,
    });
  }
  const config = readModuleConfig(options.config);
  if (!config.ok) return config;
  const entry = readInstalledEntry(config.value, operand);
  if (!entry.ok) return entry;
  const budgets = readBudgets(options, entry.value.budgets);
  if (!budgets.ok) return misused(command, budgets.error);
  const prepared = readInstalledArtefact(config.value, entry.value, budgets.value);
  if (!prepared.ok) return prepared;
  const compiled = await compilePrepared(prepared.value, `module ${quote(operand)}`);
  if (!compiled.ok) return compiled;
  const stored = settings ?? readStored(config.value, entry.value.settingsSha256, MAX_SETTINGS_BYTES);
  if (!stored.ok) return stored;
  const { componentSha256 } = entry.value;
  return ok({
    label: operand,
    componentSha256,
    compiled: compiled.value,
    budgets: budgets.value,
    settings: stored.value,
    entry: entry.value,
  });
}

export function ownUserId(): number {
  return process.geteuid?.() ?? 0;
}

export function readInstalledEntry({ folder }: ModuleConfig, operand: string): Tool<ModuleEntry> {
  const entries = readModuleIndex(folder, ownUserId());
  if (!entries.ok) return fromStore(entries.error);
  const found = findModule(entries.value, operand);
  return found.ok ? found : refused(found.error);
}

export function readStored({ folder }: ModuleConfig, sha256: string, maxBytes: number): Tool<Uint8Array> {
  const bytes = readModuleObject(folder, ownUserId(), sha256, maxBytes);
  return bytes.ok ? bytes : fromStore(bytes.error);
}

/** The stored artefact; made anew from the component where it must be, or where other memory is wanted. */
export function readInstalledArtefact(config: ModuleConfig, entry: ModuleEntry, budgets: ModuleBudgets): Tool<PreparedComponent> {
  const artefact = readStored(config, entry.preparedSha256, MAX_PREPARED_BYTES);
  if (!artefact.ok) return artefact;
  const component = readStored(config, entry.componentSha256, MAX_COMPONENT_BYTES);
  if (!component.ok) return component;
  const prepared = currentPrepared(artefact.value, component.value, entry.budgets.memoryBytes, budgets.memoryBytes);
  return prepared.ok ? prepared : refused(`module ${quote(entry.name)}: ${prepared.error}`);
}

/** Is there room for a module among those that are enabled, its namesake aside? Else told. */
export function checkRoom(config: ModuleConfig, entries: readonly ModuleEntry[], more: ModuleMemory, moduleName: string): Tool<void> {
  let taken = NO_MODULE_MEMORY;
  for (const entry of entries) {
    if (!entry.enabled || entry.name === moduleName) continue;
    const prepared = readInstalledArtefact(config, entry, entry.budgets);
    if (!prepared.ok) return prepared;
    const { compilerBytes, linearBytes } = memoryOfModule(prepared.value, entry.budgets);
    taken = { compilerBytes: taken.compilerBytes + compilerBytes, linearBytes: taken.linearBytes + linearBytes };
  }
  const room = addModuleMemory(taken, more);
  return room.ok ? ok(undefined) : refused(`cannot add module ${quote(moduleName)}: ${room.error}`);
}

/** The cases beside a component file; undefined for an installed module and standard input. */
export function defaultCasesPath(operand: string): string | undefined {
  return operand === "-" || !isModuleFile(operand) ? undefined : join(dirname(operand), "cases.json");
}

/** An installed module sees only the header fields that its operator named; undefined: no operator did so far. */
export function onlyNamed(headers: readonly SeenHeader[], names: readonly string[] | undefined): readonly SeenHeader[] {
  return names === undefined ? headers : headers.filter((header) => names.includes(header.name));
}
