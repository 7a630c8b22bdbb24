// Reads the arguments of `evaluate` out of a memory as a guest would, straight from policy-wasm/wit/policy.wit: a small walk over
// types that knows the canonical ABI's rules for size and alignment, and no offset.

import type { TextEncoding } from "../../proxy/core/wasm/guest-memory.ts";

type Shape =
  | { readonly kind: "u8" | "u32" | "u64" | "bool" | "text" }
  | { readonly kind: "enum"; readonly cases: readonly string[] }
  | { readonly kind: "list" | "option"; readonly of: Shape }
  | { readonly kind: "tuple"; readonly of: readonly Shape[] }
  | { readonly kind: "record"; readonly fields: readonly (readonly [name: string, shape: Shape])[] };

const TEXT: Shape = { kind: "text" };
const list = (of: Shape): Shape => ({ kind: "list", of });
const option = (of: Shape): Shape => ({ kind: "option", of });
const record = (fields: Readonly<Record<string, Shape>>): Shape => ({ kind: "record", fields: Object.entries(fields) });
const cases = (...names: readonly string[]): Shape => ({ kind: "enum", cases: names });

const FIELD = record({ name: TEXT, value: TEXT });
const OUTCOME = record({
  kind: cases("allow", "deny", "abstain"),
  reason: TEXT,
  rule: TEXT,
  labels: list({ kind: "tuple", of: [TEXT, TEXT] }),
});
const ARGUMENTS = record({
  request: record({
    endpoint: cases("wireserver", "hostga", "imds"),
    method: cases("get", "head", "post", "put", "delete", "options", "patch"),
    segments: list(TEXT),
    trailingSlash: { kind: "bool" },
    query: list(FIELD),
    headers: list(FIELD),
    uptimeSeconds: { kind: "u64" },
    unixSeconds: { kind: "u64" },
  }),
  caller: record({
    processId: { kind: "u32" },
    userId: { kind: "u32" },
    elevated: { kind: "bool" },
    userName: option(TEXT),
    userGroups: list(TEXT),
    executablePath: option(TEXT),
    processName: option(TEXT),
    executableSha256: option(TEXT),
    cgroupId: { kind: "u64" },
    cgroupPath: option(TEXT),
  }),
  soFar: option(OUTCOME),
});

/** The three arguments, as jco's JavaScript names them. Throws where a case number is unknown or a text cannot be decoded. */
export function readQuestion(buffer: ArrayBuffer, at: number, encoding: TextEncoding): unknown {
  return read(ARGUMENTS, new DataView(buffer), at, encoding);
}

function alignOf(shape: Shape): number {
  switch (shape.kind) {
    case "u8":
    case "bool":
    case "enum":
      return 1;
    case "u64":
      return 8;
    case "option":
      return alignOf(shape.of);
    case "tuple":
      return Math.max(...shape.of.map(alignOf));
    case "record":
      return Math.max(...shape.fields.map(([, field]) => alignOf(field)));
    default:
      return 4;
  }
}

function align(at: number, to: number): number {
  return Math.ceil(at / to) * to;
}

function sizeOf(shape: Shape): number {
  switch (shape.kind) {
    case "u8":
    case "bool":
    case "enum":
      return 1;
    case "u32":
      return 4;
    case "option":
      return align(align(1, alignOf(shape.of)) + sizeOf(shape.of), alignOf(shape));
    case "tuple":
      return align(
        shape.of.reduce((at, each) => align(at, alignOf(each)) + sizeOf(each), 0),
        alignOf(shape),
      );
    case "record":
      return sizeOf({ kind: "tuple", of: shape.fields.map(([, field]) => field) });
    default:
      return 8;
  }
}

function read(shape: Shape, view: DataView, at: number, encoding: TextEncoding): unknown {
  switch (shape.kind) {
    case "u8":
      return view.getUint8(at);
    case "bool":
      return view.getUint8(at) !== 0;
    case "u32":
      return view.getUint32(at, true);
    case "u64":
      return view.getBigUint64(at, true);
    case "enum": {
      const name = shape.cases[view.getUint8(at)];
      if (name === undefined) throw new Error(`found case ${view.getUint8(at)} of ${shape.cases.length}`);
      return name;
    }
    case "text": {
      const [start, length] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      const bytes = new Uint8Array(view.buffer, start, encoding === "utf16" ? 2 * length : length);
      return new TextDecoder(encoding === "utf16" ? "utf-16le" : "utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    }
    case "list": {
      const [start, length] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
      return Array.from({ length }, (_, i) => read(shape.of, view, start + i * sizeOf(shape.of), encoding));
    }
    case "option":
      return view.getUint8(at) === 0 ? undefined : read(shape.of, view, at + align(1, alignOf(shape.of)), encoding);
    case "tuple":
      return placed(shape.of, at).map(([each, place]) => read(each, view, place, encoding));
    case "record": {
      const values = placed(
        shape.fields.map(([, field]) => field),
        at,
      ).map(([field, place]) => read(field, view, place, encoding));
      return Object.fromEntries(shape.fields.map(([name], i) => [name, values[i]]));
    }
  }
}

function placed(shapes: readonly Shape[], at: number): readonly (readonly [Shape, number])[] {
  let next = at;
  return shapes.map((shape) => {
    const place = align(next, alignOf(shape));
    next = place + sizeOf(shape);
    return [shape, place] as const;
  });
}
