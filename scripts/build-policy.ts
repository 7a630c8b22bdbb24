// Builds the rules engine: AssemblyScript to a core module, that to a component template, and the host glue for its world,
// made by jco once here so that the agent never needs jco. Output in build/policy; does nothing when no input changed.
// Run as: bun scripts/build-policy.ts [--force]

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { componentEmbed, componentNew, transpile } from "@bytecodealliance/jco";
import { renameExports } from "../proxy/core/wasm/wasm-binary.ts";
import { makeTemplates, templateInputs } from "./module-templates.ts";

const ROOT = dirname(import.meta.dir);
const ENGINE = join(ROOT, "policy-wasm/engine");
const WIT = join(ROOT, "policy-wasm/wit/policy.wit");
const OUTPUT = join(ROOT, "build/policy");
const STAGING = join(ROOT, "build/policy.new");

const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";
/** What the engine calls its exports (AssemblyScript takes only identifiers), and what the component model does. */
const EXPORT_NAMES: ReadonlyMap<string, string> = new Map([
  ["memory", "memory"],
  ["cabi_realloc", "cabi_realloc"],
  ["validate_settings", `${INTERFACE}#validate-settings`],
  ["configure", `${INTERFACE}#configure`],
  ["evaluate", `${INTERFACE}#evaluate`],
  ["post_validate_settings", `cabi_post_${INTERFACE}#validate-settings`],
  ["post_configure", `cabi_post_${INTERFACE}#configure`],
  ["post_evaluate", `cabi_post_${INTERFACE}#evaluate`],
]);

const ASC_FLAGS = ["--runtime", "stub", "-O3", "--use", "abort=", "--initialMemory", "2", "--maximumMemory", "1024"];
/** The tables' address; the engine's own statics must end below it. */
const TABLES_ADDRESS = 0x10000;

function inputs(): string[] {
  const engine = readdirSync(ENGINE)
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .map((name) => join(ENGINE, name));
  const tools = [
    "policy-wasm/sdk/bindings/as/abi.ts",
    "scripts/build-policy.ts",
    "proxy/core/wasm/wasm-binary.ts",
    ...["sections", "byte-reader", "byte-writer"].map((name) => `proxy/core/wasm/${name}.ts`),
    "bun.lock",
  ].map((path) => join(ROOT, path));
  return [...engine, WIT, ...tools, ...templateInputs()];
}

function hashInputs(): string {
  const hash = createHash("sha256");
  for (const path of inputs())
    hash
      .update(`${path.slice(ROOT.length)}\0`)
      .update(readFileSync(path))
      .update("\0");
  return hash.digest("hex");
}

function readStamp(): string | undefined {
  try {
    return readFileSync(join(OUTPUT, "inputs.sha256"), "utf8");
  } catch {
    return undefined;
  }
}

function compileEngine(): Uint8Array {
  const output = join(STAGING, "engine.core.wasm");
  const asc = join(ROOT, "node_modules/assemblyscript/bin/asc.js");
  const run = Bun.spawnSync([process.execPath, asc, join(ENGINE, "index.ts"), ...ASC_FLAGS, "-o", output], { cwd: ROOT, stderr: "pipe" });
  if (!run.success) throw new Error(`cannot compile "policy-wasm/engine": ${run.stderr.toString()}`);
  const renamed = renameExports(readFileSync(output), EXPORT_NAMES);
  if (!renamed.ok) throw new Error(`cannot name the engine's exports: ${JSON.stringify(renamed.error)}, want ${[...EXPORT_NAMES.keys()]}`);
  rmSync(output);
  checkEngine(renamed.value);
  return renamed.value;
}

const TRACING = "globalThis?.process?.env?.JCO_DEBUG&&console.debug(...e)";

/** The glue reads an environment variable several times in each call, and prints requests when it is set: neither is wanted. */
function withoutTracing(glue: Uint8Array): Uint8Array {
  const parts = new TextDecoder().decode(glue).split(TRACING);
  if (parts.length !== 2) throw new Error(`cannot use the host glue: found ${parts.length - 1} places that trace, want 1`);
  return new TextEncoder().encode(parts.join(""));
}

/** Things the compiler and the host glue rely on and that no type checker sees. */
function checkEngine(core: Uint8Array): void {
  const module = new WebAssembly.Module(core);
  const imports = WebAssembly.Module.imports(module);
  if (imports.length !== 0) throw new Error(`cannot use the engine: it imports ${JSON.stringify(imports)}, want no import`);
  const { memory, ...functions } = new WebAssembly.Instance(module).exports;
  if (new Set(Object.values(functions)).size !== EXPORT_NAMES.size - 1) {
    throw new Error("cannot use the engine: two exports are one function, want each its own");
  }
  if (!(memory instanceof WebAssembly.Memory) || memory.buffer.byteLength < 2 * TABLES_ADDRESS) {
    throw new Error("cannot use the engine: its memory does not reach the tables' page");
  }
  if (new Uint8Array(memory.buffer, TABLES_ADDRESS).some((byte) => byte !== 0)) {
    throw new Error("cannot use the engine: its static data reaches into the tables' page");
  }
}

function write(path: string, bytes: Uint8Array | string): void {
  const target = join(STAGING, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, bytes);
}

async function build(): Promise<void> {
  rmSync(STAGING, { recursive: true, force: true });
  mkdirSync(STAGING, { recursive: true });
  const core = compileEngine();
  const component = await componentNew(await componentEmbed({ binary: core, witPath: WIT, world: "policy" }));
  write("engine.component.wasm", component);
  const glue = await transpile(component, { name: "policy", instantiation: "sync", minify: true, tracing: false });
  for (const [path, bytes] of Object.entries(glue.files)) {
    if (path.endsWith(".d.ts")) write(join("types", path), bytes);
    else if (path === "policy.js") write("glue/policy.js", withoutTracing(bytes));
    else if (path !== "policy.core.wasm") throw new Error(`cannot use the host glue: unexpected file "${path}", want one core module`);
  }
  write("module-templates.txt", JSON.stringify(makeTemplates()));
  write("inputs.sha256", hashInputs());
  rmSync(OUTPUT, { recursive: true, force: true });
  renameSync(STAGING, OUTPUT);
  console.log(`build/policy: engine ${component.length} bytes`);
}

if (process.argv.includes("--force") || readStamp() !== hashInputs()) await build();
else console.log("build/policy: up to date");
