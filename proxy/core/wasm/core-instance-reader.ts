// Reads core instances: a module with what it imports, or a bundle of what others export.

import type { ByteReader } from "./byte-reader.ts";
import type { CoreEntity, CoreInstanceEntity, Scope } from "./component-entities.ts";
import { LIMITS } from "./core-limits.ts";
import type { CorePlan } from "./core-plan.ts";
import { NameSet, readCoreName } from "./names.ts";
import { hex, refuse } from "./refuse.ts";

const INSTANCE = 0x12;

export function readCoreInstance(section: ByteReader, scope: Scope, plan: CorePlan): void {
  const start = section.position;
  const form = section.byte();
  if (form === 0x00) scope.coreInstances.push(readInstantiation(section, scope, plan, start));
  else if (form === 0x01) scope.coreInstances.push(plan.bundle(readBundle(section, scope), start));
  else refuse("unsupported", start, `found a core instance of form ${hex(form)}, want 0x00 or 0x01`);
}

function readInstantiation(section: ByteReader, scope: Scope, plan: CorePlan, start: number): CoreInstanceEntity {
  const index = section.u32();
  const module = scope.coreModules[index] ?? refuse("malformed", start, `core module ${index} is not there`);
  const names = new NameSet("argument", false);
  const given = new Map<string, CoreInstanceEntity>();
  for (let left = section.count("arguments", LIMITS.coreInstances); left > 0; left--) {
    const at = section.position;
    const name = readCoreName(section);
    names.add(name, at);
    section.expect(INSTANCE, "an argument of a core module is an instance");
    const argument = section.u32();
    given.set(name, scope.coreInstances[argument] ?? refuse("malformed", at, `core instance ${argument} is not there`));
  }
  return plan.instantiate(module, given, start);
}

function readBundle(section: ByteReader, scope: Scope): ReadonlyMap<string, CoreEntity> {
  const names = new NameSet("export", false);
  const exports = new Map<string, CoreEntity>();
  for (let left = section.count("exports", LIMITS.exports); left > 0; left--) {
    const at = section.position;
    const name = readCoreName(section);
    names.add(name, at);
    const sort = section.byte();
    const index = section.u32();
    const space = [scope.coreFunctions, scope.coreTables, scope.coreMemories, scope.coreGlobals][sort];
    exports.set(name, space?.[index] ?? refuse("malformed", at, `${hex(sort)} ${index} of a core instance is not there`));
  }
  return exports;
}
