// Calls a prepared module outside the daemon, with the same code and budgets as inside it: for the checks before it is
// installed, and for its author's tests.

import {
  type CompiledComponent,
  type ComponentFault,
  type ComponentInstance,
  startComponent,
} from "../../adapters/policy/component-instance.ts";
import type { ModuleBudgets } from "../../core/modules/module-entry.ts";
import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { ModuleTrial } from "./module-trials.ts";

/**
 * Would the daemon be able to use the module with these settings?
 * @returns in words why not
 */
export function tryModuleSettings(component: CompiledComponent, budgets: ModuleBudgets, settings: Uint8Array): Result<void, string> {
  for (const step of ["validateSettings", "configure"] as const) {
    // A fresh one each, as in the daemon: what a check left behind must not be needed.
    const started = startComponent(component, budgets);
    if (!started.ok) return err(`it does not start: ${describeFault(started.error)}`);
    const answer = started.value[step](settings);
    const name = step === "configure" ? "configure" : "validate-settings";
    if (!answer.ok) return err(`${name} failed: ${describeFault(answer.error)}`);
    if (answer.value !== undefined) return err(`it refuses its settings: ${answer.value}`);
  }
  return ok(undefined);
}

/** A configured module that evaluates one request after the other; one that failed is restarted. */
export class TriedModule {
  readonly #component: CompiledComponent;
  readonly #budgets: ModuleBudgets;
  readonly #settings: Uint8Array;
  #instance: ComponentInstance | undefined;

  constructor(component: CompiledComponent, budgets: ModuleBudgets, settings: Uint8Array) {
    this.#component = component;
    this.#budgets = budgets;
    this.#settings = settings;
  }

  /** @returns the result, or why the module could not be called at all */
  ask(question: PolicyQuestion): Result<ModuleTrial, string> {
    const started = this.#instance === undefined ? this.#start() : ok(this.#instance);
    if (!started.ok) return started;
    const instance = started.value;
    const answer = instance.evaluate(question);
    // The checkpoint that found it used up had required more than was left.
    const fuel = Math.min(instance.fuelSpent(), this.#budgets.fuel);
    if (answer.ok) return ok({ answer: answer.value, failure: "", fuel });
    this.#instance = undefined;
    return ok({ answer: undefined, failure: describeFault(answer.error), fuel });
  }

  /** Of all its linear memories; 0 when it was not started. */
  memoryBytes(): number {
    return this.#instance?.memoryBytes() ?? 0;
  }

  #start(): Result<ComponentInstance, string> {
    const started = startComponent(this.#component, this.#budgets);
    if (!started.ok) return err(`it does not start: ${describeFault(started.error)}`);
    const configured = started.value.configure(this.#settings);
    if (!configured.ok) return err(`configure failed: ${describeFault(configured.error)}`);
    if (configured.value !== undefined) return err(`it refuses its settings: ${configured.value}`);
    this.#instance = started.value;
    return started;
  }
}

function describeFault({ kind, message }: ComponentFault): string {
  return `${kind}: ${message}`;
}
