// Limits of one call into a module: defaults, hard limits, and how budgets are read from config, command line and index.
// A budget outside its limits is an error and never adjusted.

import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import type { ModuleBudgets } from "./module-entry.ts";

export const MEMORY_PAGE_BYTES = 64 * 1024;

interface Limits {
  readonly least: number;
  readonly most: number;
  readonly multipleOf: number;
}

/** Upper bounds, whatever the config has. The longest reason is the policy world's own limit. */
export const BUDGET_LIMITS: Readonly<Record<keyof ModuleBudgets, Limits>> = {
  fuel: { least: 10_000, most: 1_000_000_000, multipleOf: 1 },
  memoryBytes: { least: MEMORY_PAGE_BYTES, most: 256 * 1024 * 1024, multipleOf: MEMORY_PAGE_BYTES },
  reasonBytes: { least: 1, most: 256, multipleOf: 1 },
};

/** Budgets before the component is read: a fuel budget that was not set depends on its kind. */
export interface ChosenBudgets extends Omit<ModuleBudgets, "fuel"> {
  readonly fuel: number | undefined;
}

export const DEFAULT_BUDGETS: ChosenBudgets = { fuel: undefined, memoryBytes: 8 * 1024 * 1024, reasonBytes: 256 };

/**
 * A compiled module is one core module: a hundred table rules cost it a hundredth of this, and even a loop that misses every cache is
 * over in a dozen milliseconds. An interpreter with its script is several, and spends a million before it has said anything.
 */
export const DEFAULT_FUEL = { oneCoreModule: 2_000_000, severalCoreModules: 10_000_000 } as const;

/** @param coreModules - how many the component has */
export function budgetsFor(chosen: ChosenBudgets, coreModules: number): ModuleBudgets {
  return { ...chosen, fuel: chosen.fuel ?? (coreModules === 1 ? DEFAULT_FUEL.oneCoreModule : DEFAULT_FUEL.severalCoreModules) };
}

export const BUDGET_NAMES = ["fuel", "memoryBytes", "reasonBytes"] as const satisfies readonly (keyof ModuleBudgets)[];

/** What a budget must be, in words. */
export function wantedBudget(name: keyof ModuleBudgets): string {
  const { least, most, multipleOf } = BUDGET_LIMITS[name];
  return `a whole number from ${least} to ${most}${multipleOf === 1 ? "" : `, a multiple of ${multipleOf}`}`;
}

export function isBudget(name: keyof ModuleBudgets, value: unknown): value is number {
  const { least, most, multipleOf } = BUDGET_LIMITS[name];
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most && value % multipleOf === 0;
}

/**
 * Reads an object with some of the budgets; those that are missing are taken from the defaults.
 * @returns the budgets, or the name of the bad member ("" for the whole) and what is wanted
 */
export function parseBudgets<Budgets extends ChosenBudgets>(
  json: unknown,
  defaults: Budgets,
): Result<Budgets, { readonly member: string; readonly found: unknown; readonly want: string }> {
  if (!isObject(json)) return err({ member: "", found: json, want: `an object with some of ${BUDGET_NAMES.join(", ")}` });
  const unknown = Object.keys(json).find((name) => !BUDGET_NAMES.some((known) => known === name));
  if (unknown !== undefined)
    return err({ member: unknown, found: json[unknown], want: `no other members than ${BUDGET_NAMES.join(", ")}` });
  const given: Partial<Record<keyof ModuleBudgets, number>> = {};
  for (const name of BUDGET_NAMES) {
    if (!Object.hasOwn(json, name)) continue;
    const value = json[name];
    if (!isBudget(name, value)) return err({ member: name, found: value, want: wantedBudget(name) });
    given[name] = value;
  }
  return ok({ ...defaults, ...given });
}
