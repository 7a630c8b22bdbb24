// Reads the config file, for the daemon and for every command: the same search order, the same errors. Writes nothing.

import { readFileSync } from "node:fs";
import { type ParsedConfig, parseConfig, renderConfigError } from "../../core/config.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError, errorCode } from "../../core/thrown.ts";
import { findConfig } from "./find-config.ts";

export interface LoadedConfig extends ParsedConfig {
  readonly path: string;
}

export interface ConfigFileError {
  readonly path: string;
  /** `missing`: there is no such file. */
  readonly kind: "missing" | "unreadable" | "unusable";
  /** One line, for people: what was done, the path, line and column, found and wanted. */
  readonly message: string;
}

/** @param named - the file that the command line names; undefined: the one that {@link findConfig} finds */
export function readConfigFile(named: string | undefined): Result<LoadedConfig, ConfigFileError> {
  const path = named ?? findConfig();
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = errorCode(error);
    const kind = code === "ENOENT" || code === "ENOTDIR" ? "missing" : "unreadable";
    const cause = kind === "missing" ? "no such file" : describeError(error);
    return err({ path, kind, message: `cannot read config "${path}": ${cause}` });
  }
  const parsed = parseConfig(bytes, process.env);
  return parsed.ok ? ok({ path, ...parsed.value }) : err({ path, kind: "unusable", message: renderConfigError(path, parsed.error) });
}
