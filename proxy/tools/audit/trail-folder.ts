// Which decision trail a command reads: the one that is named, else that of the config, else the usual one.

import { ok } from "../../core/result.ts";
import type { OptionValues } from "../command-line/spec.ts";
import { readOptionalConfig } from "../config-file.ts";
import type { Tool } from "../output.ts";
import type { TRAIL_OPTIONS } from "./table.ts";

/** Where the package has it. */
const DEFAULT_FOLDER = "/var/lib/azure-proxy-agent/audit";

export function findTrailFolder({ folder, config }: OptionValues<typeof TRAIL_OPTIONS>): Tool<string> {
  if (folder !== undefined) return ok(folder);
  const loaded = readOptionalConfig(config);
  if (!loaded.ok) return loaded;
  const configured = loaded.value?.config.auditFolder ?? "";
  return ok(configured === "" ? DEFAULT_FOLDER : configured);
}
