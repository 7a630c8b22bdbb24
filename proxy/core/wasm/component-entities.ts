// What a component is made of while it is read: every definition followed to where it comes from, so that at the end only core
// instances are left.

import type { CoreItem } from "./component-plan.ts";
import type { ComponentFunction, TypeId } from "./component-types.ts";
import type { CoreLimits, FunctionType, GlobalType } from "./core-types.ts";

/** A function of a core instance, or a wall: one that can only trap. */
export interface CoreFunctionEntity {
  readonly sort: "func";
  readonly type: FunctionType;
  /** Undefined: a wall. */
  readonly item: CoreItem | undefined;
  /** It traps at once whatever it is given: proven from its body. */
  readonly trapsAtOnce: boolean;
}

export type CoreEntity =
  | CoreFunctionEntity
  | { readonly sort: "table"; readonly limits: CoreLimits; readonly item: CoreItem }
  | { readonly sort: "memory"; readonly limits: CoreLimits; readonly item: CoreItem }
  | { readonly sort: "global"; readonly global: GlobalType; readonly item: CoreItem };

export interface CoreInstanceEntity {
  /** In the plan. */
  readonly index: number;
  readonly exports: ReadonlyMap<string, CoreEntity>;
}

/**
 * The component model lets imports and exports speak only of types that have a name themselves: records, enums and their like must be
 * imported or exported before. `named`: this definition is. `sound`: all that it is made of is.
 */
export type ComponentTypeEntity =
  | { readonly sort: "value"; readonly id: TypeId; readonly named: boolean; readonly sound: boolean }
  | { readonly sort: "func"; readonly type: ComponentFunction; readonly sound: boolean }
  | { readonly sort: "resource"; readonly resource: number; readonly named: boolean }
  /** Read again wherever it is used: against what it is given there. */
  | { readonly sort: "instance"; readonly start: number; readonly end: number; readonly typesBefore: number };

/** How a component function is made from a core one. */
export interface Lift {
  readonly function: CoreFunctionEntity;
  readonly memory: CoreItem | undefined;
  readonly realloc: CoreItem | undefined;
  readonly postReturn: CoreItem | undefined;
  readonly encoding: "utf8" | "utf16";
}

export interface FunctionEntity {
  readonly sort: "func";
  readonly type: ComponentFunction;
  readonly sound: boolean;
  /** Undefined for a function that only a type speaks of. */
  readonly lift: Lift | undefined;
}

export interface InstanceEntity {
  readonly sort: "instance";
  readonly exports: ReadonlyMap<string, Entity>;
}

export type Entity = FunctionEntity | InstanceEntity | { readonly sort: "type"; readonly type: ComponentTypeEntity };

/** Index spaces of one component. */
export class Scope {
  readonly parent: Scope | undefined;
  readonly depth: number;
  /** Numbers of core modules in the plan. */
  readonly coreModules: number[] = [];
  readonly coreInstances: CoreInstanceEntity[] = [];
  readonly coreFunctions: CoreFunctionEntity[] = [];
  readonly coreTables: CoreEntity[] = [];
  readonly coreMemories: CoreEntity[] = [];
  readonly coreGlobals: CoreEntity[] = [];
  readonly types: ComponentTypeEntity[] = [];
  readonly functions: FunctionEntity[] = [];
  readonly instances: InstanceEntity[] = [];
  readonly components: { readonly start: number; readonly end: number; used: boolean }[] = [];

  constructor(parent: Scope | undefined) {
    this.parent = parent;
    this.depth = parent === undefined ? 0 : parent.depth + 1;
  }
}
