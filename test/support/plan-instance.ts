// Puts the core modules of a prepared component together by its plan, for tests: nothing of the daemon's own runtime is used.

import type { CoreItem, PreparedComponent } from "../../proxy/core/wasm/component-plan.ts";

type ExportValue = WebAssembly.Instance["exports"][string];

export interface PlanInstance {
  readonly fuel: WebAssembly.Global<"i64">;
  readonly item: (item: CoreItem) => ExportValue;
  readonly call: (item: CoreItem, ...values: readonly (number | bigint)[]) => unknown;
}

/** @throws what instantiation throws: a trap of a start function, a segment out of bounds */
export function instantiatePlan({ plan, modules, fuelImport }: PreparedComponent, fuel = 100_000_000n): PlanInstance {
  const counter = new WebAssembly.Global({ value: "i64", mutable: true }, fuel);
  const compiled = modules.map((bytes) => new WebAssembly.Module(Uint8Array.from(bytes)));
  const instances: Record<string, ExportValue>[] = [];
  const item = ({ instance, name }: CoreItem): ExportValue => {
    const found = instances[instance]?.[name];
    if (found === undefined) throw new Error(`internal error: no item ${instance} ${name}`);
    return found;
  };
  for (const instance of plan.instances) {
    if (instance.kind === "bundle") {
      instances.push(Object.fromEntries(instance.exports.map((exported) => [exported.name, item(exported.item)])));
      continue;
    }
    const imports: Record<string, Record<string, ExportValue>> = { [fuelImport.module]: { [fuelImport.name]: counter } };
    for (const { name, instance: from } of instance.imports) imports[name] = instances[from] ?? {};
    const module = compiled[instance.module];
    if (module === undefined) throw new Error(`internal error: no module ${instance.module}`);
    instances.push({ ...new WebAssembly.Instance(module, imports).exports });
  }
  const call = (called: CoreItem, ...values: readonly (number | bigint)[]): unknown => {
    const target = item(called);
    if (typeof target !== "function") throw new Error(`internal error: ${called.name} is no function`);
    return target(...values);
  };
  return { fuel: counter, item, call };
}
