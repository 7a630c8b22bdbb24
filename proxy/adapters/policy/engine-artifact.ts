// The two build products that policies run on: the engine's component template and the host glue for its world.
// Made by scripts/build-policy.ts; both are part of the compiled binary. No other file imports from build/.

import { readFileSync } from "node:fs";
// @ts-expect-error: made by the build
import templatePath from "../../../build/policy/engine.component.wasm" with { type: "file" };
// @ts-expect-error: made by the build; jco's declarations are not the contract, wit-world.ts is
import { instantiate as instantiateGlue } from "../../../build/policy/glue/policy.js";
import type { Authorizer } from "./wit-world.ts";

/** What a core module exports: functions and memories by name. */
export type CoreExports = WebAssembly.Instance["exports"];

type Instantiate = (
  getCoreModule: (path: string) => WebAssembly.Module,
  imports: Readonly<Record<string, never>>,
  instantiateCore: (module: WebAssembly.Module) => { readonly exports: CoreExports },
) => { readonly authorizer: Authorizer };

const instantiate: Instantiate = instantiateGlue;

/** Component template: the rules engine without tables. */
export function readEngineTemplate(): Uint8Array {
  const path: string = templatePath;
  return readFileSync(path);
}

/**
 * Runs the world's one core module behind the host glue. Throws what instantiation throws.
 * @param instantiateCore - lets a caller set limits or rename exports between instantiation and first use
 */
export function instantiateAuthorizer(
  module: WebAssembly.Module,
  instantiateCore: (module: WebAssembly.Module) => CoreExports = (core) => new WebAssembly.Instance(core).exports,
): Authorizer {
  return instantiate(
    () => module,
    {},
    (core) => ({ exports: instantiateCore(core) }),
  ).authorizer;
}
