// A policy module written in JavaScript, as jco's QuickJS backend makes one: a dozen core modules and two dozen components inside.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const JCO = join(ROOT, "node_modules/@bytecodealliance/jco/dist/jco.js");
const FLAGS = ["-n", "policy", "--backend", "qjs", "--backend-qjs-disable-async", "--backend-qjs-stub-wasi"];

/** Takes a second or two. */
export function buildJavaScriptModule(source: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "apa-qjs-"));
  try {
    const input = join(folder, "policy.js");
    const output = join(folder, "policy.wasm");
    writeFileSync(input, source);
    const command = [process.execPath, JCO, "componentize", input, "--wit", join(ROOT, "policy-wasm/wit"), ...FLAGS, "-o", output];
    const run = Bun.spawnSync(command, { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
    if (!run.success) throw new Error(`cannot build a module from JavaScript: ${run.stderr.toString()}${run.stdout.toString()}`);
    return new Uint8Array(readFileSync(output));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
