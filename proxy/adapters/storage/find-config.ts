// Finds the config when the command line names none: for all that read it, and for `--status`, which reads one key of it.

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export const DEFAULT_CONFIG_PATH = "/etc/azure/proxy-agent.json";

/** The installed one, or else the one next to the program. */
export function findConfig(): string {
  const beside = join(dirname(process.execPath), "proxy-agent.json");
  return !existsSync(DEFAULT_CONFIG_PATH) && existsSync(beside) ? beside : DEFAULT_CONFIG_PATH;
}
