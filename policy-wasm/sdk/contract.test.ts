import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findStale } from "../../scripts/build-bindings.ts";
import { type ContractShape, findBreaks, findUndocumented, shapeOf } from "./contract.ts";
import { parseWit } from "./parse-wit.ts";

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
