// Reads canonical definitions: core functions lifted to the component's level, functions of a component lowered to core ones, and
// what handles of resources need. Nothing lowered may do anything: it must trap at once.

import type { ByteReader } from "./byte-reader.ts";
import type { CoreFunctionEntity, Lift, Scope } from "./component-entities.ts";
import type { CoreItem } from "./component-plan.ts";
import type { ComponentFunction, TypeTable } from "./component-types.ts";
import { type FunctionType, I32, sameFunctionType, sameTypes } from "./core-types.ts";
import { hex, refuse } from "./refuse.ts";

const FORM = { lift: 0x00, lower: 0x01, resourceNew: 0x02, resourceDrop: 0x03, resourceRep: 0x04 } as const;
const REALLOC: FunctionType = { params: [I32, I32, I32, I32], results: [I32] };
const MAX_FLAT_PARAMS = 16;

interface Options {
  readonly encoding: "utf8" | "utf16";
  readonly memory: CoreItem | undefined;
  readonly realloc: CoreItem | undefined;
  readonly postReturn: CoreFunctionEntity | undefined;
}

export function readCanon(section: ByteReader, scope: Scope, table: TypeTable): void {
  const start = section.position;
  const form = section.byte();
  switch (form) {
    case FORM.lift:
      section.expect(0x00, "a lifted core function");
      readLift(section, scope, table, start);
      return;
    case FORM.lower:
      section.expect(0x00, "a lowered function");
      readLower(section, scope, table, start);
      return;
    case FORM.resourceNew:
    case FORM.resourceRep:
      readHandle(section, scope, start, { params: [I32], results: [I32] });
      return;
    case FORM.resourceDrop:
      readHandle(section, scope, start, { params: [I32], results: [] });
      return;
  }
  refuse("unsupported", start, `found a canonical function of form ${hex(form)}, want lift, lower or a resource's`);
}

/** No resource is ever created, since creating one traps: any handle is made up, and using one traps by the rules. */
function readHandle(section: ByteReader, scope: Scope, start: number, type: FunctionType): void {
  const index = section.u32();
  if (scope.types[index]?.sort !== "resource") refuse("malformed", start, `type ${index} is not a resource`);
  scope.coreFunctions.push(wall(type));
}

function wall(type: FunctionType): CoreFunctionEntity {
  return { sort: "func", type, item: undefined, trapsAtOnce: true };
}

function readLift(section: ByteReader, scope: Scope, table: TypeTable, start: number): void {
  const index = section.u32();
  const core = scope.coreFunctions[index] ?? refuse("malformed", start, `core function ${index} is not there`);
  const options = readOptions(section, scope, true);
  const typeEntity = readFunctionIndex(section, scope, start);
  const { type } = typeEntity;
  const wanted = table.coreType(type, "lift");
  if (!sameFunctionType(core.type, wanted)) refuse("malformed", start, "a lifted core function has another signature than its type wants");
  checkOptions(options, type, table, "lift", start);
  const post = options.postReturn;
  if (post !== undefined && !(sameTypes(post.type.params, wanted.results) && post.type.results.length === 0)) {
    refuse("malformed", start, "a post-return function has another signature than the result wants");
  }
  const lift: Lift = {
    function: core,
    memory: options.memory,
    realloc: options.realloc,
    postReturn: post?.item,
    encoding: options.encoding,
  };
  scope.functions.push({ sort: "func", type, sound: typeEntity.sound, lift });
}

function readLower(section: ByteReader, scope: Scope, table: TypeTable, start: number): void {
  const index = section.u32();
  const target = scope.functions[index] ?? refuse("malformed", start, `function ${index} is not there`);
  const options = readOptions(section, scope, false);
  checkOptions(options, target.type, table, "lower", start);
  if (target.lift === undefined) refuse("import-found", start, `core code calls function ${index}, which is imported`);
  if (!target.lift.function.trapsAtOnce) {
    refuse("unsupported", start, `core code calls function ${index} of a component inside, want only stubs that trap at once`);
  }
  scope.coreFunctions.push(wall(table.coreType(target.type, "lower")));
}

function readFunctionIndex(section: ByteReader, scope: Scope, start: number) {
  const index = section.u32();
  const type = scope.types[index];
  return type?.sort === "func" ? type : refuse("malformed", start, `type ${index} is not a function's`);
}

function readOptions(section: ByteReader, scope: Scope, lifted: boolean): Options {
  let encoding: "utf8" | "utf16" | undefined;
  let memory: CoreItem | undefined;
  let realloc: CoreItem | undefined;
  let postReturn: CoreFunctionEntity | undefined;
  for (let left = section.count("options", 8); left > 0; left--) {
    const start = section.position;
    const option = section.byte();
    const again = (seen: boolean): void => {
      if (seen) refuse("malformed", start, `option ${hex(option)} of a canonical function is there twice`);
    };
    switch (option) {
      case 0x00:
      case 0x01:
        again(encoding !== undefined);
        encoding = option === 0x00 ? "utf8" : "utf16";
        continue;
      case 0x02:
        refuse("unsupported", start, "texts are latin1+utf16, want utf8 or utf16");
        break;
      case 0x03: {
        again(memory !== undefined);
        const index = section.u32();
        memory = scope.coreMemories[index]?.item ?? refuse("malformed", start, `core memory ${index} is not there`);
        continue;
      }
      case 0x04:
      case 0x05: {
        again((option === 0x04 ? realloc : postReturn) !== undefined);
        const index = section.u32();
        const found = scope.coreFunctions[index] ?? refuse("malformed", start, `core function ${index} is not there`);
        if (option === 0x05) {
          if (!lifted) refuse("malformed", start, "a lowered function has a post-return function");
          if (found.item === undefined) refuse("unsupported", start, "a post-return function is a stub");
          postReturn = found;
          continue;
        }
        if (!sameFunctionType(found.type, REALLOC))
          refuse("malformed", start, "a realloc function has another signature than the canonical ABI wants");
        realloc = found.item ?? refuse("unsupported", start, "a realloc function is a stub");
        continue;
      }
    }
    refuse("unsupported", start, `found option ${hex(option)} of a canonical function, want an encoding, memory, realloc or post-return`);
  }
  return { encoding: encoding ?? "utf8", memory, realloc, postReturn };
}

/** What goes through memory needs one; what the callee's side must make room for needs its allocator. */
function checkOptions(options: Options, type: ComponentFunction, table: TypeTable, direction: "lift" | "lower", start: number): void {
  const params = type.params.map(([, id]) => id);
  const spilledParams = table.flatParams(params).length > MAX_FLAT_PARAMS;
  const pointersIn = params.some((id) => table.get(id).pointers);
  const result = type.result === undefined ? undefined : table.get(type.result);
  const pointersOut = result?.pointers === true;
  const spilledResult = (result?.flat.length ?? 0) > 1;
  const needsMemory = spilledParams || pointersIn || spilledResult || pointersOut;
  const needsRealloc = direction === "lift" ? spilledParams || pointersIn : pointersOut;
  if ((needsMemory || options.realloc !== undefined) && options.memory === undefined)
    refuse("malformed", start, "a canonical function has no memory");
  if (needsRealloc && options.realloc === undefined) refuse("malformed", start, "a canonical function has no realloc");
}
