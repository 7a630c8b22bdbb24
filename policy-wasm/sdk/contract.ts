// Watches over the policy contract: every item says what it is, and within one major version nothing that exists ever changes.
// The snapshot, wit/contract-MAJOR.json, is the shape that released agents and modules agree on.

import type { WitInterface, WitPackage, WitType } from "./parse-wit.ts";

/** Interfaces by name; in each, every item by name with its exact shape as text. Order of fields and cases is a part of it. */
export interface ContractShape {
  readonly version: string;
  readonly interfaces: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly worlds: Readonly<Record<string, readonly string[]>>;
}

/** Names of all items without a doc comment, such as `types.request.method`. */
export function findUndocumented(wit: WitPackage): readonly string[] {
  const missing: string[] = [];
  const look = (name: string, docs: string) => {
    if (docs.trim() === "") missing.push(name);
  };
  look(wit.name, wit.docs);
  for (const world of wit.worlds) look(world.name, world.docs);
  for (const each of wit.interfaces) {
    look(each.name, each.docs);
    for (const called of each.functions) look(`${each.name}.${called.name}`, called.docs);
    for (const definition of each.definitions) {
      look(`${each.name}.${definition.name}`, definition.docs);
      const parts = definition.kind === "record" ? definition.fields : definition.cases;
      for (const part of parts) look(`${each.name}.${definition.name}.${part.name}`, part.docs);
    }
  }
  return missing;
}

export function shapeOf(wit: WitPackage): ContractShape {
  return {
    version: wit.version,
    interfaces: Object.fromEntries(wit.interfaces.map((each) => [each.name, shapeOfInterface(each)])),
    worlds: Object.fromEntries(wit.worlds.map((world) => [world.name, world.exports])),
  };
}

function shapeOfInterface(each: WitInterface): Readonly<Record<string, string>> {
  const definitions = each.definitions.map((definition) => {
    const parts =
      definition.kind === "record"
        ? definition.fields.map(({ name, type }) => `${name}: ${renderType(type)}`)
        : definition.cases.map(({ name }) => name);
    return [definition.name, `${definition.kind} { ${parts.join(", ")} }`] as const;
  });
  const functions = each.functions.map(({ name, parameters, result }) => {
    const taken = parameters.map((parameter) => `${parameter.name}: ${renderType(parameter.type)}`).join(", ");
    return [name, `func(${taken}) -> ${renderType(result)}`] as const;
  });
  return Object.fromEntries([...definitions, ...functions]);
}

export function renderType(type: WitType): string {
  switch (type.kind) {
    case "primitive":
    case "named":
      return type.name;
    case "list":
    case "option":
      return `${type.kind}<${renderType(type.element)}>`;
    case "tuple":
      return `tuple<${type.elements.map(renderType).join(", ")}>`;
    case "result":
      return `result<${[type.ok, type.error].map((side) => (side === undefined ? "_" : renderType(side))).join(", ")}>`;
  }
}

/**
 * What makes `next` break modules or agents that keep to `released`, a line each; empty when nothing does.
 * A new interface is the one thing that a later minor version may bring.
 */
export function findBreaks(released: ContractShape, next: ContractShape): readonly string[] {
  const [oldMajor = 0, oldMinor = 0] = released.version.split(".").map(Number);
  const [major = 0, minor = 0] = next.version.split(".").map(Number);
  if (major > oldMajor) return [];
  if (major < oldMajor || minor < oldMinor) return [`version ${next.version} is before ${released.version}`];
  const breaks: string[] = [];
  for (const [name, items] of Object.entries(released.interfaces)) {
    const found = next.interfaces[name];
    if (found === undefined) {
      breaks.push(`interface ${name} is gone`);
      continue;
    }
    for (const [item, shape] of Object.entries(items)) {
      if (found[item] === undefined) breaks.push(`${name}.${item} is gone`);
      else if (found[item] !== shape) breaks.push(`${name}.${item} was "${shape}", is "${found[item]}"`);
    }
    for (const item of Object.keys(found)) if (items[item] === undefined) breaks.push(`${name}.${item} is new in an interface that exists`);
  }
  for (const [name, exported] of Object.entries(released.worlds)) {
    const found = next.worlds[name] ?? [];
    if (exported.join() !== found.join()) breaks.push(`world ${name} exported "${exported}", exports "${found}"`);
  }
  if (minor === oldMinor) {
    const added = Object.keys(next.interfaces).filter((name) => released.interfaces[name] === undefined);
    breaks.push(...added.map((name) => `interface ${name} is new without a new minor version`));
  }
  return breaks;
}
