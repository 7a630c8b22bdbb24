// Where the component model's canonical ABI puts values in linear memory: sizes, alignments, offsets, and whether a function's
// parameters travel as values or, when there are too many, as one pointer. Strings and lists are a pointer followed by a length.

import type { WitDefinition, WitFunction, WitInterface, WitPackage, WitRecord, WitType } from "./parse-wit.ts";

export interface Layout {
  readonly bytes: number;
  readonly align: number;
}

/** More flat parameters than this are spilled to memory and passed as one pointer. */
export const MAX_FLAT_PARAMETERS = 16;
export const MAX_FLAT_RESULTS = 1;

/** The definitions of a package by name; names are used once per package. */
export class Types {
  readonly #definitions: ReadonlyMap<string, WitDefinition>;

  constructor(wit: WitPackage) {
    const all = wit.interfaces.flatMap(({ definitions }) => definitions);
    this.#definitions = new Map(all.map((definition) => [definition.name, definition]));
    if (this.#definitions.size !== all.length) throw new Error("cannot lay out WIT: found one type name twice, want each once");
  }

  get all(): readonly WitDefinition[] {
    return [...this.#definitions.values()];
  }

  definition(name: string): WitDefinition {
    const found = this.#definitions.get(name);
    if (found === undefined) throw new Error(`cannot lay out WIT: found no type "${name}"`);
    return found;
  }

  layout(type: WitType): Layout {
    switch (type.kind) {
      case "primitive":
        return PRIMITIVE_LAYOUTS[type.name];
      case "list":
        return { bytes: 8, align: 4 };
      case "option":
        return this.#tagged([undefined, type.element]);
      case "result":
        return this.#tagged([type.ok, type.error]);
      case "tuple":
        return this.sequence(type.elements);
      case "named": {
        const definition = this.definition(type.name);
        if (definition.kind === "record") return this.sequence(definition.fields.map((field) => field.type));
        return enumLayout(definition.cases.length);
      }
    }
  }

  /** One after the other, each at its alignment. */
  sequence(types: readonly WitType[]): Layout {
    const { bytes, align } = this.#place(types);
    return { bytes: alignTo(bytes, align), align };
  }

  /** Byte offsets of things one after the other. */
  offsets(types: readonly WitType[]): readonly number[] {
    return this.#place(types).offsets;
  }

  fieldOffsets(record: WitRecord): readonly number[] {
    return this.offsets(record.fields.map((field) => field.type));
  }

  /** Offset of the payload behind the tag byte of an option or a result. */
  payloadOffset(type: WitType): number {
    if (type.kind === "option") return alignTo(1, this.layout(type.element).align);
    if (type.kind !== "result") throw new Error(`internal error: ${type.kind} has no payload`);
    return alignTo(1, Math.max(...[type.ok, type.error].map((side) => (side === undefined ? 1 : this.layout(side).align))));
  }

  /** Number of core values that a value travels as when it is not in memory. */
  flatCount(type: WitType): number {
    switch (type.kind) {
      case "primitive":
        return type.name === "string" ? 2 : 1;
      case "list":
        return 2;
      case "option":
        return 1 + this.flatCount(type.element);
      case "result":
        return 1 + Math.max(...[type.ok, type.error].map((side) => (side === undefined ? 0 : this.flatCount(side))));
      case "tuple":
        return type.elements.reduce((sum, element) => sum + this.flatCount(element), 0);
      case "named": {
        const definition = this.definition(type.name);
        if (definition.kind === "enum") return 1;
        return definition.fields.reduce((sum, field) => sum + this.flatCount(field.type), 0);
      }
    }
  }

  /** The parameters are one pointer to all of them. */
  isSpilled(called: WitFunction): boolean {
    return called.parameters.reduce((sum, { type }) => sum + this.flatCount(type), 0) > MAX_FLAT_PARAMETERS;
  }

  /** The result is a pointer to it. */
  returnsPointer(called: WitFunction): boolean {
    return this.flatCount(called.result) > MAX_FLAT_RESULTS;
  }

  #place(types: readonly WitType[]): { readonly offsets: readonly number[]; readonly bytes: number; readonly align: number } {
    const offsets: number[] = [];
    let bytes = 0;
    let align = 1;
    for (const type of types) {
      const layout = this.layout(type);
      const offset = alignTo(bytes, layout.align);
      offsets.push(offset);
      bytes = offset + layout.bytes;
      align = Math.max(align, layout.align);
    }
    return { offsets, bytes, align };
  }

  #tagged(sides: readonly (WitType | undefined)[]): Layout {
    const layouts = sides.flatMap((side) => (side === undefined ? [] : [this.layout(side)]));
    const align = Math.max(1, ...layouts.map((layout) => layout.align));
    return { bytes: alignTo(alignTo(1, align) + Math.max(0, ...layouts.map((layout) => layout.bytes)), align), align };
  }
}

const PRIMITIVE_LAYOUTS = {
  bool: { bytes: 1, align: 1 },
  u8: { bytes: 1, align: 1 },
  u16: { bytes: 2, align: 2 },
  u32: { bytes: 4, align: 4 },
  u64: { bytes: 8, align: 8 },
  string: { bytes: 8, align: 4 },
} as const satisfies Record<string, Layout>;

function enumLayout(cases: number): Layout {
  const bytes = cases <= 256 ? 1 : cases <= 65536 ? 2 : 4;
  return { bytes, align: bytes };
}

function alignTo(offset: number, align: number): number {
  return Math.ceil(offset / align) * align;
}

/** The interface that the one world exports: what a policy implements. */
export function exportedInterface(wit: WitPackage): WitInterface {
  const [world, ...others] = wit.worlds;
  const [name, ...more] = world?.exports ?? [];
  const found = wit.interfaces.find((each) => each.name === name);
  if (found === undefined || others.length > 0 || more.length > 0) {
    throw new Error("cannot make bindings: want one world that exports one interface");
  }
  return found;
}

/** `azure:proxy-agent-policy/authorizer@1.0.0`: what core exports begin with. */
export function exportPrefix(wit: WitPackage): string {
  return `${wit.name}/${exportedInterface(wit).name}@${wit.version}`;
}
