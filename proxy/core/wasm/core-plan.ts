// The sequence of core instances that a component reduces to, while it is read.

import { ByteReader } from "./byte-reader.ts";
import { CompilerMemory } from "./compiler-memory.ts";
import type { CoreEntity, CoreInstanceEntity } from "./component-entities.ts";
import type { CoreInstance, CoreItem } from "./component-plan.ts";
import { LIMITS } from "./core-limits.ts";
import type { CoreModule } from "./core-module.ts";
import { type CoreExport, type FunctionType, sameFunctionType } from "./core-types.ts";
import { quote, refuse } from "./refuse.ts";

/** Stands for the instance that holds the walls until it is known whether there is one. */
const WALLS = -1;
const UNREACHABLE = 0x00;
const IN_WORDS = {
  memories: "memories",
  tables: "tables",
  parts: "imports, exports and globals",
  elements: "elements of tables",
  dataBytes: "bytes of data",
} as const;

export class CorePlan {
  readonly modules: CoreModule[] = [];
  /** What the engine may take for these modules: more is added when their functions are read. */
  readonly compilerMemory = new CompilerMemory();
  readonly #file: Uint8Array;
  readonly #instances: CoreInstance[] = [];
  readonly #walls: FunctionType[] = [];
  readonly #wallNumbers = new Map<string, number>();
  /** What all instances define together: a module may be instantiated again and again, and each time it makes its own. */
  readonly #made = { memories: 0, tables: 0, parts: 0, elements: 0, dataBytes: 0 };

  constructor(file: Uint8Array) {
    this.#file = file;
  }

  /** Linear memories of all instances so far. */
  get memories(): number {
    return this.#made.memories;
  }

  addModule(module: CoreModule, offset: number): number {
    if (this.modules.length === LIMITS.coreModules) refuse("limit", offset, `it has more than ${LIMITS.coreModules} core modules`);
    this.compilerMemory.addModule(module, module.end);
    return this.modules.push(module) - 1;
  }

  /** @param given - instances by the import module's name */
  instantiate(moduleIndex: number, given: ReadonlyMap<string, CoreInstanceEntity>, offset: number): CoreInstanceEntity {
    const module = this.modules[moduleIndex];
    if (module === undefined) throw new Error("internal error: a core module that was never read");
    this.#count(module, offset);
    const used = new Map<string, CoreInstanceEntity>();
    const imported: Record<"func" | "table" | "memory" | "global", CoreEntity[]> = { func: [], table: [], memory: [], global: [] };
    for (const wanted of module.imports) {
      const from = given.get(wanted.module);
      const found = from?.exports.get(wanted.name);
      if (from === undefined || found === undefined) {
        return refuse(
          "import-found",
          wanted.offset,
          `a core module imports ${quote(`${wanted.module} ${wanted.name}`)}, which nothing gives it`,
        );
      }
      if (!fits(found, wanted)) {
        return refuse(
          "malformed",
          wanted.offset,
          `the import ${quote(`${wanted.module} ${wanted.name}`)} has another type than what is given`,
        );
      }
      used.set(wanted.module, from);
      imported[wanted.sort].push(found);
    }
    const index = this.#add(
      {
        kind: "module",
        module: moduleIndex,
        imports: Array.from(used, ([name, instance]) => ({ name, instance: instance.index })),
      },
      offset,
    );
    const exports = new Map<string, CoreEntity>();
    for (const [name, exported] of module.exports) {
      const item = { sort: exported.sort, instance: index, name };
      exports.set(name, this.#exported(module, exported, item, imported[exported.sort][exported.index]));
    }
    return { index, exports };
  }

  /** Instantiating is not metered: segments are copied and exports made before any code runs. */
  #count(module: CoreModule, offset: number): void {
    const made = this.#made;
    made.memories += module.memories.length - module.importedMemories;
    made.tables += module.tables.length - module.importedTables;
    made.parts += module.imports.length + module.exports.size + module.globals.length;
    made.elements += module.elements;
    made.dataBytes += module.dataBytes;
    const most = { memories: LIMITS.memories, ...LIMITS.instances };
    for (const what of ["memories", "tables", "parts", "elements", "dataBytes"] as const)
      if (made[what] > most[what]) refuse("limit", offset, `its core instances have more than ${most[what]} ${IN_WORDS[what]}`);
  }

  bundle(exports: ReadonlyMap<string, CoreEntity>, offset: number): CoreInstanceEntity {
    const listed = Array.from(exports, ([name, entity]) => ({ name, item: this.#itemOf(entity) }));
    return { index: this.#add({ kind: "bundle", exports: listed }, offset), exports };
  }

  #add(instance: CoreInstance, offset: number): number {
    if (this.#instances.length === LIMITS.coreInstances) refuse("limit", offset, `it has more than ${LIMITS.coreInstances} core instances`);
    return this.#instances.push(instance) - 1;
  }

  #itemOf(entity: CoreEntity): CoreItem {
    if (entity.item !== undefined) return entity.item;
    if (entity.sort !== "func") throw new Error("internal error: a wall that is no function");
    const key = `${entity.type.params.join()}>${entity.type.results.join()}`;
    const wall = this.#wallNumbers.get(key) ?? this.#walls.push(entity.type) - 1;
    this.#wallNumbers.set(key, wall);
    return { sort: "func", instance: WALLS, name: String(wall) };
  }

  #exported(module: CoreModule, { sort, index }: CoreExport, item: CoreItem, imported: CoreEntity | undefined): CoreEntity {
    if (imported !== undefined) return imported;
    switch (sort) {
      case "func": {
        const type = module.functions[index];
        if (type === undefined) break;
        return { sort, type, item, trapsAtOnce: this.#trapsAtOnce(module, index - module.importedFunctions) };
      }
      case "table":
      case "memory": {
        const limits = (sort === "table" ? module.tables : module.memories)[index];
        if (limits === undefined) break;
        return { sort, limits, item };
      }
      case "global": {
        const global = module.globals[index];
        if (global === undefined) break;
        return { sort, global, item };
      }
    }
    throw new Error("internal error: an export of nothing");
  }

  /** Its first instruction is a trap, so it has no effect. */
  #trapsAtOnce(module: CoreModule, index: number): boolean {
    const body = module.bodies[index];
    if (body === undefined) return false;
    const reader = new ByteReader(this.#file, body.start, body.end);
    return reader.u32() === 0 && reader.byte() === UNREACHABLE;
  }

  /** The finished row; with walls, an instance of a module that holds them comes first and all numbers move up by one. */
  finish(): {
    readonly instances: readonly CoreInstance[];
    readonly walls: readonly FunctionType[];
    readonly place: (item: CoreItem) => CoreItem;
  } {
    const shift = this.#walls.length > 0 ? 1 : 0;
    const place = (item: CoreItem): CoreItem => ({ sort: item.sort, instance: item.instance + shift, name: item.name });
    const moved = this.#instances.map((instance): CoreInstance => {
      if (instance.kind === "bundle") {
        return { kind: "bundle", exports: instance.exports.map(({ name, item }) => ({ name, item: place(item) })) };
      }
      const imports = instance.imports.map(({ name, instance: from }) => ({ name, instance: from + shift }));
      return { kind: "module", module: instance.module, imports };
    });
    if (shift === 0) return { instances: moved, walls: [], place };
    const walls: CoreInstance = { kind: "module", module: this.modules.length, imports: [] };
    return { instances: [walls, ...moved], walls: this.#walls, place };
  }
}

/** The rules by which a core module's import takes what it is given. */
function fits(found: CoreEntity, wanted: CoreModule["imports"][number]): boolean {
  if (found.sort === "func") return wanted.sort === "func" && sameFunctionType(found.type, wanted.type);
  if (found.sort === "global") {
    return wanted.sort === "global" && found.global.type === wanted.global.type && found.global.mutable === wanted.global.mutable;
  }
  if (wanted.sort !== found.sort || (wanted.sort !== "table" && wanted.sort !== "memory")) return false;
  const { min, max } = wanted.limits;
  return found.limits.min >= min && (max === undefined || (found.limits.max !== undefined && found.limits.max <= max));
}
