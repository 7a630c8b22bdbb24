// The policy adapter for tests. It runs on build products; when those are missing this says so in clear words, where a plain
// import would fail with a module path.

import { existsSync } from "node:fs";
import { join } from "node:path";

const BUILD = join(import.meta.dir, "../../build/policy");

if (!existsSync(join(BUILD, "engine.component.wasm"))) {
  throw new Error('cannot test policies: "build/policy" is missing, run "bun scripts/build-policy.ts" first');
}

export const { compilePolicy, loadPolicy, policyIdOf, readCompiledRules } = await import("../../proxy/adapters/policy/component.ts");
export const { assemble } = await import("../../proxy/adapters/policy/compile-rules.ts");
