// A validated and metered component as the bytes that the module store keeps: CBOR with one spelling. Decoding trusts nothing,
// although the bytes are known by their hash: every index must refer to something earlier, every name and kind must be known.

import { Decoder, Encoder } from "cbor-x/index-no-eval";
import { MEMORY_PAGE_BYTES } from "../../core/modules/module-budgets.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { isObject } from "../../core/text/json-text.ts";
import { describeError } from "../../core/thrown.ts";
import type { ComponentPlan, CoreInstance, CoreItem, LiftedFunction, PreparedComponent } from "../../core/wasm/component-plan.ts";
import { DEFAULT_PREPARATION_LIMITS, LIMITS } from "../../core/wasm/core-limits.ts";
import { PREPARATION, prepareComponent } from "../../core/wasm/prepare-component.ts";

const CBOR = { useRecords: false, mapsAsObjects: true, tagUint8Array: false } as const;
const encoder = new Encoder(CBOR);
const decoder = new Decoder(CBOR);

const SORTS = ["func", "table", "memory", "global"] as const;
const MAX_PARTS = 10_000;
const MAX_NAME_CHARACTERS = 1024;

export function encodePrepared({ preparation, plan, modules, fuelImport, compilerBytes, memories }: PreparedComponent): Uint8Array {
  return encoder.encode({
    preparation,
    plan: plainPlan(plan),
    modules: modules.map((bytes) => Buffer.from(bytes)),
    fuelImport: { module: fuelImport.module, name: fuelImport.name },
    compilerBytes,
    memories,
  });
}

/** @returns the artefact, or what in it is wrong */
export function decodePrepared(bytes: Uint8Array): Result<PreparedComponent, string> {
  let value: unknown;
  try {
    value = decoder.decode(bytes);
  } catch (error) {
    return err(`it is no CBOR: ${describeError(error)}`);
  }
  try {
    return ok(readPrepared(value));
  } catch (error) {
    if (error instanceof Malformed) return err(error.message);
    throw error;
  }
}

/**
 * The artefact as the store has it, or made again from the component: when another version of the agent made it, by other checks or
 * costs, or for memories of another size.
 * @param component - the file that the artefact was made of, known by its hash
 * @param madeFor - bytes of memory that the artefact was made for
 */
export function currentPrepared(
  artefact: Uint8Array,
  component: Uint8Array,
  madeFor: number,
  memoryBytes: number,
): Result<PreparedComponent, string> {
  const stored = decodePrepared(artefact);
  if (stored.ok && stored.value.preparation === PREPARATION && madeFor === memoryBytes) return stored;
  const again = prepareComponent(component, { ...DEFAULT_PREPARATION_LIMITS, memoryPages: memoryBytes / MEMORY_PAGE_BYTES });
  return again.ok ? ok(again.value.prepared) : err(again.error.message);
}

/** Members in one order, whatever object the plan was built as. */
function plainPlan({ worldVersion, moduleCount, instances, validateSettings, configure, evaluate }: ComponentPlan) {
  return {
    worldVersion,
    moduleCount,
    instances: instances.map((each) =>
      each.kind === "module"
        ? { kind: each.kind, module: each.module, imports: each.imports.map(({ name, instance }) => ({ name, instance })) }
        : { kind: each.kind, exports: each.exports.map(({ name, item }) => ({ name, item: plainItem(item) })) },
    ),
    validateSettings: plainFunction(validateSettings),
    configure: plainFunction(configure),
    evaluate: plainFunction(evaluate),
  };
}

function plainFunction({ function: func, memory, realloc, postReturn, encoding }: LiftedFunction) {
  return {
    function: plainItem(func),
    memory: plainItem(memory),
    realloc: plainItem(realloc),
    postReturn: postReturn === undefined ? null : plainItem(postReturn),
    encoding,
  };
}

function plainItem({ sort, instance, name }: CoreItem): CoreItem {
  return { sort, instance, name };
}

class Malformed extends Error {}

function readPrepared(value: unknown): PreparedComponent {
  const artefact = members(value, "artefact", ["preparation", "plan", "modules", "fuelImport", "compilerBytes", "memories"]);
  const { preparation, plan, modules, fuelImport } = artefact;
  const fuel = members(fuelImport, "fuelImport", ["module", "name"]);
  const cores = list(modules, "modules").map((each, i) => {
    if (each instanceof Uint8Array) return new Uint8Array(each);
    throw new Malformed(`modules/${i}: want bytes`);
  });
  const read = readPlan(plan);
  if (read.moduleCount !== cores.length) throw new Malformed(`found ${cores.length} modules, want ${read.moduleCount}`);
  return {
    preparation: whole(preparation, "preparation", MAX_PARTS),
    plan: read,
    modules: cores,
    fuelImport: { module: name(fuel.module, "fuelImport/module"), name: name(fuel.name, "fuelImport/name") },
    compilerBytes: whole(artefact.compilerBytes, "compilerBytes", LIMITS.compilerBytes + 1),
    memories: whole(artefact.memories, "memories", LIMITS.memories + 1),
  };
}

function readPlan(value: unknown): ComponentPlan {
  const plan = members(value, "plan", ["worldVersion", "moduleCount", "instances", "validateSettings", "configure", "evaluate"]);
  const moduleCount = whole(plan.moduleCount, "moduleCount", MAX_PARTS);
  const instances = list(plan.instances, "instances").map((each, i) => readInstance(each, i, moduleCount));
  const lifted = (which: "validateSettings" | "configure" | "evaluate") => readFunction(plan[which], which, instances.length);
  return {
    worldVersion: name(plan.worldVersion, "worldVersion"),
    moduleCount,
    instances,
    validateSettings: lifted("validateSettings"),
    configure: lifted("configure"),
    evaluate: lifted("evaluate"),
  };
}

function readInstance(value: unknown, index: number, moduleCount: number): CoreInstance {
  const where = `instances/${index}`;
  if (isObject(value) && value.kind === "module") {
    const { module, imports } = members(value, where, ["kind", "module", "imports"]);
    return {
      kind: "module",
      module: whole(module, `${where}/module`, moduleCount),
      imports: list(imports, `${where}/imports`).map((each) => {
        const item = members(each, `${where}/imports`, ["name", "instance"]);
        return { name: name(item.name, where), instance: whole(item.instance, `${where}/imports`, index) };
      }),
    };
  }
  const { kind, exports } = members(value, where, ["kind", "exports"]);
  if (kind !== "bundle") throw new Malformed(`${where}: want a module or a bundle`);
  return {
    kind: "bundle",
    exports: list(exports, `${where}/exports`).map((each) => {
      const item = members(each, `${where}/exports`, ["name", "item"]);
      return { name: name(item.name, where), item: readItem(item.item, `${where}/exports`, index) };
    }),
  };
}

function readFunction(value: unknown, where: string, instances: number): LiftedFunction {
  const parts = members(value, where, ["function", "memory", "realloc", "postReturn", "encoding"]);
  const { encoding } = parts;
  if (encoding !== "utf8" && encoding !== "utf16") throw new Malformed(`${where}: want utf8 or utf16`);
  const item = (part: "function" | "memory" | "realloc" | "postReturn") => readItem(parts[part], `${where}/${part}`, instances);
  return {
    function: item("function"),
    memory: item("memory"),
    realloc: item("realloc"),
    postReturn: parts.postReturn === null ? undefined : item("postReturn"),
    encoding,
  };
}

/** @param instances - the instance must be one of the first so many */
function readItem(value: unknown, where: string, instances: number): CoreItem {
  const item = members(value, where, ["sort", "instance", "name"]);
  const sort = SORTS.find((known) => known === item.sort);
  if (sort === undefined) throw new Malformed(`${where}: want one of ${SORTS.join(", ")}`);
  return { sort, instance: whole(item.instance, where, instances), name: name(item.name, where) };
}

/** Exactly these members. */
function members<Name extends string>(value: unknown, where: string, names: readonly Name[]): Readonly<Record<Name, unknown>> {
  const keys = isObject(value) ? Object.keys(value) : [];
  if (keys.length !== names.length || names.some((each) => !keys.includes(each)))
    throw new Malformed(`${where}: want the members ${names.join(", ")}`);
  return value as Readonly<Record<Name, unknown>>;
}

function list(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value) && value.length <= MAX_PARTS) return value;
  throw new Malformed(`${where}: want a list of at most ${MAX_PARTS}`);
}

/** A whole number from 0, below the limit. */
function whole(value: unknown, where: string, limit: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < limit) return value;
  throw new Malformed(`${where}: want a whole number below ${limit}`);
}

function name(value: unknown, where: string): string {
  if (typeof value === "string" && value.length <= MAX_NAME_CHARACTERS) return value;
  throw new Malformed(`${where}: want a name of at most ${MAX_NAME_CHARACTERS} characters`);
}
