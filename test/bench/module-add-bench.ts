// How long `module add` takes for a large module, from exec to exit: TypeScript with its whole interpreter and a table inside, with cases, into a
// store of its own on the disk.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModuleWorkshop } from "../support/module-build.ts";
import { atMost, type Figure, median } from "./figures.ts";
import { AGENT } from "./rig.ts";

const BOUND_MS = 2_000;
const LIMIT_MS = 60_000;
/** In memory it takes a multiple; with the interpreter of 1.6 MiB that makes two. */
const TABLE_BYTES = 120_000;

/** @param times - how often it is replaced; the first time does not count */
export function benchModuleAdd(times: number): Figure {
  using workshop = new ModuleWorkshop();
  const made = workshop.agent("module", "new", "--language", "ts", "large");
  // As a module that brings a table along, kept where no bundler can take it off.
  const table = JSON.stringify(randomBytes(TABLE_BYTES / 2).toString("hex"));
  appendFileSync(join(workshop.folder, "large/policy.ts"), `\nObject.assign(globalThis, { table: ${table} });\n`);
  const steps = [made, workshop.build("large")];
  const failed = steps.find(({ exitCode }) => exitCode !== 0);
  if (failed !== undefined) throw new Error(`cannot measure "module add": ${failed.stderr}${failed.stdout}`);
  const folder = mkdtempSync(join(tmpdir(), "apa-module-add-"));
  try {
    const config = writeConfig(folder);
    const module = join(workshop.folder, "large");
    const path = join(module, "policy.wasm");
    const argv = ["module", "add", path, "--name", "large", "--replace", "--no-wait", "--config", config];
    const withCases = [...argv, "--settings", join(module, "settings.txt"), "--cases", join(module, "cases.json")];
    const values: number[] = [];
    for (let round = 0; round <= times; round++) {
      const startedMs = performance.now();
      const { status, stderr } = spawnSync(AGENT, withCases, { env: {}, timeout: LIMIT_MS, encoding: "utf8" });
      if (status !== 0) throw new Error(`cannot measure "module add": ended with ${status}: ${stderr}`);
      if (round > 0) values.push(performance.now() - startedMs);
    }
    const value = median(values);
    const mib = (statSync(path).size / 1024 / 1024).toFixed(1);
    return { name: `module add, ${mib} MiB with cases`, value, unit: "ms", bound: atMost(value, BOUND_MS, `${BOUND_MS} ms`) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeConfig(folder: string): string {
  mkdirSync(join(folder, "lib"), { mode: 0o700 });
  const config = join(folder, "config.json");
  writeFileSync(
    config,
    JSON.stringify({
      logFolder: "",
      eventFolder: "",
      latchKeyFolder: join(folder, "lib", "keys"),
      statusFolder: folder,
      monitorIntervalInSeconds: 60,
      pollKeyStatusIntervalInSeconds: 15,
      ebpfProgramName: "ebpf_cgroup.o",
    }),
  );
  return config;
}
