// The example modules: built from their sources, taken by guard and meter, and asked all their cases in the runtime of the daemon.

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildExample, EXAMPLE_MODULES, type ExampleModule, exampleFolder } from "../../scripts/build-modules.ts";
import { ModuleWorkshop } from "../support/module-build.ts";
import { prepareModule, runModuleCases } from "../support/module-cases.ts";
import { seededRandom } from "../support/random.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const EXAMPLES = join(import.meta.dir, "../../policy-wasm/examples");
const NAMES: readonly ExampleModule[] = ["boot-gate", "container-guard", "table-policy", "token-resources"];

test("every example folder is built and tested", () => {
  const folders = readdirSync(EXAMPLES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).sort()).toEqual(Object.keys(EXAMPLE_MODULES).sort());
  expect([...NAMES].sort()).toEqual(folders.map(({ name }) => name).sort() as ExampleModule[]);
});

describe.each(NAMES)("example module %s", (name) => {
  beforeAll(() => {
    buildExample(name);
  }, 240_000);

  test("T-138: answers all its cases, and refuses the settings it must", async () => {
    const run = await runModuleCases(join(exampleFolder(name), "policy.wasm"), join(exampleFolder(name), "cases.json"));
    expect(run.failures).toEqual([]);
    expect(run.cases).toBeGreaterThan(20);
    // Far from the default budget, so that no request of ordinary size comes near it.
    expect(run.mostFuel).toBeLessThan(5_000_000);
  }, 240_000);

  test("passes module test, as an operator would run it", () => {
    using workshop = new ModuleWorkshop();
    const told = workshop.agent("module", "test", join(exampleFolder(name), "policy.wasm"));
    expect(told).toMatchObject({ exitCode: 0, stderr: "" });
    expect(told.stdout).toContain("deny");
  }, 240_000);

  test("no bytes as settings make it fail", async () => {
    const start = await prepareModule(readFileSync(join(exampleFolder(name), "policy.wasm")));
    const good = readFileSync(join(exampleFolder(name), name === "token-resources" ? "settings.json" : "settings.txt"));
    const random = seededRandom(7);
    // QuickJS starts slowly: one instance for all, as validate-settings takes nothing.
    const instance = start();
    for (let i = 0; i < 300; i++) {
      const bytes = Uint8Array.from(good);
      for (let k = random.below(4); k >= 0; k--) bytes[random.below(bytes.length)] = random.below(256);
      const cut = bytes.subarray(0, random.below(bytes.length + 1));
      const answer = instance.validateSettings(random.below(2) === 0 ? bytes : cut);
      if (!answer.ok) throw new Error(`fails on ${JSON.stringify(Buffer.from(bytes).toString("latin1"))}: ${answer.error.message}`);
    }
  }, 240_000);
});
