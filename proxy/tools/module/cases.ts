// Cases of a module: read from their file, put to the module as the daemon would ask it.

import { dirname, isAbsolute, join } from "node:path";
import { hashOf } from "../../adapters/storage/module-store.ts";
import { ok } from "../../core/result.ts";
import { failed, type Tool } from "../output.ts";
import { name, readJsonFile } from "../policy/input.ts";
import { onlyNamed, readSettings, type UsableModule } from "./input.ts";
import { type ModuleCaseFile, parseModuleCases, type SettingsSource } from "./module-cases.ts";
import { TriedModule, tryModuleSettings } from "./module-trial.ts";
import { type CaseOutcome, judgeCase, judgeSettings, type SettingsOutcome } from "./module-trials.ts";
import type { ModuleTestRun } from "./render-module-tests.ts";

/** What cases are put to. */
export interface CaseTarget extends Pick<UsableModule, "compiled" | "budgets" | "settings"> {
  /** The header fields it is shown; undefined: all that a case names. */
  readonly headers: readonly string[] | undefined;
}

export function readCaseFile(path: string): Tool<ModuleCaseFile> {
  const json = readJsonFile(path);
  if (!json.ok) return failed("noInput", json.error);
  const file = parseModuleCases(json.value.value);
  if (file.ok) return file;
  const { line, column } = json.value.positionOf(file.error.pointer);
  return failed("noInput", `cannot use cases ${name(path)}: line ${line}, column ${column}: ${file.error.message}`);
}

/** Puts every case to the module. Settings count from the case, then from the file of cases, then those of the module. */
export function runModuleCases(target: CaseTarget, file: ModuleCaseFile, path: string): Tool<ModuleTestRun> {
  const { compiled, budgets } = target;
  const tried = new Map<string, TriedModule>();
  const cases: CaseOutcome[] = [];
  for (const each of file.cases) {
    const source = each.settings ?? file.settings;
    const settings = source === undefined ? ok(target.settings) : readCaseSettings(source, path);
    if (!settings.ok) return settings;
    const key = hashOf(settings.value);
    const module = tried.get(key) ?? new TriedModule(compiled, budgets, settings.value);
    tried.set(key, module);
    const headers = onlyNamed(each.question.headers, target.headers);
    cases.push(judgeCase(each, module.ask({ ...each.question, headers })));
  }
  const settings: SettingsOutcome[] = [];
  for (const each of file.settingsCases) {
    const bytes = readCaseSettings(each.settings, path);
    if (!bytes.ok) return bytes;
    settings.push(judgeSettings(each, tryModuleSettings(compiled, budgets, bytes.value)));
  }
  return ok({ path, cases, settings, fuelBudget: budgets.fuel });
}

/** @param beside - the case file, from which paths are named */
export function readCaseSettings(source: SettingsSource, beside: string): Tool<Uint8Array> {
  if (source.kind === "text") return ok(Buffer.from(source.text, "utf8"));
  return readSettings(isAbsolute(source.path) || beside === "-" ? source.path : join(dirname(beside), source.path));
}
