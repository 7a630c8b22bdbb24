// The agent's config as commands read it: the file that --config names or the agent's own, with unknown keys on standard error. The
// daemon reads it with the same reader.

import { type ConfigFileError, type LoadedConfig, readConfigFile } from "../adapters/storage/config-file.ts";
import { renderUnknownKey } from "../core/config.ts";
import { err, ok, type Result } from "../core/result.ts";
import { type Tool, warn } from "./output.ts";

/** @param named - the value of --config */
export function readConfig(named: string | undefined): Tool<LoadedConfig> {
  return report(readConfigFile(named));
}

/** For commands that can do without: undefined where the command line names none and the agent has none. */
export function readOptionalConfig(named: string | undefined): Tool<LoadedConfig | undefined> {
  const config = readConfigFile(named);
  return !config.ok && config.error.kind === "missing" && named === undefined ? ok(undefined) : report(config);
}

function report(config: Result<LoadedConfig, ConfigFileError>): Tool<LoadedConfig> {
  if (!config.ok) return err({ kind: "config", message: config.error.message });
  for (const key of config.value.unknownKeys) warn(renderUnknownKey(config.value.path, key));
  return config;
}
