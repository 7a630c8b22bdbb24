import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findStale } from "../../scripts/build-bindings.ts";
import { exportedInterface, Types } from "./abi-layout.ts";
import { type ContractShape, findBreaks, findUndocumented, shapeOf } from "./contract.ts";
import { parseWit, type WitType } from "./parse-wit.ts";
import { toConstant } from "./spelling.ts";

const WIT = join(import.meta.dir, "../wit");
const text = readFileSync(join(WIT, "policy.wit"), "utf8");
const released: ContractShape = JSON.parse(readFileSync(join(WIT, "contract-1.json"), "utf8"));

describe("the policy contract", () => {
  test("says of every item what it is", () => {
    expect(findUndocumented(parseWit(text))).toEqual([]);
  });

  test("keeps to what was released", () => {
    expect(findBreaks(released, shapeOf(parseWit(text)))).toEqual([]);
  });

  test("imports nothing", () => {
    expect(text).not.toMatch(/^\s*(import|include)\b/m);
  });

  test("has fresh bindings", () => {
    expect(findStale()).toEqual([]);
  });
});

describe("the host's side of the canonical ABI", () => {
  const types = new Types(parseWit(text));
  const source = readFileSync(join(import.meta.dir, "../../proxy/core/wasm/canonical-abi.ts"), "utf8");
  const written = new Map([...source.matchAll(/^const ([A-Z0-9_]+) = ([0-9]+);$/gm)].map(([, name = "", value]) => [name, Number(value)]));
  const evaluate = exportedInterface(parseWit(text)).functions.find(({ name }) => name === "evaluate");
  const parameters = evaluate?.parameters.map(({ type }) => type) ?? [];
  const offsets = types.offsets(parameters);

  test.each([
    ["request", offsets[0]],
    ["caller", offsets[1]],
    ["outcome", 0],
  ])("has every field of %s where the contract puts it", (name, start = Number.NaN) => {
    const record = types.definition(name);
    if (record.kind !== "record") throw new Error("want a record");
    const wanted = types.fieldOffsets(record).map((offset, i) => [toConstant(record.fields[i]?.name ?? ""), start + offset]);
    expect(wanted.map(([field]) => [field, written.get(String(field))])).toEqual(wanted);
  });

  test("has the sizes that the contract gives", () => {
    const bytes = (type: WitType | undefined) => (type === undefined ? undefined : types.layout(type).bytes);
    const soFar = parameters[2];
    expect(written.get("ARGUMENTS_BYTES")).toBe(types.sequence(parameters).bytes);
    expect(written.get("ARGUMENTS_ALIGN")).toBe(types.sequence(parameters).align);
    expect(written.get("OUTCOME_BYTES")).toBe(bytes(evaluate?.result));
    expect(written.get("SO_FAR")).toBe(offsets[2]);
    if (soFar === undefined) throw new Error("want a third parameter");
    expect(written.get("SO_FAR_OUTCOME")).toBe((offsets[2] ?? 0) + types.payloadOffset(soFar));
    expect(written.get("SETTLED_BYTES")).toBe(12);
    expect(written.get("SLICE_BYTES")).toBe(bytes({ kind: "primitive", name: "string" }));
    expect(written.get("PAIR_BYTES")).toBe(bytes({ kind: "named", name: "query-parameter" }));
  });
});

describe("findUndocumented", () => {
  test("names what has no comment, down to fields and cases", () => {
    const wit = parseWit("package a:b@1.0.0; interface i { enum e { x } record r { y: u8 } f: func() -> u8; } world w { export i; }");
    expect(findUndocumented(wit)).toEqual(["a:b", "w", "i", "i.f", "i.e", "i.e.x", "i.r", "i.r.y"]);
  });
});

describe("findBreaks", () => {
  const change = (from: string, to: string) => {
    const changed = text.replace(from, to);
    if (changed === text) throw new Error(`internal error: "${from}" is not in the contract`);
    return findBreaks(released, shapeOf(parseWit(changed)));
  };

  test.each([
    ["a case added", "    patch,\n", "    patch,\n    trace,\n", "types.method was"],
    ["a case moved", "    wireserver,", "    first,\n    wireserver,", "types.endpoint was"],
    ["a field added", "trailing-slash: bool,", "trailing-slash: bool,\n body: list<u8>,", "types.request was"],
    ["a field widened", "process-id: u32", "process-id: u64", "types.caller was"],
    ["a fact promised", "user-name: option<string>", "user-name: string", "types.caller was"],
    ["a result changed", "-> outcome;", "-> option<outcome>;", "authorizer.evaluate was"],
    ["a parameter renamed", "so-far: option<outcome>)", "verdict: option<outcome>)", "authorizer.evaluate was"],
    ["a function added", "world policy {", "interface more { g: func() -> u8; }\nworld policy {", "interface more is new without"],
    ["an export demanded", "export authorizer;", "export authorizer;\n export types;", "world policy exported"],
    ["an older version", "@1.0.0", "@0.9.0", "is before"],
  ])("sees %s", (_, from, to, message) => {
    expect(change(from, to).join("\n")).toContain(message);
  });

  test("lets a minor version bring an interface and nothing else", () => {
    const next = text.replace("@1.0.0", "@1.1.0").replace("world policy {", "interface more { g: func() -> u8; }\nworld policy {");
    expect(findBreaks(released, shapeOf(parseWit(next)))).toEqual([]);
    expect(findBreaks(released, shapeOf(parseWit(next.replace("process-id: u32", "process-id: u64"))))).not.toEqual([]);
  });

  test("leaves a new major version alone", () => {
    expect(change("@1.0.0", "@2.0.0")).toEqual([]);
  });
});
