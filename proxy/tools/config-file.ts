// What the module commands take from the agent's config: where modules and trusted keys are, what is asked of signatures, and the
// budgets of modules that are given none.

import { existsSync, readFileSync } from "node:fs";
import { findConfig } from "../adapters/storage/find-config.ts";
import { defaultModuleFolder } from "../adapters/storage/module-store.ts";
import { parseConfig, renderConfigError } from "../core/config.ts";
import { type ChosenBudgets, DEFAULT_BUDGETS } from "../core/modules/module-budgets.ts";
import { err, ok } from "../core/result.ts";
import { describeError } from "../core/thrown.ts";
import type { Options } from "./options.ts";
import type { Tool } from "./output.ts";

export interface ModuleConfig {
  readonly folder: string;
  readonly statusFolder: string;
  readonly trustedKeysFolder: string;
  readonly requireSigned: boolean;
  readonly budgets: ChosenBudgets;
}

/** Reads the config that `--config` names, or the agent's own. */
export function readModuleConfig(options: Options): Tool<ModuleConfig> {
  const path = options.value("--config") ?? findConfig();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return err({ kind: "config", message: `cannot read config "${path}": ${describeError(error)}` });
  }
  const parsed = parseConfig(text, process.env);
  if (!parsed.ok) return err({ kind: "config", message: renderConfigError(path, parsed.error) });
  const { moduleFolder, latchKeyFolder, statusFolder, trustedKeysFolder, requireSignedModules, moduleBudgets } = parsed.value.config;
  return ok({
    folder: moduleFolder ?? defaultModuleFolder(latchKeyFolder),
    statusFolder,
    trustedKeysFolder,
    requireSigned: requireSignedModules,
    budgets: moduleBudgets,
  });
}

/** For tools that work on a file alone: where there is no config, the built-in budgets are the ones. */
export function readDefaultBudgets(options: Options): Tool<ChosenBudgets> {
  if (options.value("--config") === undefined && !existsSync(findConfig())) return ok(DEFAULT_BUDGETS);
  const config = readModuleConfig(options);
  return config.ok ? ok(config.value.budgets) : config;
}
