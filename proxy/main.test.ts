import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";

const PROXY = import.meta.dir;

/** All files of ours that are loaded with these, by their static imports, as paths below proxy/. */
function loadedWith(...paths: readonly string[]): readonly string[] {
  const seen = new Set<string>();
  const open = paths.map((path) => join(PROXY, path));
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    for (const [, clause = "", found = ""] of readFileSync(path, "utf8").matchAll(/^(?:import|export) ([^;]*?)from "([^"]+)";$/gms)) {
      if (found.startsWith(".") && !clause.startsWith("type ")) open.push(join(path, "..", found));
    }
  }
  return [...seen].map((path) => relative(PROXY, path)).sort();
}

describe("what is loaded", () => {
  const COMMAND_LINE = [
    "commands.ts",
    "core/result.ts",
    "daemon/own-command.ts",
    "exit-code.ts",
    "main.ts",
    "tools/command-line/command.ts",
    "tools/command-line/parse.ts",
    "tools/command-line/service-manager.ts",
    "tools/command-line/spec.ts",
    "tools/status/table.ts",
    "version.ts",
  ];

  test("for --version, and before the daemon: the command line alone", () => {
    expect(loadedWith("main.ts")).toEqual(COMMAND_LINE);
  });

  test("for --status: the question besides, nothing of the kernel side, of rules, or of packages", () => {
    const loaded = loadedWith("main.ts", "tools/status/status.ts");
    expect(loaded).toContain("tools/status/ask-provision.ts");
    expect(loaded.filter((path) => path.startsWith("adapters/"))).toEqual([
      "adapters/proc/network-namespace.ts",
      "adapters/storage/find-config.ts",
    ]);
    expect(loaded.filter((path) => path.startsWith("daemon/"))).toEqual(["daemon/own-command.ts"]);
    expect(loaded.length).toBeLessThan(COMMAND_LINE.length + 15);
  });

  test("for the help of a command: its table, not its code", () => {
    const loaded = loadedWith(
      "tools/policy/commands.ts",
      "tools/module/commands.ts",
      "tools/audit/commands.ts",
      "tools/command-line/help.ts",
    );
    expect(loaded.filter((path) => /^(?:daemon|adapters)\//.test(path))).toEqual([]);
    expect(loaded.filter((path) => path.startsWith("tools/") && !/\/(?:table|commands)\.ts$|command-line/.test(path))).toEqual([]);
  });

  test("the walk sees what the daemon loads", () => {
    const loaded = loadedWith("daemon/run.ts");
    // None of a tool's code.
    expect(loaded.filter((path) => path.startsWith("tools/"))).toEqual([]);
    for (const path of ["daemon/agent.ts", "adapters/ebpf/libbpf.ts", "adapters/policy/component.ts"]) expect(loaded).toContain(path);
  });
});
