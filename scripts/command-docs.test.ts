// What is made from the tables of the commands is what is in the tree, and every command, option and exit code is in it.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXIT } from "../proxy/exit-code.ts";
import { BUSY_MACHINE_MS } from "../test/support/timeouts.ts";
import { makeCommandDocs } from "./command-docs.ts";
import { listCommands } from "./command-list.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const specs = (await listCommands()).flatMap((command) => command.specs);

describe("what is made from the tables", () => {
  test("is in the tree as it is made: bun run commands", async () => {
    const made = await makeCommandDocs(read);
    expect(made.length).toBe(4);
    for (const { path, text } of made) expect([path, existsSync(join(ROOT, path)) && read(path)]).toEqual([path, text]);
  });

  test("the man page has every command with every option, and every exit code", () => {
    const page = read("debian/azure-proxy-agent.8").replaceAll("\\-", "-");
    expect(specs.length).toBeGreaterThan(30);
    for (const { name, options } of specs) {
      const section = page.split(`\n.SS "${name}"\n`)[1]?.split(/^\.S[SH] /m)[0] ?? "";
      for (const option of Object.keys(options)) expect([name, section]).toEqual([name, expect.stringContaining(`--${option}\\fR`)]);
    }
    for (const code of Object.values(EXIT)) expect(page).toContain(`\n.B ${code}\n`);
  });

  test("docs/operations.md has every command and every exit code", () => {
    const page = read("docs/operations.md");
    for (const { name } of specs) expect(page).toMatch(new RegExp(`^\\| \`${name}[ \`]`, "m"));
    for (const code of Object.values(EXIT)) expect(page).toMatch(new RegExp(`^\\| ${code} \\| `, "m"));
  });

  test("marks that are missing are an error, not a page without its tables", () => {
    expect(makeCommandDocs((path) => (path.endsWith(".md") ? "# no marks" : read(path)))).rejects.toThrow("found no marks");
  });
});

describe("completion in bash", () => {
  const script = join(ROOT, "debian/completions/bash/azure-proxy-agent");

  /** What is offered for the last word; readline splits at "=". */
  function complete(line: string, folder = "/nonexistent"): readonly string[] {
    const words = line.split(/(=)|\s+/).filter((word) => word !== undefined);
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const code = `. '${script}'; COMP_WORDS=(${quoted}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _azure_proxy_agent; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const run = Bun.spawnSync(["bash", "--norc", "-uc", code], { cwd: existsSync(folder) ? folder : "/" });
    expect([line, run.stderr.toString()]).toEqual([line, ""]);
    return run.stdout
      .toString()
      .split("\n")
      .filter((word) => word !== "");
  }

  test.each<[string, readonly string[]]>([
    ["azure-proxy-agent po", ["policy"]],
    ["azure-proxy-agent re", ["release", "report"]],
    ["azure-proxy-agent --st", ["--status"]],
    ["azure-proxy-agent --status --wa", ["--wait"]],
    ["azure-proxy-agent policy ex", ["explain"]],
    ["azure-proxy-agent policy check --en", ["--endpoint"]],
    ["azure-proxy-agent policy check --endpoint h", ["hostga"]],
    ["azure-proxy-agent policy check --endpoint=h", ["hostga"]],
    ["azure-proxy-agent policy check --endpoint=", ["wireserver", "hostga", "imds"]],
    ["azure-proxy-agent module new --language ", ["ts", "as", "c", "rust"]],
    ["azure-proxy-agent module audit o", ["on", "off"]],
    ["azure-proxy-agent help mod", ["module"]],
    ["azure-proxy-agent help module comp", ["componentize"]],
    ["azure-proxy-agent audit tail --lines ", []],
    ["azure-proxy-agent nonsense x", []],
    ["azure-proxy-agent doctor --nonsense", []],
  ])("%p gives %j", (line, words) => {
    expect(complete(line)).toEqual([...words]);
  });

  test("offers every command and every option", async () => {
    for (const { word } of await listCommands()) expect(complete("azure-proxy-agent ")).toContain(word);
    for (const { name, options } of specs)
      for (const option of Object.keys(options))
        expect([name, complete(`azure-proxy-agent ${name} -`)]).toEqual([name, expect.arrayContaining([`--${option}`])]);
  }, 60_000);

  test("offers files where a file is wanted", () => {
    const folder = mkdtempSync(join(tmpdir(), "apa-complete-"));
    try {
      writeFileSync(join(folder, "rules.json"), "");
      for (const line of ["policy check ru", "policy explain --rules ru", "policy explain --rules=ru", "report --status ru", "--config ru"])
        expect([line, complete(`azure-proxy-agent ${line}`, folder)]).toEqual([line, ["rules.json"]]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

const ZSH = Bun.which("zsh");

describe("completion in zsh", () => {
  const script = read("debian/completions/zsh/_azure-proxy-agent");

  test("begins as zsh looks for it, and has every command and option", () => {
    expect(script).toStartWith("#compdef azure-proxy-agent\n");
    for (const { name, options } of specs) {
      expect(script).toContain(`${name.split(" ").at(-1)}`);
      for (const option of Object.keys(options)) expect(script).toContain(`--${option}`);
    }
  });

  test.skipIf(ZSH === null)("zsh reads it", () => {
    const run = Bun.spawnSync([ZSH ?? "", "-n", join(ROOT, "debian/completions/zsh/_azure-proxy-agent")]);
    expect([run.exitCode, run.stderr.toString()]).toEqual([0, ""]);
  });
});
