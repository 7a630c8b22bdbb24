// A folder with a config, trusted keys and an empty store of modules, for tests that run the module commands as processes.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand, type ToolRun } from "./policy-cli.ts";

export interface ModuleFolder extends Disposable {
  readonly path: string;
  readonly store: string;
  readonly keys: string;
  /** Writes a file that everybody may read and gives its path. */
  write(name: string, content: string | Uint8Array): string;
  writeConfig(more?: Readonly<Record<string, unknown>>): void;
  /** `module …` with the config, as whoever runs the tests. */
  module(...argv: readonly string[]): Promise<ToolRun>;
  /** The installed modules as their file has them. */
  installed(): readonly Readonly<Record<string, unknown>>[];
  /** Every file in the store with its content, to see that nothing has changed. */
  snapshot(): string;
}

export function makeModuleFolder(): ModuleFolder {
  const path = mkdtempSync(join(tmpdir(), "apa-modules-"));
  chmodSync(path, 0o755);
  const store = join(path, "lib", "modules");
  const keys = join(path, "trusted-keys");
  const config = join(path, "config.json");
  for (const folder of [join(path, "lib"), keys, join(path, "status")]) mkdirSync(folder, { mode: 0o755 });
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(path, name), content, { mode: 0o644 });
    return join(path, name);
  };
  const writeConfig = (more: Readonly<Record<string, unknown>> = {}): void => {
    const keysOfConfig = {
      logFolder: "",
      eventFolder: "",
      latchKeyFolder: join(path, "lib", "keys"),
      statusFolder: join(path, "status"),
      monitorIntervalInSeconds: 60,
      pollKeyStatusIntervalInSeconds: 15,
      ebpfProgramName: "ebpf_cgroup.o",
      trustedKeysFolder: keys,
    };
    writeFileSync(config, JSON.stringify({ ...keysOfConfig, ...more }), { mode: 0o644 });
  };
  writeConfig();
  return {
    path,
    store,
    keys,
    write,
    writeConfig,
    module: (...argv) => runCommand(["module", ...argv, "--config", config], { cwd: path, asSelf: true }),
    installed: () => (existsSync(join(store, "index.json")) ? JSON.parse(readFileSync(join(store, "index.json"), "utf8")).modules : []),
    snapshot: () =>
      existsSync(store)
        ? readdirSync(store, { recursive: true, encoding: "utf8" })
            .filter((name) => name !== ".lock")
            .sort()
            .join("\n") + (existsSync(join(store, "index.json")) ? readFileSync(join(store, "index.json"), "utf8") : "")
        : "",
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
