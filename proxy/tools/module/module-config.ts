// What the module commands take from the agent's config: where modules and trusted keys are, what is wanted of signatures, and the
// budgets of modules that are given none.

import { defaultModuleFolder } from "../../adapters/storage/module-store.ts";
import type { Config } from "../../core/config.ts";
import { type ChosenBudgets, DEFAULT_BUDGETS } from "../../core/modules/module-budgets.ts";
import { ok } from "../../core/result.ts";
import { readConfig, readOptionalConfig } from "../config-file.ts";
import type { Tool } from "../output.ts";

export interface ModuleConfig {
  readonly folder: string;
  readonly statusFolder: string;
  readonly trustedKeysFolder: string;
  readonly requireSigned: boolean;
  readonly budgets: ChosenBudgets;
}

/** @param named - the value of --config */
export function readModuleConfig(named: string | undefined): Tool<ModuleConfig> {
  const loaded = readConfig(named);
  return loaded.ok ? ok(moduleConfigOf(loaded.value.config)) : loaded;
}

/** For commands that work on a file alone: where there is no config, the built-in budgets are the ones. */
export function readDefaultBudgets(named: string | undefined): Tool<ChosenBudgets> {
  const loaded = readOptionalConfig(named);
  if (!loaded.ok) return loaded;
  return ok(loaded.value === undefined ? DEFAULT_BUDGETS : loaded.value.config.moduleBudgets);
}

function moduleConfigOf(config: Config): ModuleConfig {
  const { moduleFolder, latchKeyFolder, statusFolder, trustedKeysFolder, requireSignedModules, moduleBudgets } = config;
  return {
    folder: moduleFolder ?? defaultModuleFolder(latchKeyFolder),
    statusFolder,
    trustedKeysFolder,
    requireSigned: requireSignedModules,
    budgets: moduleBudgets,
  };
}
