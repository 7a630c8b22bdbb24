import { describe, expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { loadPolicy } from "../../../test/support/policy-build.ts";
import { readEngineTemplate } from "../../adapters/policy/engine-artifact.ts";
import { readCoreExports } from "../../core/wasm/core-exports.ts";
import { readSections } from "../../core/wasm/sections.ts";
import { extractCoreModule } from "../../core/wasm/wasm-binary.ts";
import { componentize } from "./componentize.ts";

const WORDS = `
  (memory (export "memory") 1 16)
  (data (i32.const 1024) "fine")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
  (func (export "validate_settings") (param i32 i32) (result i32) (i32.const 256))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 256))
  (func (export "evaluate") (param i32) (result i32)
    (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 4)) (i32.const 512))
  (func (export "post_validate_settings") (param i32))
  (func (export "post_configure") (param i32))
  (func (export "post_evaluate") (param i32))`;

const CLAIMS = {
  processId: 1,
  userId: 0,
  runAsElevated: true,
  userName: "root",
  userGroups: [],
  processFullPath: undefined,
  processName: undefined,
  executableSha256: undefined,
  processCmdLine: "",
  cgroupId: 0n,
  cgroupPath: undefined,
  clientAddress: "127.0.0.1",
  clientPort: 1,
};

async function moduleOf(fields: string): Promise<Uint8Array> {
  return parse(`(module ${fields})`);
}

describe("componentize", () => {
  test("wraps a module whose exports are plain words, and the component answers", async () => {
    const made = componentize(await moduleOf(WORDS));
    if (!made.ok) throw new Error(made.error);
    const policy = loadPolicy(made.value);
    if (!policy.ok) throw new Error(JSON.stringify(policy.error));
    const request = { endpoint: "imds", method: "GET", segments: ["a"], trailingSlash: false, query: [] } as const;
    expect(policy.value.evaluate(request, CLAIMS)).toEqual({ kind: "allow", reason: "fine", rule: "" });
  });

  test("keeps only the exports of the world, and no custom section", async () => {
    const core = await moduleOf(`${WORDS} (func $secret (export "__secret")) (global (export "g") i32 (i32.const 1))`);
    const made = componentize(core);
    const inner = made.ok ? extractCoreModule(made.value) : made;
    const exports = inner.ok ? readCoreExports(inner.value) : inner;
    if (!exports.ok) throw new Error(JSON.stringify(exports.error));
    expect(exports.value.map(({ name }) => name.replace(/^(cabi_post_)?azure:proxy-agent-policy\/authorizer@1\.0\.0#/, "$1"))).toEqual([
      "memory",
      "cabi_realloc",
      "validate-settings",
      "cabi_post_validate-settings",
      "configure",
      "cabi_post_configure",
      "evaluate",
      "cabi_post_evaluate",
    ]);
    expect(made.ok && Buffer.from(made.value).includes("secret")).toBe(false);
  });

  test("wraps our own engine to the same exports", () => {
    const core = extractCoreModule(readEngineTemplate());
    const made = core.ok ? componentize(core.value) : core;
    expect(made.ok && loadPolicy(made.value)).toMatchObject({
      ok: false,
      error: { kind: "refused-to-start", cause: "this component holds no rules" },
    });
  });

  const swapped = (from: string, to: string) => WORDS.replace(from, to);
  test.each([
    ["an import", `(import "wasi:cli/exit" "exit" (func)) ${WORDS}`, 'it imports "exit" of "wasi:cli/exit"'],
    ["a missing export", swapped('(export "evaluate")', '(export "decide")'), '#evaluate" or "evaluate"; it exports "memory"'],
    ["a missing post", swapped('(export "post_evaluate")', ""), '"post_evaluate"; it exports'],
    ["no memory", `${WORDS.replace('(export "memory")', "")} (func (export "memory"))`, 'its export "memory" is a function, want a memory'],
    [
      "parameters not spilled",
      swapped("(param i32) (result i32)", "(param i32 i32) (result i32)"),
      "is (i32 i32) -> (i32), want (i32) -> (i32)",
    ],
    [
      "no result",
      `${WORDS.replace('(export "configure") (param i32 i32) (result i32) (i32.const 256)', '(export "configure") (param i32 i32)')}`,
      "want (i32 i32) -> (i32)",
    ],
    [
      "wide parameters",
      swapped('(param i32))\n  (func (export "post_configure")', '(param i64))\n  (func (export "post_configure")'),
      "(i64) -> ()",
    ],
  ])("refuses %s", async (_, fields, message) => {
    const made = componentize(await moduleOf(fields));
    expect(!made.ok && made.error).toContain(message);
  });

  test.each([
    ["a component", () => readEngineTemplate(), "component already"],
    ["text", () => new TextEncoder().encode("int main(void)"), "no WebAssembly module"],
    ["nothing", () => new Uint8Array(), "no WebAssembly module"],
  ])("refuses %s", (_, bytes, message) => {
    const made = componentize(bytes());
    expect(!made.ok && made.error).toContain(message);
  });

  test("refuses a module that is cut off anywhere but between two sections", async () => {
    const core = await moduleOf(WORDS);
    const sections = readSections(core, "module");
    let end = 8;
    const ends = new Set(
      (sections.ok ? sections.value : []).map(({ content }) => (end += content.length + (content.length < 128 ? 2 : 3))),
    );
    expect(ends.has(core.length)).toBe(true);
    for (let length = 0; length < core.length; length++) {
      if (!ends.has(length)) expect(componentize(core.subarray(0, length))).toMatchObject({ ok: false });
    }
  });

  test("gives the same file for the same module", async () => {
    const core = await moduleOf(WORDS);
    expect(componentize(core)).toEqual(componentize(core));
  });
});
