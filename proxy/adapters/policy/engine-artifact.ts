// The one build product that policies need at run time: the engine's component template. Made by scripts/build-policy.ts and part
// of the compiled binary. Only module-templates.ts also imports from build/.

import { readFileSync } from "node:fs";
// @ts-expect-error: made by the build
import templatePath from "../../../build/policy/engine.component.wasm" with { type: "file" };

/** Component template: the rules engine without tables. */
export function readEngineTemplate(): Uint8Array {
  const path: string = templatePath;
  return readFileSync(path);
}
