// What one call into a module may use up: defaults, hard limits, and how budgets are read from config, command line and index.
// A budget outside its limits is an error and never cut to fit.

import { isObject } from "../json-text.ts";
import { err, ok, type Result } from "../result.ts";
import type { ModuleBudgets } from "./module-entry.ts";

export const MEMORY_PAGE_BYTES = 64 * 1024;

interface Limits {
  readonly least: number;
  readonly most: number;
  readonly multipleOf: number;
}

/** Nobody gets past these, whatever the config says. The longest reason is the policy world's own limit. */
export const BUDGET_LIMITS: Readonly<Record<keyof ModuleBudgets, Limits>> = {
  fuel: { least: 10_000, most: 1_000_000_000, multipleOf: 1 },
  memoryBytes: { least: MEMORY_PAGE_BYTES, most: 256 * 1024 * 1024, multipleOf: MEMORY_PAGE_BYTES },
  reasonBytes: { least: 1, most: 256, multipleOf: 1 },
};

/**
 * An endless loop is over in two milliseconds, nearly all in a dozen, one that was made to miss every cache in several dozen; a hundred
 * table rules cost less than a hundredth of it.
 */
export const DEFAULT_BUDGETS: ModuleBudgets = { fuel: 10_000_000, memoryBytes: 8 * 1024 * 1024, reasonBytes: 256 };

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
export function parseBudgets(
  json: unknown,
  defaults: ModuleBudgets,
): Result<ModuleBudgets, { readonly member: string; readonly found: unknown; readonly want: string }> {
  if (!isObject(json)) return err({ member: "", found: json, want: `an object with some of ${BUDGET_NAMES.join(", ")}` });
  const unknown = Object.keys(json).find((name) => !BUDGET_NAMES.some((known) => known === name));
  if (unknown !== undefined)
    return err({ member: unknown, found: json[unknown], want: `no other members than ${BUDGET_NAMES.join(", ")}` });
  const budgets = { ...defaults };
  for (const name of BUDGET_NAMES) {
    if (!Object.hasOwn(json, name)) continue;
    const value = json[name];
    if (!isBudget(name, value)) return err({ member: name, found: value, want: wantedBudget(name) });
    budgets[name] = value;
  }
  return ok(budgets);
}
