// Runs a module's case file against a component, checked and metered as the agent does it, and collects what is not as wanted.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ComponentInstance, compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { findDifference, parseModuleCases, type SettingsSource } from "../../proxy/tools/module/module-cases.ts";

export interface CaseRun {
  readonly cases: number;
  /** Empty when all is as wanted. */
  readonly failures: readonly string[];
  /** Spent by the dearest decision. */
  readonly mostFuel: number;
}

export const DEFAULT_BUDGETS = { fuel: 10_000_000, memoryBytes: 8 * 1024 * 1024, reasonBytes: 256 };

/** A fresh instance per call of the result, as the agent starts them. */
export async function prepareModule(component: Uint8Array, budgets = DEFAULT_BUDGETS): Promise<() => ComponentInstance> {
  const prepared = prepareComponent(component);
  if (!prepared.ok) throw new Error(`refused: ${prepared.error.message}`);
  const compiled = await compileComponent(prepared.value.prepared);
  if (!compiled.ok) throw new Error(compiled.error.message);
  return () => {
    const started = startComponent(compiled.value, budgets);
    if (!started.ok) throw new Error(`${started.error.kind}: ${started.error.message}`);
    return started.value;
  };
}

export async function runModuleCases(componentPath: string, casesPath: string): Promise<CaseRun> {
  const start = await prepareModule(readFileSync(componentPath));
  const file = parseModuleCases(JSON.parse(readFileSync(casesPath, "utf8")));
  if (!file.ok) throw new Error(`${casesPath}: ${file.error.pointer}: ${file.error.message}`);
  const read = (source: SettingsSource | undefined) => {
    if (source === undefined) return new Uint8Array();
    return source.kind === "text" ? new TextEncoder().encode(source.text) : readFileSync(join(dirname(casesPath), source.path));
  };
  const failures: string[] = [];
  for (const { name, settings, error } of file.value.settingsCases) {
    for (const member of ["validateSettings", "configure"] as const) {
      const answer = start()[member](read(settings));
      const found = answer.ok ? answer.value : `${answer.error.kind}: ${answer.error.message}`;
      const fits = error === undefined ? answer.ok && found === undefined : answer.ok && found?.includes(error) === true;
      if (!fits) failures.push(`${name}: ${member} answers ${found ?? "yes"}, want ${error ?? "yes"}`);
    }
  }
  let mostFuel = 0;
  const instances = new Map<string, ComponentInstance>();
  for (const each of file.value.cases) {
    const settings = read(each.settings ?? file.value.settings);
    const key = Buffer.from(settings).toString("hex");
    const instance = instances.get(key) ?? start();
    if (!instances.has(key)) {
      const configured = instance.configure(settings);
      if (!configured.ok || configured.value !== undefined) throw new Error(`${each.name}: not configured: ${JSON.stringify(configured)}`);
    }
    instances.set(key, instance);
    const answer = instance.evaluate(each.question);
    const difference = answer.ok ? findDifference(each, answer.value) : `${answer.error.kind}: ${answer.error.message}`;
    if (difference !== undefined) failures.push(`${each.name}: ${difference}`);
    mostFuel = Math.max(mostFuel, instance.fuelSpent());
  }
  return { cases: file.value.cases.length + file.value.settingsCases.length, failures, mostFuel };
}
