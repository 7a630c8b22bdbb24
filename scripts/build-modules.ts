// Builds the example modules as their authors would: template of the language, own files over it, its build script. Into
// build/modules/NAME; a module whose inputs did not change is left alone. Others may build or read the same meanwhile.
// Run as: bun scripts/build-modules.ts [--force] [--templates] [NAME...]; --templates builds those as `module new` gives them, too

import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { ModuleTemplates, TemplateFile } from "../proxy/tools/module/module-templates.ts";
import { makeTemplates } from "./module-templates.ts";

const ROOT = dirname(import.meta.dir);
const EXAMPLES = join(ROOT, "policy-wasm/examples");
const OUTPUT = join(ROOT, "build/modules");
const NPM = join(ROOT, "node_modules");

export const EXAMPLE_MODULES = {
  "token-resources": "ts",
  "boot-gate": "c",
  "container-guard": "as",
  "table-policy": "rust",
} as const satisfies Readonly<Record<string, keyof ModuleTemplates>>;

export type ExampleModule = keyof typeof EXAMPLE_MODULES;

const STAMP_DIGITS = 32;

/** Of the template those files that an example has of its own. */
const OWN_FILES: ReadonlySet<string> = new Set(["README.md", "cases.json", "settings.txt"]);

/** Folder of a built example. */
export function exampleFolder(name: ExampleModule): string {
  return join(OUTPUT, name);
}

/** Builds it unless it is up to date. Throws with the build's own words. */
export function buildExample(name: ExampleModule, force = false): "built" | "up to date" {
  const template = makeTemplates()[EXAMPLE_MODULES[name]].filter(({ path }) => !OWN_FILES.has(path));
  return buildModule(name, exampleFolder(name), template, join(EXAMPLES, name), force);
}

/** A template as `module new` gives it, built into build/modules/template-LANGUAGE; returns that folder. */
export function buildTemplate(language: keyof ModuleTemplates, force = false): string {
  const folder = join(OUTPUT, `template-${language}`);
  buildModule("template", folder, makeTemplates()[language], undefined, force);
  return folder;
}

/** @param own - folder whose files go over those of the template */
function buildModule(name: string, folder: string, template: readonly TemplateFile[], own: string | undefined, force: boolean) {
  const hash = createHash("sha256").update(JSON.stringify(template));
  for (const file of own === undefined ? [] : readdirSync(own).sort()) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(own ?? "", file)))
      .update("\0");
  }
  for (const tool of ["build/policy/inputs.sha256", "bun.lock", "scripts/build-modules.ts"]) hash.update(readFileSync(join(ROOT, tool)));
  const made = join(OUTPUT, "by-inputs", `${basename(folder)}-${hash.digest("hex").slice(0, STAMP_DIGITS)}`);
  if (force) rmSync(made, { recursive: true, force: true });
  else if (existsSync(made)) {
    pointTo(folder, made);
    return "up to date";
  }

  const staging = `${made}.new-${process.pid}`;
  rmSync(staging, { recursive: true, force: true });
  try {
    for (const { path, text, executable } of template) {
      mkdirSync(dirname(join(staging, path)), { recursive: true });
      writeFileSync(join(staging, path), text.replaceAll("@NAME@", name));
      if (executable) chmodSync(join(staging, path), 0o755);
    }
    if (own !== undefined) cpSync(own, staging, { recursive: true });
    runBuild(name, staging);
    rmSync(join(staging, ".build"), { recursive: true, force: true });
    moveUnlessThere(staging, made);
    pointTo(folder, made);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  return "built";
}

/** Another that built the same meanwhile has made the same. */
function moveUnlessThere(staging: string, made: string): void {
  try {
    renameSync(staging, made);
  } catch (error) {
    if (!existsSync(made)) throw error;
  }
}

/** Readers of the folder find what was there or what comes, never nothing. */
function pointTo(folder: string, made: string): void {
  const target = join(basename(dirname(made)), basename(made));
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found?.isSymbolicLink() === true && readlinkSync(folder) === target) return;
  // Left by a version that built in place.
  if (found?.isDirectory() === true) rmSync(folder, { recursive: true, force: true });
  const link = `${folder}.link-${process.pid}`;
  rmSync(link, { force: true });
  symlinkSync(target, link);
  renameSync(link, folder);
}

function runBuild(name: string, folder: string): void {
  const agent = join(folder, ".build/azure-proxy-agent");
  mkdirSync(dirname(agent), { recursive: true });
  writeFileSync(agent, `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "proxy/main.ts")}" "$@"\n`);
  chmodSync(agent, 0o755);
  const { exitCode, stdout, stderr } = Bun.spawnSync([join(folder, "build")], {
    stdout: "pipe",
    stderr: "pipe",
    env: {
      ...process.env,
      AZURE_PROXY_AGENT: agent,
      ASC: join(NPM, "assemblyscript/bin/asc.js"),
      JCO: join(NPM, "@bytecodealliance/jco/dist/jco.js"),
      TSC: join(NPM, "typescript/bin/tsc"),
      JS_RUNTIME: process.execPath,
    },
  });
  if (exitCode !== 0) throw new Error(`cannot build example module "${name}": ${stdout}${stderr}`);
}

if (import.meta.main) {
  const names = process.argv.slice(2).filter((word) => !word.startsWith("--"));
  const force = process.argv.includes("--force");
  const known = Object.keys(EXAMPLE_MODULES).filter((name): name is ExampleModule => name in EXAMPLE_MODULES);
  const unknown = names.find((name) => !known.some((each) => each === name));
  if (unknown !== undefined) {
    console.error(`build-modules: unknown module "${unknown}", want some of ${known.join(", ")}`);
    process.exit(64);
  }
  for (const name of known) {
    if (names.length > 0 && !names.includes(name)) continue;
    const done = buildExample(name, force);
    console.log(`build/modules/${name}: ${done}, ${readFileSync(join(exampleFolder(name), "policy.wasm")).length} bytes`);
  }
  if (!process.argv.includes("--templates")) process.exit(0);
  for (const language of ["ts", "c", "as", "rust"] as const satisfies readonly (keyof ModuleTemplates)[])
    console.log(`${relative(ROOT, buildTemplate(language, force))}: ready`);
}
