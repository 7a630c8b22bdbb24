// A config as the agent reads it, of folders that nobody else uses.

import { type Config, parseConfig } from "../../proxy/core/config.ts";

/** @param more - keys of the file, by the file's names */
export function makeConfig(folder: string, more: Readonly<Record<string, unknown>> = {}): Config {
  const keys = {
    ...{ logFolder: "", eventFolder: "", latchKeyFolder: `${folder}/keys`, statusFolder: `${folder}/status` },
    ...{ monitorIntervalInSeconds: 60, pollKeyStatusIntervalInSeconds: 15, ebpfProgramName: "ebpf_cgroup.o" },
    ...more,
  };
  const parsed = parseConfig(JSON.stringify(keys), {});
  if (!parsed.ok) throw new Error(`internal error: config: ${JSON.stringify(parsed.error)}`);
  return parsed.value.config;
}
