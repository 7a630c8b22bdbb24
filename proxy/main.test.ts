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
  test("for --version and --help: the command line alone", () => {
    expect(loadedWith("main.ts")).toEqual(["daemon/own-command.ts", "exit-code.ts", "main.ts", "tools/arguments.ts", "version.ts"]);
  });

  test("for --status: the question besides, nothing of the kernel side, of rules, or of packages", () => {
    const loaded = loadedWith("main.ts", "tools/status/status.ts");
    expect(loaded).toContain("tools/status/ask-provision.ts");
    expect(loaded.filter((path) => path.startsWith("adapters/"))).toEqual([
      "adapters/proc/network-namespace.ts",
      "adapters/storage/find-config.ts",
    ]);
    expect(loaded.filter((path) => path.startsWith("daemon/"))).toEqual(["daemon/own-command.ts"]);
    expect(loaded.length).toBeLessThan(19);
  });

  test("the walk sees what the daemon loads", () => {
    const loaded = loadedWith("daemon/run.ts");
    for (const path of ["daemon/agent.ts", "adapters/ebpf/libbpf.ts", "adapters/policy/component.ts"]) expect(loaded).toContain(path);
  });
});
