// Runs a validated component without any generated code: its core modules are instantiated as its plan says, and its three functions
// are called through our own glue. Names in plans are data. No exception leaves this file: any failure is a ComponentFault.

import type { ModuleBudgets } from "../../core/modules/module-entry.ts";
import type { PolicyAnswer, PolicyQuestion } from "../../core/modules/policy-question.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { liftOutcome, liftSettled, lowerQuestion } from "../../core/wasm/canonical-abi.ts";
import type { ComponentPlan, CoreItem, LiftedFunction, PreparedComponent } from "../../core/wasm/component-plan.ts";
import { GuestFault, GuestMemory, type Realloc } from "../../core/wasm/guest-memory.ts";

export interface ComponentFault {
  readonly kind: /** The plan does not fit the modules, or a module cannot be compiled: it was never checked, or changed since. */
    | "unusable"
    /** Instantiation failed: a start function or a segment trapped, or there is no room. */
    | "cannot-start"
    | "out-of-fuel"
    | "over-memory"
    /** Any other trap, stack overflow included. */
    | "trapped"
    /** A pointer, length, case or text that cannot be, or an answer beyond the world's limits. */
    | "nonsense";
  /** One line for people. */
  readonly message: string;
}

export interface CompiledComponent {
  readonly plan: ComponentPlan;
  readonly modules: readonly WebAssembly.Module[];
  /** Undefined: not metered. Only for components that we made ourselves. */
  readonly fuelImport: PreparedComponent["fuelImport"] | undefined;
}

/** One started component. After a fault it must be dropped: nothing is known of its state. */
export interface ComponentInstance {
  /** The value is the error that the component answers; undefined: it accepts. */
  validateSettings(settings: Uint8Array): Result<string | undefined, ComponentFault>;
  configure(settings: Uint8Array): Result<string | undefined, ComponentFault>;
  evaluate(question: PolicyQuestion): Result<PolicyAnswer, ComponentFault>;
  /** Units spent by the last call, over all core modules; 0 when not metered. */
  fuelSpent(): number;
  /** Of all linear memories that its functions use. */
  memoryBytes(): number;
}

/** Compiles asynchronously. */
export async function compileComponent(
  prepared: Omit<PreparedComponent, "compilerBytes" | "memories">,
): Promise<Result<CompiledComponent, ComponentFault>> {
  try {
    const modules = await Promise.all(prepared.modules.map((module) => WebAssembly.compile(new Uint8Array(module))));
    return ok({ plan: prepared.plan, modules, fuelImport: prepared.fuelImport });
  } catch (error) {
    return err({ kind: "unusable", message: `cannot compile a core module: ${describe(error)}` });
  }
}

/** Instantiates the core modules in the plan's order; nothing but start functions runs yet. */
export function startComponent(component: CompiledComponent, budgets: ModuleBudgets): Result<ComponentInstance, ComponentFault> {
  const { fuelImport } = component;
  const fuel = fuelImport === undefined ? undefined : new WebAssembly.Global({ value: "i64", mutable: true }, BigInt(budgets.fuel));
  try {
    return ok(new RunningComponent(component, budgets, fuel));
  } catch (error) {
    if (fuel !== undefined && fuel.value < 0n)
      return err({ kind: "out-of-fuel", message: `its start uses up the budget of ${budgets.fuel} units of fuel` });
    const unusable = error instanceof UnusablePlan || error instanceof WebAssembly.LinkError;
    return err({ kind: unusable ? "unusable" : "cannot-start", message: describe(error) });
  }
}

class UnusablePlan extends Error {}

type Exports = WebAssembly.Instance["exports"];
type ExportValue = Exports[string];
type CoreFunction = (...parameters: readonly number[]) => unknown;

class RunningComponent implements ComponentInstance {
  readonly #validateSettings: GuestFunction;
  readonly #configure: GuestFunction;
  readonly #evaluate: GuestFunction;
  readonly #meter: Meter;
  readonly #maxReasonBytes: number;

  constructor({ plan, modules, fuelImport }: CompiledComponent, budgets: ModuleBudgets, fuel: WebAssembly.Global<"i64"> | undefined) {
    const own =
      fuelImport === undefined || fuel === undefined ? undefined : { name: fuelImport.module, exports: nameless(fuelImport.name, fuel) };
    const instances = instantiateAll(plan, modules, own);
    this.#maxReasonBytes = budgets.reasonBytes;
    const memories = new Set<WebAssembly.Memory>();
    const bind = (lifted: LiftedFunction) => new GuestFunction(lifted, instances, memories);
    this.#validateSettings = bind(plan.validateSettings);
    this.#configure = bind(plan.configure);
    this.#evaluate = bind(plan.evaluate);
    this.#meter = new Meter(fuel, [...memories], budgets);
  }

  validateSettings(settings: Uint8Array): Result<string | undefined, ComponentFault> {
    return this.#settle(this.#validateSettings, settings);
  }

  configure(settings: Uint8Array): Result<string | undefined, ComponentFault> {
    return this.#settle(this.#configure, settings);
  }

  #settle(called: GuestFunction, settings: Uint8Array): Result<string | undefined, ComponentFault> {
    try {
      this.#meter.begin();
      const { memory } = called;
      memory.refresh();
      const answer = called.call(memory.writeBytes(settings), settings.length);
      memory.refresh();
      const error = liftSettled(memory, answer);
      called.postReturn?.(answer as number);
      return this.#meter.overrun() ?? ok(error);
    } catch (error) {
      return err(this.#meter.explain(error));
    }
  }

  evaluate(question: PolicyQuestion): Result<PolicyAnswer, ComponentFault> {
    try {
      this.#meter.begin();
      const { memory, call, postReturn } = this.#evaluate;
      memory.refresh();
      const answer = call(lowerQuestion(memory, question));
      memory.refresh();
      const outcome = liftOutcome(memory, answer, this.#maxReasonBytes);
      postReturn?.(answer as number);
      return this.#meter.overrun() ?? ok(outcome);
    } catch (error) {
      return err(this.#meter.explain(error));
    }
  }

  fuelSpent(): number {
    return this.#meter.spent();
  }

  memoryBytes(): number {
    return this.#meter.memoryBytes();
  }
}

/** A core function with the memory that its arguments and results lie in. */
class GuestFunction {
  readonly call: CoreFunction;
  readonly postReturn: CoreFunction | undefined;
  readonly memory: GuestMemory;

  constructor(lifted: LiftedFunction, instances: readonly Exports[], memories: Set<WebAssembly.Memory>) {
    this.call = findFunction(instances, lifted.function);
    this.postReturn = lifted.postReturn === undefined ? undefined : findFunction(instances, lifted.postReturn);
    const memory = findMemory(instances, lifted.memory);
    this.memory = new GuestMemory(memory, findFunction(instances, lifted.realloc) as Realloc, lifted.encoding);
    memories.add(memory);
  }
}

/** The budget of one call: fuel is set before it, fuel and memory are checked after it. */
class Meter {
  /** One counter for all core modules; undefined: not metered. */
  readonly #fuel: WebAssembly.Global<"i64"> | undefined;
  readonly #memories: readonly WebAssembly.Memory[];
  readonly #budgets: ModuleBudgets;
  readonly #full: bigint;

  constructor(fuel: WebAssembly.Global<"i64"> | undefined, memories: readonly WebAssembly.Memory[], budgets: ModuleBudgets) {
    this.#fuel = fuel;
    this.#memories = memories;
    this.#budgets = budgets;
    this.#full = BigInt(budgets.fuel);
  }

  begin(): void {
    if (this.#fuel !== undefined) this.#fuel.value = this.#full;
  }

  spent(): number {
    return this.#fuel === undefined ? 0 : Number(this.#full - this.#fuel.value);
  }

  memoryBytes(): number {
    return this.#memories.reduce((bytes, { buffer }) => bytes + buffer.byteLength, 0);
  }

  /** Memory grows only in the guest's grow instruction, so checking after the call is early enough. */
  overrun(): { readonly ok: false; readonly error: ComponentFault } | undefined {
    return this.#overMemory() ? err(this.#tooLarge()) : undefined;
  }

  explain(error: unknown): ComponentFault {
    if (this.#fuel !== undefined && this.#fuel.value < 0n)
      return { kind: "out-of-fuel", message: `its budget of ${this.#budgets.fuel} units of fuel is used up` };
    if (this.#overMemory()) return this.#tooLarge();
    if (error instanceof GuestFault) return { kind: "nonsense", message: error.message };
    const full = this.#memories.some(({ buffer }) => buffer.byteLength === this.#budgets.memoryBytes) ? "; its memory is at the limit" : "";
    return { kind: "trapped", message: `${describe(error)}${full}` };
  }

  #overMemory(): boolean {
    const { memoryBytes } = this.#budgets;
    for (const { buffer } of this.#memories) if (buffer.byteLength > memoryBytes) return true;
    return false;
  }

  #tooLarge(): ComponentFault {
    return { kind: "over-memory", message: `its memory holds ${this.memoryBytes()} bytes, want at most ${this.#budgets.memoryBytes}` };
  }
}

/** @param own - an import module of the agent's that every core module may import; no instance of the plan has its name */
function instantiateAll(
  plan: ComponentPlan,
  modules: readonly WebAssembly.Module[],
  own: { readonly name: string; readonly exports: Exports } | undefined,
): readonly Exports[] {
  const instances: Exports[] = [];
  for (const instance of plan.instances) {
    if (instance.kind === "bundle") {
      const bundle: Exports = Object.create(null);
      for (const { name, item } of instance.exports) bundle[name] = findItem(instances, item);
      instances.push(bundle);
      continue;
    }
    const module = modules[instance.module];
    if (module === undefined) throw new UnusablePlan(`the plan names core module ${instance.module} of ${modules.length}`);
    const imports: Record<string, Exports> = Object.create(null);
    for (const { name, instance: from } of instance.imports) imports[name] = exportsOf(instances, from);
    if (own !== undefined) imports[own.name] = own.exports;
    instances.push(new WebAssembly.Instance(module, imports).exports);
  }
  return instances;
}

function nameless(name: string, value: ExportValue): Exports {
  const exports: Exports = Object.create(null);
  exports[name] = value;
  return exports;
}

function exportsOf(instances: readonly Exports[], index: number): Exports {
  const found = instances[index];
  if (found === undefined) throw new UnusablePlan(`the plan names core instance ${index} before it is made`);
  return found;
}

function findItem(instances: readonly Exports[], { instance, name, sort }: CoreItem): ExportValue {
  const exports = exportsOf(instances, instance);
  // The exports of an instance, and our bundles, have no prototype: a name such as "constructor" finds nothing that is not there.
  const found = exports[name];
  if (found === undefined || sortOf(found) !== sort)
    throw new UnusablePlan(`core instance ${instance} has no ${sort} ${JSON.stringify(name)}`);
  return found;
}

function sortOf(value: ExportValue): CoreItem["sort"] | undefined {
  if (typeof value === "function") return "func";
  if (value instanceof WebAssembly.Memory) return "memory";
  if (value instanceof WebAssembly.Table) return "table";
  return value instanceof WebAssembly.Global ? "global" : undefined;
}

function findFunction(instances: readonly Exports[], item: CoreItem): CoreFunction {
  const found = findItem(instances, item);
  if (typeof found !== "function") throw new UnusablePlan(`core instance ${item.instance}: ${JSON.stringify(item.name)} is no function`);
  return found as CoreFunction;
}

function findMemory(instances: readonly Exports[], item: CoreItem): WebAssembly.Memory {
  const found = findItem(instances, item);
  if (!(found instanceof WebAssembly.Memory))
    throw new UnusablePlan(`core instance ${item.instance}: ${JSON.stringify(item.name)} is no memory`);
  return found;
}

/** Trap messages end with a piece of our own program, which does not help the reader. */
function describe(error: unknown): string {
  return describeError(error).replace(/ \(evaluating '[^\n]*'\)$/, "");
}
