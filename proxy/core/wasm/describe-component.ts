// Facts about a component that was read, for `module inspect`: sizes, parts, who made it. Everything that is text comes out as one
// line of printable ASCII, whatever the file says.

import { ByteReader } from "./byte-reader.ts";
import type { ComponentPlan } from "./component-plan.ts";
import type { ReadComponent } from "./component-reader.ts";
import type { CoreModule, CustomSection } from "./core-module.ts";
import type { MeteredModule } from "./meter-module.ts";
import { Refused } from "./refuse.ts";

export interface ModuleFacts {
  readonly bytes: number;
  readonly meteredBytes: number;
  readonly functions: number;
  readonly imports: number;
  readonly exports: number;
  readonly codeBytes: number;
  /** Places where fuel is taken. */
  readonly checkpoints: number;
  /** Pages of 64 KiB that its own memory starts with; undefined: it defines none. */
  readonly memoryPages: number | undefined;
  readonly hasStart: boolean;
  /** Kinds of instructions beyond integers and control flow: `floats`, `bulk-memory` and so on. */
  readonly uses: readonly string[];
}

export interface ComponentFacts {
  readonly bytes: number;
  readonly worldVersion: string;
  readonly encoding: "utf8" | "utf16";
  readonly nestedComponents: number;
  readonly coreInstances: number;
  /** Estimate of what the engine's compiler may take. */
  readonly compilerBytes: number;
  readonly imports: readonly string[];
  readonly exports: readonly string[];
  readonly modules: readonly ModuleFacts[];
  /** Names of custom sections, each once. */
  readonly customSections: readonly string[];
  /** What the tools that made it say about themselves, such as `processed-by wit-component 0.259.0`; unproven. */
  readonly producers: readonly string[];
}

export function describe(
  bytes: Uint8Array,
  component: ReadComponent,
  plan: ComponentPlan,
  metered: readonly MeteredModule[],
  compilerBytes: number,
): ComponentFacts {
  const customs = [...component.customs, ...component.core.modules.flatMap((module) => module.customs)];
  return {
    bytes: bytes.length,
    worldVersion: plan.worldVersion,
    encoding: plan.evaluate.encoding,
    nestedComponents: component.nestedComponents,
    coreInstances: plan.instances.length,
    compilerBytes,
    imports: component.imports.map(({ name }) => name),
    exports: [...component.exports.keys()],
    modules: component.core.modules.map((module, i) => describeModule(module, metered[i])),
    customSections: [...new Set(customs.map(({ name }) => name))].sort(),
    producers: [...new Set(customs.filter(({ name }) => name === "producers").flatMap((section) => readProducers(bytes, section)))].sort(),
  };
}

function describeModule(module: CoreModule, metered: MeteredModule | undefined): ModuleFacts {
  return {
    bytes: module.end - module.start,
    meteredBytes: metered?.bytes.length ?? 0,
    functions: module.functions.length - module.importedFunctions,
    imports: module.imports.length,
    exports: module.exports.size,
    codeBytes: module.bodies.reduce((bytes, { start, end }) => bytes + end - start, 0),
    checkpoints: metered?.checkpoints ?? 0,
    memoryPages: module.memories.length > module.importedMemories ? module.memories.at(-1)?.min : undefined,
    hasStart: module.startFunction !== undefined,
    uses: metered?.uses ?? [],
  };
}

const MAX_PRODUCERS = 32;
const MAX_PRODUCER_BYTES = 64;

/** A section that cannot be read says nothing: it is for people only. */
function readProducers(bytes: Uint8Array, { start, end }: CustomSection): readonly string[] {
  const reader = new ByteReader(bytes, start, end);
  const found: string[] = [];
  const text = (): string => reader.text(MAX_PRODUCER_BYTES).replace(/[^\x20-\x7e]/g, "?");
  try {
    for (let fields = reader.count("fields", MAX_PRODUCERS); fields > 0; fields--) {
      const field = text();
      for (let values = reader.count("values", MAX_PRODUCERS); values > 0; values--) {
        found.push(`${field} ${text()} ${text()}`.trimEnd());
      }
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  return found.slice(0, MAX_PRODUCERS);
}
