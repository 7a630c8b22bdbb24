// Modules that mean harm, and settings that do, given to the module commands: nothing of them is kept, and one line says why.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, print } from "@bytecodealliance/jco";
import { buildExample, exampleFolder } from "../../scripts/build-modules.ts";
import { NEVER_STARTING } from "../support/hostile-modules.ts";
import { type ModuleFolder, makeModuleFolder } from "../support/module-store-folder.ts";
import { componentFromModuleWat } from "../support/module-wat.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const PATIENCE_MS = 240_000;
const MIB = 1024 * 1024;

let folder: ModuleFolder;
beforeAll(async () => {
  folder = makeModuleFolder();
  folder.write("good.wasm", await componentFromModuleWat({}));
  const added = await folder.module("add", "good.wasm", "--name", "kept");
  if (added.code !== 0) throw new Error(added.err);
}, PATIENCE_MS);
afterAll(() => folder[Symbol.dispose]());

/** @returns the line that says why */
async function expectNothingLeft(...argv: readonly string[]): Promise<string> {
  const before = folder.snapshot();
  const { code, out, err } = await folder.module(...argv);
  expect([code, out, err.trimEnd().split("\n").length]).toEqual([1, "", 1]);
  expect(err).toMatch(/^azure-proxy-agent: ("names\.wasm": )?cannot [\x20-\x7e…]+\n$/);
  expect(folder.snapshot()).toBe(before);
  return err;
}

describe("module add", () => {
  test.each([
    ["the known attack", "x'],globalThis.PWNED=process.exit(),exports0['y", "x'],globalThis.PWNED=process.exit(),exports0['y"],
    ["a line break", "x\nazure-proxy-agent: installed", "x\\u000aazure-proxy-agent: installed"],
    ["a sequence for the terminal", "x\u001b[2J\u001b]0;y\u0007", "\\u001b[2J"],
  ])(
    "T-101: of a component with %s among its names keeps nothing and says name and offset",
    async (_, name, told) => {
      const text = await print(await componentFromModuleWat({}));
      const bytes = Array.from(new TextEncoder().encode(name), (byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
      folder.write("names.wasm", await parse(text.replaceAll('"cabi_realloc"', () => `"${bytes}"`)));
      const line = await expectNothingLeft("add", "names.wasm", "--name", "bad");
      expect(line).toContain(told);
      expect(line).toMatch(/at offset \d+\n$/);
    },
    PATIENCE_MS,
  );

  test(
    "T-150: of a component that takes too much memory to compile keeps nothing and says how much and what for",
    async () => {
      const locals = "i64 ".repeat(1_900);
      folder.write("names.wasm", await componentFromModuleWat({ fields: `(func (local ${locals}) ${"(loop)".repeat(16_000)})` }));
      const line = await expectNothingLeft("add", "names.wasm", "--name", "bad");
      expect(line).toMatch(
        /compiling it may take 97 MiB of memory or more, 9\d of them for loops [a-z ]+, want at most 96, at offset \d+\n$/,
      );
    },
    PATIENCE_MS,
  );

  test(
    "T-151: of a module for which the others leave no room keeps nothing; replaced or disabled it has room",
    async () => {
      const argv = ["add", "good.wasm", "--name", "large", "--memory", "256m"];
      const line = await expectNothingLeft(...argv);
      expect(line).toContain("may take 264 MiB as their own memories (256 of them for it), want at most 256");
      expect((await folder.module(...argv, "--disabled", "--dry-run")).code).toBe(0);
      expect((await folder.module("add", "good.wasm", "--name", "kept", "--replace", "--memory", "256m", "--dry-run")).code).toBe(0);
    },
    PATIENCE_MS,
  );

  test.each(Object.entries(NEVER_STARTING))(
    "T-107: of a module that %s keeps nothing",
    async (_, parts) => {
      folder.write("never.wasm", await componentFromModuleWat(parts));
      await expectNothingLeft("add", "never.wasm", "--name", "bad");
    },
    PATIENCE_MS,
  );

  test(
    "T-107: of a module that never ends when it is asked about its settings keeps nothing",
    async () => {
      folder.write("settings", "x");
      folder.write("never.wasm", await componentFromModuleWat({ validateSettings: "(loop $l (br $l)) (unreachable)" }));
      expect(await expectNothingLeft("add", "never.wasm", "--name", "bad", "--settings", "settings")).toContain("fuel");
    },
    PATIENCE_MS,
  );
});

const BOMBS: Readonly<Record<string, string>> = {
  "brackets in brackets": "[".repeat(MIB),
  "objects in objects": '{"a":'.repeat(Math.floor(MIB / 5)),
  "one line without end": "x".repeat(MIB),
  "lines without end": "x\n".repeat(MIB / 2),
};

describe.each(["token-resources", "boot-gate", "container-guard", "table-policy"] as const)("the example %s", (example) => {
  test(
    "T-107: refuses settings that are bombs; what was installed stays",
    async () => {
      buildExample(example);
      folder.write("example.wasm", readFileSync(join(exampleFolder(example), "policy.wasm")));
      for (const [name, text] of Object.entries(BOMBS)) {
        folder.write("bomb", text);
        const line = await expectNothingLeft("add", "example.wasm", "--name", "bad", "--settings", "bomb");
        expect([name, line.length < 1_000]).toEqual([name, true]);
      }
    },
    2 * PATIENCE_MS,
  );
});
