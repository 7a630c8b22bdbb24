// Makes and builds modules as their authors do, by the template's own build script, with the tools of this repository.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const NPM = join(ROOT, "node_modules");

export interface Run {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder of its own, removed at the end of its scope, with an `azure-proxy-agent` that runs from the sources. */
export class ModuleWorkshop {
  readonly folder = mkdtempSync(join(tmpdir(), "policy-module-"));
  readonly #agent = join(this.folder, "azure-proxy-agent");

  constructor() {
    writeFileSync(this.#agent, `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "proxy/main.ts")}" "$@"\n`);
    chmodSync(this.#agent, 0o755);
  }

  /** `azure-proxy-agent …`, in the workshop's folder. */
  agent(...argv: readonly string[]): Run {
    return this.run([this.#agent, ...argv]);
  }

  /** `./build` of a module's folder. */
  build(module: string, environment: Readonly<Record<string, string>> = {}): Run {
    return this.run([join(this.folder, module, "build")], environment);
  }

  run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Run {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
      cwd: this.folder,
      stdout: "pipe",
      stderr: "pipe",
      env: {
        ...process.env,
        AZURE_PROXY_AGENT: this.#agent,
        ASC: join(NPM, "assemblyscript/bin/asc.js"),
        JCO: join(NPM, "@bytecodealliance/jco/dist/jco.js"),
        TSC: join(NPM, "typescript/bin/tsc"),
        JS_RUNTIME: process.execPath,
        ...environment,
      },
    });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
