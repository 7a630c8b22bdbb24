// The policy guide shows what the tools print: each of its console blocks is run, and must come out as it stands there.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runPolicyTool, splitCommand } from "../support/policy-cli.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");
const GUIDE = readFileSync(join(ROOT, "docs/policy-guide.md"), "utf8");
const BLOCKS = [...GUIDE.matchAll(/^```console\n\$ azure-proxy-agent policy (.+)\n([\s\S]*?)^```$/gm)].map(
  ([, command = "", output = ""]) => ({
    command,
    output,
  }),
);

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "apa-guide-"));
  cpSync(join(ROOT, "docs/examples/first-policy"), folder, { recursive: true });
  chmodSync(folder, 0o777);
  const compiled = await runPolicyTool(["compile", "rules.json", "-o", "policy.wasm"], { cwd: folder });
  if (compiled.code !== 0) throw new Error(compiled.err);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Policy ids and sizes change with the engine. */
function withoutHashes(text: string): string {
  return text.replace(/\b[0-9a-f]{16,64}\b/g, "ID").replace(/\b[0-9]+ bytes/g, "N bytes");
}

describe("docs/policy-guide.md", () => {
  test("shows every tool for people", () => {
    const shown = new Set(BLOCKS.map(({ command }) => splitCommand(command)[0]));
    expect([...shown].sort()).toEqual(["check", "diff", "explain", "inspect", "replay", "simulate", "test"]);
  });

  test.each(BLOCKS.map(({ command, output }) => [command, output] as const))("shows what `policy %s` prints", async (command, output) => {
    const { code, out } = await runPolicyTool(splitCommand(command), { cwd: folder });
    const printed = code === 0 ? out : `${out}[exit ${code}]\n`;
    expect(withoutHashes(printed)).toBe(withoutHashes(output));
  });
});
