// Installs policy modules in a rig's agent by the built module commands, as an operator would.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AGENT, type Rig } from "./rig.ts";

const LIMIT_MS = 30_000;

/** Ends when the running agent has it in force. */
export async function installModule(rig: Rig, component: Uint8Array, name: string, options: readonly string[] = []): Promise<void> {
  const file = join(rig.folder, `${name}.wasm`);
  writeFileSync(file, component);
  moduleCommand(rig, "add", file, "--name", name, ...options);
}

/** A `module` command; throws with its own words when it fails. */
export function moduleCommand(rig: Rig, ...argv: readonly string[]): string {
  const command = ["module", ...argv, "--config", join(rig.folder, "proxy-agent.json")];
  const { status, stdout, stderr } = spawnSync(AGENT, command, { env: {}, encoding: "utf8", timeout: LIMIT_MS });
  if (status !== 0) throw new Error(`cannot measure: ${argv[0] ?? "module"} ended with ${status}: ${stderr}`);
  return stdout;
}
