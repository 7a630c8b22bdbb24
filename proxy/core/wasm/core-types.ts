// Types of core modules as the binary spells them. Vectors and references to anything but functions are not supported: no policy needs
// them, and what is not supported need not be understood by the meter.

import type { ByteReader } from "./byte-reader.ts";
import { LIMITS } from "./core-limits.ts";
import { hex, refuse } from "./refuse.ts";

export type CoreSort = "func" | "table" | "memory" | "global";

export type CoreImportType =
  | { readonly sort: "func"; readonly type: FunctionType }
  | { readonly sort: "table"; readonly limits: CoreLimits }
  | { readonly sort: "memory"; readonly limits: CoreLimits }
  | { readonly sort: "global"; readonly global: GlobalType };

export type CoreImport = CoreImportType & { readonly module: string; readonly name: string; readonly offset: number };

export interface CoreExport {
  readonly sort: CoreSort;
  readonly index: number;
}

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const FUNCREF = 0x70;
const V128 = 0x7b;
const EXTERNREF = 0x6f;

export interface FunctionType {
  readonly params: readonly number[];
  readonly results: readonly number[];
}

export interface CoreLimits {
  readonly min: number;
  readonly max: number | undefined;
}

export interface GlobalType {
  readonly type: number;
  readonly mutable: boolean;
}

export function readValueType(reader: ByteReader): number {
  const start = reader.position;
  const type = reader.byte();
  if ((type >= F64 && type <= I32) || type === FUNCREF) return type;
  if (type === V128) refuse("unsupported", start, "found type v128 (SIMD), want i32, i64, f32, f64 or funcref");
  if (type === EXTERNREF) refuse("unsupported", start, "found type externref, want i32, i64, f32, f64 or funcref");
  return refuse("unsupported", start, `found type ${hex(type)}, want i32, i64, f32, f64 or funcref`);
}

export function readFunctionType(reader: ByteReader): FunctionType {
  const start = reader.position;
  const form = reader.byte();
  if (form !== 0x60) refuse("unsupported", start, `found type form ${hex(form)}, want 0x60 (a function)`);
  const params = readTypes(reader, "parameters");
  const results = readTypes(reader, "results");
  return { params, results };
}

function readTypes(reader: ByteReader, what: string): readonly number[] {
  return Array.from({ length: reader.count(what, LIMITS.parameters) }, () => readValueType(reader));
}

export function sameFunctionType(a: FunctionType, b: FunctionType): boolean {
  return sameTypes(a.params, b.params) && sameTypes(a.results, b.results);
}

export function sameTypes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((type, i) => type === b[i]);
}

/** Limits of a table or memory: 32-bit and not shared. */
export function readLimits(reader: ByteReader, what: "memory" | "table"): CoreLimits {
  const start = reader.position;
  const flags = reader.byte();
  if (flags > 1) refuse("unsupported", start, `a ${what} has flags ${hex(flags)} (shared, 64-bit or paged otherwise), want 0x00 or 0x01`);
  const min = reader.u32();
  const max = flags === 1 ? reader.u32() : undefined;
  if (max !== undefined && max < min) refuse("malformed", start, `a ${what} has maximum ${max} below its minimum ${min}`);
  if (what === "memory" && (min > 65_536 || (max ?? 0) > 65_536)) refuse("malformed", start, "a memory is above 65536 pages");
  return { min, max };
}

export function readTableType(reader: ByteReader): CoreLimits {
  const start = reader.position;
  const type = reader.byte();
  if (type !== FUNCREF) refuse("unsupported", start, `found a table of type ${hex(type)}, want funcref without initial value`);
  return readLimits(reader, "table");
}

export function readGlobalType(reader: ByteReader): GlobalType {
  const type = readValueType(reader);
  const start = reader.position;
  const mutability = reader.byte();
  if (mutability > 1) refuse("malformed", start, `a global has mutability ${hex(mutability)}, want 0x00 or 0x01`);
  return { type, mutable: mutability === 1 };
}
