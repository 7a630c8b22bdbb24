// What the engine's compiler takes for a module: bounded by an estimate that is held here against the engine itself, for each thing that makes it
// grow. A module that would take too much is refused; those that compilers write are far below.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LIMITS } from "../../proxy/core/wasm/core-limits.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { buildExample, buildTemplate, EXAMPLE_MODULES, type ExampleModule, exampleFolder } from "../../scripts/build-modules.ts";
import { COMPILER_LOADS, measureCompiler, OPTIMIZER_BOMB } from "../support/compiler-load.ts";
import { componentFromModuleWat } from "../support/module-wat.ts";

const MIB = 1024 * 1024;
/** The engine's own for any module: pools of its allocator, garbage of the calls, the work on the largest function there may be. */
const OF_ANY_MODULE = 64 * MIB;
/** The first compiler begins after some hundred. */
const CALLS = 400;
const TIMEOUT_MS = 240_000;

const LOADS = Object.keys(COMPILER_LOADS);
/** How many times as large as one near the limits is surely beyond them. Their number has a limit of its own, and takes little else. */
const beyond = (name: string): number => (name === "functions" ? 5 : 2);

async function loadOf(name: string, size: number): Promise<Uint8Array> {
  return componentFromModuleWat(COMPILER_LOADS[name]?.(size) ?? {});
}

describe("memory of the engine's compiler", () => {
  test.each(LOADS)(
    "T-150: %s: what may be taken is not more than the estimate",
    async (name) => {
      const { peakBytes, estimatedBytes } = await measureCompiler(await loadOf(name, 1), CALLS);
      // Or the module is so small that nothing is tried.
      expect(estimatedBytes).toBeGreaterThan(LIMITS.compilerBytes / 4);
      expect(peakBytes).toBeLessThan(estimatedBytes + OF_ANY_MODULE);
    },
    TIMEOUT_MS,
  );

  test.each(LOADS)(
    "T-150: %s: more of it is refused, with what was found and what is wanted",
    async (name) => {
      const refused = prepareComponent(await loadOf(name, beyond(name)));
      expect(refused.ok ? "taken" : refused.error).toMatchObject({ kind: "limit" });
      if (refused.ok) return;
      expect(refused.error.message).toMatch(
        /^cannot use component: (compiling it may take \d+ MiB of memory or more, \d+ of them for [a-z ]+, want at most 96|it has \d+ functions, want at most \d+)/,
      );
    },
    TIMEOUT_MS,
  );

  test("T-150: a few KiB for which the engine's second compiler takes gigabytes cost nothing: it is off", async () => {
    const { peakBytes } = await measureCompiler(await componentFromModuleWat(OPTIMIZER_BOMB), 50 * CALLS);
    expect(peakBytes).toBeLessThan(OF_ANY_MODULE);
  }, 240_000);

  test("T-150: a function of more blocks than the engine's parser has room for is refused", async () => {
    const blocks = await componentFromModuleWat({ fields: `(func ${"(block)".repeat(LIMITS.blocks + 1)})` });
    const refused = prepareComponent(blocks);
    expect(refused.ok ? "taken" : refused.error.message).toContain(`a function has more than ${LIMITS.blocks} blocks, loops and ifs`);
  });

  const builtExample = (name: ExampleModule): string => {
    buildExample(name);
    return exampleFolder(name);
  };
  test.each([
    ...(Object.keys(EXAMPLE_MODULES) as ExampleModule[]).map((name) => [name, () => builtExample(name)] as const),
    ...(["c", "as", "rust", "ts"] as const).map((language) => [`template for ${language}`, () => buildTemplate(language)] as const),
  ])(
    "%s needs less than half of what is allowed",
    (_, folder) => {
      const prepared = prepareComponent(new Uint8Array(readFileSync(join(folder(), "policy.wasm"))));
      if (!prepared.ok) throw new Error(prepared.error.message);
      expect(prepared.value.prepared.compilerBytes).toBeLessThan(LIMITS.compilerBytes / 2);
    },
    TIMEOUT_MS,
  );
});
