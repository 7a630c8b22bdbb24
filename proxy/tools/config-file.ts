// The agent's config as commands read it: the file that --config names or the agent's own, with errors and unknown keys on standard
// error. The daemon reads it with the same reader.

import { type ConfigFileError, type LoadedConfig, readConfigFile } from "../adapters/storage/config-file.ts";
import { renderUnknownKey } from "../core/config.ts";
import { err, ok, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { EXIT } from "../exit-code.ts";
import { type Told, warn } from "./output.ts";

/** @param named - the value of --config */
export function readConfig(named: string | undefined): Told<LoadedConfig> {
  return report(readConfigFile(named));
}

/** For commands that can do without: undefined where the command line names none and the agent has none. */
export function readOptionalConfig(named: string | undefined): Told<LoadedConfig | undefined> {
  const config = readConfigFile(named);
  return !config.ok && config.error.kind === "missing" && named === undefined ? ok(undefined) : report(config);
}

function report(config: Result<LoadedConfig, ConfigFileError>): Told<LoadedConfig> {
  if (!config.ok) {
    // One line, however long: it names line, column and key, and is searched for.
    process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(config.error.message)}\n`);
    return err(EXIT.config);
  }
  for (const key of config.value.unknownKeys) warn(renderUnknownKey(config.value.path, key));
  return config;
}
