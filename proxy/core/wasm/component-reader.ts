// Reads a component and every component inside it by carrying out, as values, what it would do when instantiated: each alias,
// instance and argument is followed, so that what comes out is a row of core instances and the functions lifted from them.
//
// A component that imports nothing can call nothing but itself. Where one of its components calls another, as JavaScript engines do with
// stubs of WASI, the call is accepted only if the function called provably traps at once; then it becomes a trapping function (a wall).

import { ByteReader } from "./byte-reader.ts";
import { readCanon } from "./canon-reader.ts";
import { type ComponentTypeEntity, type CoreEntity, type Entity, type InstanceEntity, Scope } from "./component-entities.ts";
import { ComponentTypeReader, checkSound } from "./component-type-reader.ts";
import { TypeTable } from "./component-types.ts";
import { readCoreInstance } from "./core-instance-reader.ts";
import { LIMITS, type PreparationLimits } from "./core-limits.ts";
import { type CustomSection, readCoreModule } from "./core-module.ts";
import { CorePlan } from "./core-plan.ts";
import { NameSet, readCoreName, readCustomName, readExternName } from "./names.ts";
import { hex, quote, refuse } from "./refuse.ts";
import { PREAMBLES } from "./sections.ts";
import { PACKAGE, type WorldTypes, worldTypes } from "./world-types.ts";

const SORT = { core: 0x00, func: 0x01, type: 0x03, component: 0x04, instance: 0x05 } as const;
const TYPES_INTERFACE = new RegExp(`^${PACKAGE}/types@\\d{1,5}\\.\\d{1,5}\\.\\d{1,5}$`);

export interface ReadComponent {
  readonly core: CorePlan;
  readonly exports: ReadonlyMap<string, Entity>;
  /** Where each export of the component is written. */
  readonly exportOffsets: ReadonlyMap<string, number>;
  readonly imports: readonly { readonly name: string; readonly offset: number }[];
  readonly world: WorldTypes;
  readonly customs: readonly CustomSection[];
  readonly nestedComponents: number;
}

export function readComponent(file: Uint8Array, limits: PreparationLimits): ReadComponent {
  if (file.length > LIMITS.componentBytes) {
    refuse("limit", LIMITS.componentBytes, `it has ${file.length} bytes, want at most ${LIMITS.componentBytes}`);
  }
  return new ComponentReader(file, limits).readAll();
}

class ComponentReader {
  readonly #file: Uint8Array;
  readonly #limits: PreparationLimits;
  readonly #table = new TypeTable();
  readonly #types: ComponentTypeReader;
  readonly #core: CorePlan;
  readonly #customs: CustomSection[] = [];
  readonly #imports: { readonly name: string; readonly offset: number }[] = [];
  readonly #exportOffsets = new Map<string, number>();
  #world: WorldTypes;
  #declarations = 0;
  #nested = 0;

  constructor(file: Uint8Array, limits: PreparationLimits) {
    this.#file = file;
    this.#limits = limits;
    this.#world = worldTypes(this.#table);
    this.#core = new CorePlan(file);
    this.#types = new ComponentTypeReader(file, this.#table, (offset) => this.#countDeclaration(offset));
  }

  readAll(): ReadComponent {
    const exports = this.#component(new ByteReader(this.#file), undefined, undefined);
    return {
      core: this.#core,
      exports,
      exportOffsets: this.#exportOffsets,
      imports: this.#imports,
      world: this.#world,
      customs: this.#customs,
      nestedComponents: this.#nested,
    };
  }

  /** @param given - arguments by name; undefined for the outermost component, which gets none */
  #component(reader: ByteReader, parent: Scope | undefined, given: ReadonlyMap<string, Entity> | undefined): ReadonlyMap<string, Entity> {
    for (const byte of PREAMBLES.component) reader.expect(byte, "preamble of a component; a plain core module is none");
    const scope = new Scope(parent);
    const exports = new Map<string, Entity>();
    const imported = new NameSet("imported name", true);
    const exported = new NameSet("exported name", true);
    while (!reader.done) {
      const at = reader.position;
      const id = reader.byte();
      const section = reader.part(reader.u32());
      switch (id) {
        case 0:
          this.#customs.push({ name: readCustomName(section), start: section.position, end: section.end });
          continue;
        case 1:
          scope.coreModules.push(this.#core.addModule(readCoreModule(section, this.#limits), at));
          continue;
        case 2:
          this.#each(section, () => readCoreInstance(section, scope, this.#core));
          break;
        case 4:
          this.#nestedComponent(section, scope, at);
          continue;
        case 5:
          this.#each(section, () => scope.instances.push(this.#instance(section, scope)));
          break;
        case 6:
          this.#each(section, () => this.#alias(section, scope));
          break;
        case 7:
          this.#each(section, () => scope.types.push(this.#types.readDefinition(section, scope)));
          break;
        case 8:
          this.#each(section, () => readCanon(section, scope, this.#table));
          break;
        case 9:
          refuse("start", at, "found section 9 (a start function of the component), want none");
          break;
        case 10:
          this.#each(section, () => this.#import(section, scope, imported, given));
          break;
        case 11:
          this.#each(section, () => this.#export(section, scope, exported, exports));
          break;
        default:
          refuse("section", at, `found section ${id} in a component, want one of 0, 1, 2, 4 to 8, 10, 11`);
      }
      section.finish(`section ${id} of a component`);
    }
    const unused = scope.components.find(({ used }) => !used);
    if (unused !== undefined) refuse("unsupported", unused.start, "a component inside is never instantiated, want once");
    return exports;
  }

  #each(section: ByteReader, read: () => void): void {
    for (let left = section.count("entries", LIMITS.declarations); left > 0; left--) {
      this.#countDeclaration(section.position);
      read();
    }
  }

  /** Whatever is read counts, also what is read again, so that no component makes this slow. */
  #countDeclaration(offset: number): void {
    this.#declarations++;
    if (this.#declarations > LIMITS.declarations) refuse("limit", offset, `it has more than ${LIMITS.declarations} declarations`);
  }

  #nestedComponent(section: ByteReader, scope: Scope, at: number): void {
    this.#nested++;
    if (this.#nested > LIMITS.nestedComponents) refuse("limit", at, `it has more than ${LIMITS.nestedComponents} components inside`);
    if (scope.depth + 1 > LIMITS.componentDepth) refuse("limit", at, `components are nested deeper than ${LIMITS.componentDepth}`);
    scope.components.push({ start: section.position, end: section.end, used: false });
  }

  #import(section: ByteReader, scope: Scope, names: NameSet, given: ReadonlyMap<string, Entity> | undefined): void {
    const start = section.position;
    const name = readExternName(section);
    names.add(name, start);
    if (given === undefined) {
      this.#imports.push({ name, offset: start });
      if (!TYPES_INTERFACE.test(name)) {
        refuse("import-found", start, `it imports ${quote(name)}, want no import but the types of ${quote(PACKAGE)}`);
      }
    }
    const actual = given?.get(name);
    if (given !== undefined && actual === undefined)
      refuse("missing-export", start, `the import ${quote(name)} of a component inside is not given`);
    if (section.bytes[section.position] === SORT.instance) {
      section.byte();
      this.#importInstance(section, scope, actual, start);
      return;
    }
    if (given === undefined) refuse("import-found", start, `the import ${quote(name)} is not an instance of types`);
    const space = { types: scope.types, outer: undefined, outerTypes: 0 };
    const entity = this.#types.readDescription(section, space, actual, start);
    checkSound(entity, "imported name", start);
    this.#define(scope, entity);
  }

  #importInstance(section: ByteReader, scope: Scope, actual: Entity | undefined, start: number): void {
    const index = section.u32();
    const type = scope.types[index] ?? refuse("malformed", start, `type ${index} is not there`);
    if (actual !== undefined && actual.sort !== "instance") refuse("malformed", start, "what is given for an instance is none");
    const instance = this.#types.instanceOf(type, scope, actual, start);
    if (actual === undefined) this.#checkTypes(instance, start);
    checkSound(instance, "imported name", start);
    scope.instances.push(instance);
  }

  /** The interface of types may hold the world's own, and those only as they are. */
  #checkTypes(instance: InstanceEntity, offset: number): void {
    for (const [name, entity] of instance.exports) {
      const wanted = this.#world.types.get(name);
      if (wanted === undefined) refuse("import-found", offset, `it imports ${quote(name)}, which the policy's types do not have`);
      if (entity.sort !== "type" || entity.type.sort !== "value" || entity.type.id !== wanted) {
        refuse("unsupported", offset, `the type ${quote(name)} is not the policy world's, want the one of policy.wit`);
      }
    }
  }

  #define(scope: Scope, entity: Entity): void {
    if (entity.sort === "func") scope.functions.push(entity);
    else if (entity.sort === "instance") scope.instances.push(entity);
    else scope.types.push(entity.type);
  }

  #export(section: ByteReader, scope: Scope, names: NameSet, exports: Map<string, Entity>): void {
    const start = section.position;
    const name = readExternName(section);
    names.add(name, start);
    const entity = this.#sortIndex(section, scope);
    const form = section.byte();
    if (form > 1) refuse("malformed", start, `the export ${quote(name)} is described by form ${hex(form)}, want 0x00 or 0x01`);
    const described = form === 0 ? entity : this.#ascribed(section, scope, entity, start);
    const exported = described.sort === "type" ? namedType(described.type) : described;
    checkSound(exported, "exported name", start);
    this.#define(scope, exported);
    exports.set(name, exported);
    if (scope.parent === undefined) this.#exportOffsets.set(name, start);
  }

  #ascribed(section: ByteReader, scope: Scope, entity: Entity, start: number): Entity {
    if (section.bytes[section.position] === SORT.instance) {
      section.byte();
      const index = section.u32();
      const type = scope.types[index] ?? refuse("malformed", start, `type ${index} is not there`);
      if (entity.sort !== "instance") refuse("malformed", start, "what is exported as an instance is none");
      return this.#types.instanceOf(type, scope, entity, start);
    }
    return this.#types.readDescription(section, { types: scope.types, outer: undefined, outerTypes: 0 }, entity, start);
  }

  #sortIndex(section: ByteReader, scope: Scope): Entity {
    const start = section.position;
    const sort = section.byte();
    if (sort === SORT.core || sort === SORT.component)
      refuse("unsupported", start, "a core module or component is passed on, want functions, types or instances");
    const index = section.u32();
    if (sort === SORT.func) return scope.functions[index] ?? refuse("malformed", start, `function ${index} is not there`);
    if (sort === SORT.instance) return scope.instances[index] ?? refuse("malformed", start, `instance ${index} is not there`);
    if (sort !== SORT.type) return refuse("unsupported", start, `found something of sort ${hex(sort)}, want functions, types or instances`);
    return { sort: "type", type: scope.types[index] ?? refuse("malformed", start, `type ${index} is not there`) };
  }

  #instance(section: ByteReader, scope: Scope): InstanceEntity {
    const start = section.position;
    const form = section.byte();
    if (form === 0x01) return { sort: "instance", exports: this.#named(section, scope, "export", readExternName) };
    if (form !== 0x00) return refuse("unsupported", start, `found an instance of form ${hex(form)}, want 0x00 or 0x01`);
    const index = section.u32();
    const component = scope.components[index] ?? refuse("malformed", start, `component ${index} is not there`);
    if (component.used) refuse("unsupported", start, `component ${index} is instantiated twice, want once`);
    component.used = true;
    const given = this.#named(section, scope, "argument", readCoreName);
    const exports = this.#component(new ByteReader(this.#file, component.start, component.end), scope, given);
    return { sort: "instance", exports };
  }

  #named(section: ByteReader, scope: Scope, what: string, readName: (reader: ByteReader) => string): ReadonlyMap<string, Entity> {
    const names = new NameSet(what, false);
    const entities = new Map<string, Entity>();
    for (let left = section.count(`${what}s`, LIMITS.exports); left > 0; left--) {
      const start = section.position;
      this.#countDeclaration(start);
      const name = readName(section);
      names.add(name, start);
      entities.set(name, this.#sortIndex(section, scope));
    }
    return entities;
  }

  #alias(section: ByteReader, scope: Scope): void {
    const start = section.position;
    const sort = section.byte();
    const coreSort = sort === SORT.core ? section.byte() : -1;
    const target = section.byte();
    if (target === 0x01 && sort === SORT.core) {
      this.#coreAlias(section, scope, coreSort, start);
      return;
    }
    if (target !== 0x00 || sort === SORT.core)
      refuse("unsupported", start, `found an alias of target ${hex(target)}, want an export of an instance`);
    const index = section.u32();
    const instance = scope.instances[index] ?? refuse("malformed", start, `instance ${index} is not there`);
    const name = readCoreName(section);
    const entity = instance.exports.get(name) ?? refuse("missing-export", start, `instance ${index} has no export ${quote(name)}`);
    const wanted = sort === SORT.func ? "func" : sort === SORT.instance ? "instance" : sort === SORT.type ? "type" : "";
    if (entity.sort !== wanted) refuse("malformed", start, `the export ${quote(name)} is of another sort than ${hex(sort)}`);
    this.#define(scope, entity);
  }

  #coreAlias(section: ByteReader, scope: Scope, sort: number, start: number): void {
    const index = section.u32();
    const instance = scope.coreInstances[index] ?? refuse("malformed", start, `core instance ${index} is not there`);
    const name = readCoreName(section);
    const entity = instance.exports.get(name) ?? refuse("missing-export", start, `core instance ${index} has no export ${quote(name)}`);
    const wanted = (["func", "table", "memory", "global"] as const)[sort];
    if (entity.sort !== wanted) refuse("malformed", start, `the core export ${quote(name)} is of another sort than ${hex(sort)}`);
    defineCore(scope, entity);
  }
}

function namedType(type: ComponentTypeEntity): Entity {
  return { sort: "type", type: type.sort === "value" || type.sort === "resource" ? { ...type, named: true } : type };
}

function defineCore(scope: Scope, entity: CoreEntity): void {
  if (entity.sort === "func") scope.coreFunctions.push(entity);
  else if (entity.sort === "table") scope.coreTables.push(entity);
  else if (entity.sort === "memory") scope.coreMemories.push(entity);
  else scope.coreGlobals.push(entity);
}
