// The one way by which an untrusted component becomes something the agent runs: read wholly and strictly, validated against the policy
// world, metered. Bytes in, values out; nothing is compiled or run here, and no bytes make it throw.

import { err, ok, type Result } from "../result.ts";
import type { Entity, Lift } from "./component-entities.ts";
import type { ComponentPlan, ComponentRefusal, CoreItem, LiftedFunction, PreparedComponent } from "./component-plan.ts";
import { type ReadComponent, readComponent } from "./component-reader.ts";
import { DEFAULT_PREPARATION_LIMITS, LIMITS, type PreparationLimits } from "./core-limits.ts";
import { type ComponentFacts, describe } from "./describe-component.ts";
import { FUEL_IMPORT, meterModule } from "./meter-module.ts";
import { quote, Refused, refuse } from "./refuse.ts";
import { writeWallModule } from "./wall-module.ts";
import { AGENT_WORLD, authorizerVersion, PACKAGE, runsVersion, sameFunction } from "./world-types.ts";

/** Raise it with every change of checks, cost model or plan: artefacts of another version are prepared again. */
export const PREPARATION = 3;

export interface Preparation {
  readonly prepared: PreparedComponent;
  readonly facts: ComponentFacts;
}

/** @param bytes - a component file as it was given, unread so far */
export function prepareComponent(
  bytes: Uint8Array,
  limits: PreparationLimits = DEFAULT_PREPARATION_LIMITS,
): Result<Preparation, ComponentRefusal> {
  try {
    return ok(prepare(bytes, limits));
  } catch (error) {
    if (error instanceof Refused) return err(error.refusal);
    throw error;
  }
}

function prepare(bytes: Uint8Array, limits: PreparationLimits): Preparation {
  const component = readComponent(bytes, limits);
  const metered = component.core.modules.map((module) => meterModule(bytes, module, limits, component.core.compilerMemory));
  const meteredBytes = metered.reduce((sum, module) => sum + module.bytes.length, 0);
  if (meteredBytes > LIMITS.meteredBytes) {
    refuse("limit", bytes.length, `its metered core modules have ${meteredBytes} bytes, want at most ${LIMITS.meteredBytes}`);
  }
  const plan = planOf(component);
  const modules = metered.map(({ bytes: module }) => module);
  const compilerBytes = component.core.compilerMemory.bytes;
  const { walls } = component.core.finish();
  if (walls.length > 0) modules.push(writeWallModule(walls));
  return {
    prepared: {
      preparation: PREPARATION,
      plan,
      modules,
      fuelImport: FUEL_IMPORT,
      compilerBytes,
      memories: component.core.memories,
    },
    facts: describe(bytes, component, plan, metered, compilerBytes),
  };
}

function planOf(component: ReadComponent): ComponentPlan {
  const { name, version } = findAuthorizer(component);
  const authorizer = component.exports.get(name);
  const offset = component.exportOffsets.get(name) ?? 0;
  if (authorizer?.sort !== "instance") return refuse("missing-export", offset, `the export ${quote(name)} is not an interface`);
  const { instances, walls, place } = component.core.finish();
  const lifted = (member: string): LiftedFunction => liftedFunction(component, authorizer.exports.get(member), member, offset, place);
  const plan: ComponentPlan = {
    worldVersion: version,
    moduleCount: component.core.modules.length + (walls.length > 0 ? 1 : 0),
    instances,
    validateSettings: lifted("validate-settings"),
    configure: lifted("configure"),
    evaluate: lifted("evaluate"),
  };
  checkMembers(component, authorizer.exports, offset);
  return plan;
}

/** Exactly one authorizer, of a version that this agent runs; otherwise only what a toolchain is known to leave. */
function findAuthorizer({ exports, exportOffsets, imports }: ReadComponent): { readonly name: string; readonly version: string } {
  let found: { readonly name: string; readonly version: string } | undefined;
  for (const [name, entity] of exports) {
    const offset = exportOffsets.get(name) ?? 0;
    const version = authorizerVersion(name);
    if (version === undefined) {
      checkStray(name, entity, offset);
      continue;
    }
    if (!runsVersion(version)) {
      refuse(
        "unsupported",
        offset,
        `it is built for version ${version.text} of the policy world, want ${AGENT_WORLD.major}.0.0 to ${AGENT_WORLD.text}`,
      );
    }
    if (found !== undefined) refuse("unsupported", offset, `it has two authorizers, ${quote(found.name)} and ${quote(name)}, want one`);
    found = { name, version: version.text };
  }
  if (found === undefined) {
    return refuse(
      "missing-export",
      exportOffsets.values().next().value ?? 0,
      `it has no export ${quote(`${PACKAGE}/authorizer@${AGENT_WORLD.text}`)}`,
    );
  }
  const version = found.version;
  const other = imports.find((wanted) => wanted.name !== `${PACKAGE}/types@${version}`);
  if (other !== undefined)
    refuse("import-found", other.offset, `it imports ${quote(other.name)}, want ${quote(`${PACKAGE}/types@${version}`)}`);
  return found;
}

/** The QuickJS backend leaves its initialiser among the exports; it is never called. */
function checkStray(name: string, entity: Entity, offset: number): void {
  const harmless = name === "init" && entity.sort === "func";
  if (!harmless) refuse("unsupported", offset, `it exports ${quote(name)}, want the authorizer alone`);
}

function checkMembers(component: ReadComponent, exports: ReadonlyMap<string, Entity>, offset: number): void {
  for (const [name, entity] of exports) {
    if (entity.sort === "func" && component.world.functions.has(name)) continue;
    const type = component.world.types.get(name);
    if (entity.sort === "type" && entity.type.sort === "value" && entity.type.id === type) continue;
    refuse("unsupported", offset, `the authorizer exports ${quote(name)}, which policy.wit does not have or has otherwise`);
  }
}

function liftedFunction(
  component: ReadComponent,
  entity: Entity | undefined,
  name: string,
  offset: number,
  place: (item: CoreItem) => CoreItem,
): LiftedFunction {
  const wanted = component.world.functions.get(name);
  if (wanted === undefined) throw new Error(`internal error: the world has no ${name}`);
  if (entity?.sort !== "func") return refuse("missing-export", offset, `the authorizer has no function ${quote(name)}`);
  if (!sameFunction(entity.type, wanted)) {
    return refuse("unsupported", offset, `the function ${quote(name)} has other parameters or results than in policy.wit`);
  }
  return wholeLift(entity.lift, name, offset, place);
}

function wholeLift(lift: Lift | undefined, name: string, offset: number, place: (item: CoreItem) => CoreItem): LiftedFunction {
  const core = lift?.function.item;
  if (lift === undefined || core === undefined || lift.memory === undefined || lift.realloc === undefined) {
    return refuse("unsupported", offset, `the function ${quote(name)} is a stub, want a core function with memory and realloc`);
  }
  return {
    function: place(core),
    memory: place(lift.memory),
    realloc: place(lift.realloc),
    postReturn: lift.postReturn === undefined ? undefined : place(lift.postReturn),
    encoding: lift.encoding,
  };
}
