// Makes the bindings of every offered language from policy-wasm/wit/policy.wit. They are checked in, so that people can read them;
// a test compares them with what this makes. Run as: bun scripts/build-bindings.ts [--check]

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generateAs } from "../policy-wasm/sdk/generate-as.ts";
import { generateC } from "../policy-wasm/sdk/generate-c.ts";
import { generateRust } from "../policy-wasm/sdk/generate-rust.ts";
import { generateTs } from "../policy-wasm/sdk/generate-ts.ts";
import { parseWit } from "../policy-wasm/sdk/parse-wit.ts";

const ROOT = dirname(import.meta.dir);
const SDK = join(ROOT, "policy-wasm/sdk");
const BINDINGS = join(SDK, "bindings");

/** Path below policy-wasm/sdk/bindings and content of every generated file. */
export function makeBindings(): ReadonlyMap<string, string> {
  const read = (path: string) => readFileSync(join(SDK, path), "utf8");
  const wit = parseWit(read("../wit/policy.wit"));
  const as = generateAs(wit, read("as/text.ts"));
  const c = generateC(wit, read("c/text.h"), read("c/arena.c"));
  return new Map([
    ["as/abi.ts", as.abi],
    ["as/policy.ts", as.policy],
    ["as/exports.ts", as.exports],
    ["as/runtime.ts", read("as/runtime.ts")],
    ["c/policy.h", c.header],
    ["c/policy.c", c.source],
    ["rust/bindings.rs", generateRust(wit, read("rust/runtime.rs"))],
    ["ts/policy.d.ts", generateTs(wit)],
  ]);
}

/** Generated files that are missing or differ from the contract. */
export function findStale(): readonly string[] {
  return [...makeBindings()].filter(([path, text]) => readOptional(join(BINDINGS, path)) !== text).map(([path]) => path);
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const stale = findStale();
  if (process.argv.includes("--check")) {
    for (const path of stale) console.error(`bindings: ${path} is stale, run "bun scripts/build-bindings.ts"`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const [path, text] of makeBindings()) {
      mkdirSync(dirname(join(BINDINGS, path)), { recursive: true });
      writeFileSync(join(BINDINGS, path), text);
    }
    console.log(stale.length === 0 ? "bindings: up to date" : `bindings: wrote ${stale.join(", ")}`);
  }
}
