// Types of the component model, each kept once: two types are the same exactly when their numbers are, so comparing a module's types
// with the world's is comparing numbers, and a type that is built from itself many times over cannot grow.

import type { FunctionType } from "./core-types.ts";
import { F32, F64, I32, I64 } from "./core-types.ts";

/** Number of a value type in its {@link TypeTable}. */
export type TypeId = number;

export interface ValueType {
  readonly key: string;
  /** How it lies in core parameters: one letter of `i l f d` each, cut behind {@link MAX_FLAT}. */
  readonly flat: string;
  /** Holds a string or a list: reading it takes a memory, writing it an allocator. */
  readonly pointers: boolean;
  /** Types that it is made of, counted with repetition. */
  readonly size: number;
  /** Two of these are different things even if they have the same shape: imports and exports must name them. */
  readonly nominal?: boolean;
}

export interface ComponentFunction {
  readonly params: readonly (readonly [label: string, type: TypeId])[];
  readonly result: TypeId | undefined;
}

/** More core parameters than this go through memory. */
const MAX_FLAT_PARAMS = 16;
const MAX_FLAT = MAX_FLAT_PARAMS + 1;
export const MAX_TYPE_SIZE = 5_000;

const PRIMITIVES: readonly (readonly [code: number, key: string, flat: string])[] = [
  [0x7f, "bool", "i"],
  [0x7e, "s8", "i"],
  [0x7d, "u8", "i"],
  [0x7c, "s16", "i"],
  [0x7b, "u16", "i"],
  [0x7a, "s32", "i"],
  [0x79, "u32", "i"],
  [0x78, "s64", "l"],
  [0x77, "u64", "l"],
  [0x76, "f32", "f"],
  [0x75, "f64", "d"],
  [0x74, "char", "i"],
  [0x73, "string", "ii"],
];
const FLAT_TYPES: Readonly<Record<string, number>> = { i: I32, l: I64, f: F32, d: F64 };

/** A case of a variant: what stands for absent is no payload. */
export type Payload = TypeId | undefined;

export class TypeTable {
  readonly #types: ValueType[] = [];
  readonly #known = new Map<string, TypeId>();
  readonly #primitives = new Map<number, TypeId>();

  constructor() {
    for (const [code, key, flat] of PRIMITIVES) {
      this.#primitives.set(code, this.#keep({ key, flat, pointers: key === "string", size: 1 }));
    }
  }

  primitive(code: number): TypeId | undefined {
    return this.#primitives.get(code);
  }

  named(key: string): TypeId {
    return this.#known.get(key) ?? this.#missing(key);
  }

  get(id: TypeId): ValueType {
    return this.#types[id] ?? this.#missing(String(id));
  }

  list(element: TypeId): TypeId {
    return this.#keep({ key: `list<${element}>`, flat: "ii", pointers: true, size: 1 + this.get(element).size });
  }

  record(fields: readonly (readonly [label: string, type: TypeId])[]): TypeId {
    return this.#product(
      `record{${fields.map(([label, type]) => `${label}:${type}`).join()}}`,
      fields.map(([, type]) => type),
      true,
    );
  }

  tuple(types: readonly TypeId[]): TypeId {
    return this.#product(`tuple<${types.join()}>`, types, false);
  }

  enumeration(labels: readonly string[]): TypeId {
    return this.#keep({ key: `enum{${labels.join()}}`, flat: "i", pointers: false, size: 1, nominal: true });
  }

  flags(labels: readonly string[]): TypeId {
    return this.#keep({
      key: `flags{${labels.join()}}`,
      flat: "i".repeat(Math.ceil(labels.length / 32)),
      pointers: false,
      size: 1,
      nominal: true,
    });
  }

  option(type: TypeId): TypeId {
    return this.#sum(`option<${type}>`, [undefined, type], false);
  }

  result(value: Payload, error: Payload): TypeId {
    return this.#sum(`result<${value ?? "_"},${error ?? "_"}>`, [value, error], false);
  }

  variant(cases: readonly (readonly [label: string, payload: Payload])[]): TypeId {
    return this.#sum(
      `variant{${cases.map(([label, payload]) => `${label}:${payload ?? "_"}`).join()}}`,
      cases.map(([, payload]) => payload),
      true,
    );
  }

  handle(kind: "own" | "borrow", resource: number): TypeId {
    return this.#keep({ key: `${kind}<resource ${resource}>`, flat: "i", pointers: false, size: 1 });
  }

  /** Of the core function that a lifted function of this type must be, or that a lowered one is. */
  coreType({ params, result }: ComponentFunction, direction: "lift" | "lower"): FunctionType {
    const flatParams = this.flatParams(params.map(([, type]) => type));
    const flatResult = result === undefined ? "" : this.get(result).flat;
    const spilled = flatParams.length > MAX_FLAT_PARAMS ? "i" : flatParams;
    if (flatResult.length <= 1) return { params: toCore(spilled), results: toCore(flatResult) };
    return direction === "lift" ? { params: toCore(spilled), results: [I32] } : { params: toCore(`${spilled}i`), results: [] };
  }

  flatParams(types: readonly TypeId[]): string {
    return this.#flatten(types);
  }

  #product(key: string, types: readonly TypeId[], nominal: boolean): TypeId {
    const parts = types.map((type) => this.get(type));
    return this.#keep({
      key,
      flat: this.#flatten(types),
      pointers: parts.some(({ pointers }) => pointers),
      size: parts.reduce((size, part) => size + part.size, 1),
      nominal,
    });
  }

  /** Cases share their places: what differs there becomes the type that holds both. */
  #sum(key: string, payloads: readonly Payload[], nominal: boolean): TypeId {
    const parts = payloads.flatMap((payload) => (payload === undefined ? [] : [this.get(payload)]));
    let shared = "";
    for (const { flat } of parts) shared = joinFlat(shared, flat);
    return this.#keep({
      key,
      flat: `i${shared}`.slice(0, MAX_FLAT),
      pointers: parts.some(({ pointers }) => pointers),
      size: parts.reduce((size, part) => size + part.size, 1),
      nominal,
    });
  }

  #flatten(types: readonly TypeId[]): string {
    let flat = "";
    for (const type of types) {
      flat += this.get(type).flat;
      if (flat.length >= MAX_FLAT) return flat.slice(0, MAX_FLAT);
    }
    return flat;
  }

  #keep(type: ValueType): TypeId {
    const known = this.#known.get(type.key);
    if (known !== undefined) return known;
    const id = this.#types.push(type) - 1;
    this.#known.set(type.key, id);
    return id;
  }

  #missing(what: string): never {
    throw new Error(`internal error: unknown component type ${what}`);
  }
}

function joinFlat(one: string, other: string): string {
  let joined = "";
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    const [a, b] = [one[i] ?? other[i] ?? "i", other[i] ?? one[i] ?? "i"];
    if (a === b) joined += a;
    else joined += (a === "i" || a === "f") && (b === "i" || b === "f") ? "i" : "l";
  }
  return joined;
}

function toCore(flat: string): readonly number[] {
  return Array.from(flat, (letter) => FLAT_TYPES[letter] ?? I32);
}
