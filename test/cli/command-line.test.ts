// The one command line: the same help, refusals and exit codes for every command, held against the tables that make them.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listCommands } from "../../scripts/command-list.ts";
import { runCommand } from "../support/policy-cli.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const commands = await listCommands();
const specs = commands.flatMap((command) => command.specs);
const REFUSAL = /^azure-proxy-agent: [^\n]+; see "azure-proxy-agent[a-z ]* --help"\n$/;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-line-"));
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
}

describe("help", () => {
  test.each([[["help"]], [["--help"]], [["-h"]], [["help", "help"]], [["--config", "x", "--help"]]])(
    "%j lists every command",
    async (argv) => {
      const { code, out, err } = await runCommand(argv);
      expect([code, err]).toEqual([0, ""]);
      for (const { word, does } of commands) expect(out.replaceAll(/\s+/g, " ")).toContain(`${word} ${does}`);
    },
  );

  test.each(commands.filter(({ isGroup }) => isGroup).map(({ word }) => word))("%s --help lists its commands", async (word) => {
    const [direct, long] = await Promise.all([runCommand([word, "--help"]), runCommand(["help", word])]);
    expect(direct).toEqual(long);
    expect([direct.code, direct.err]).toEqual([0, ""]);
    for (const { name, does } of specs.filter(({ name: each }) => each.startsWith(`${word} `)))
      expect(direct.out.replaceAll(/\s+/g, " ")).toContain(`${name.split(" ")[1]} ${does}`);
  });

  test.each(specs.map(({ name }) => name))("%s --help has every option, fits a terminal, and is what help prints", async (name) => {
    const words = name.split(" ");
    const [direct, long] = await Promise.all([runCommand([...words, "-h"]), runCommand(["help", ...words])]);
    expect(direct).toEqual(long);
    expect([direct.code, direct.err]).toEqual([0, ""]);
    const spec = specs.find((each) => each.name === name);
    for (const option of Object.keys(spec?.options ?? {})) expect(direct.out).toContain(`--${option}`);
    expect(direct.out).toMatch(/\nExit codes: [\s\S]*\b64\s+wrong\s/);
    expect(direct.out.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });
});

describe("version", () => {
  test.each([
    [["version"]],
    [["--version"]],
    [["-v"]],
    [["-V"]],
    [["--nonsense", "-V"]],
    [["console", "--version"]],
    [["run", "-v"]],
    [["--status", "-v"]],
  ])("%j prints it and nothing else", async (argv) => {
    expect(await runCommand(argv)).toEqual({ code: 0, out: "0.0.0-checkout\n", err: "" });
  });
});

describe("a wrong command line is refused in one line", () => {
  test.each([
    [["polcy"], 'unknown command "polcy" (did you mean "policy"?)'],
    [["Policy"], '(did you mean "policy"?)'],
    [["start"], 'unknown command "start"; see'],
    [["toString"], 'unknown command "toString"; see'],
    [["__proto__"], 'unknown command "__proto__"; see'],
    [["help", "polcy"], '(did you mean "policy"?)'],
    [["help", "policy", "chekc"], '(did you mean "check"?)'],
    [["policy", "chekc"], 'unknown policy command "chekc" (did you mean "check"?)'],
    [["policy", "--jsn"], 'unknown option "--jsn"'],
    [["module", "addd"], '(did you mean "add"?)'],
    [["audit", "shred"], 'unknown audit command "shred"'],
    [["--statsu"], '(did you mean "--status"?)'],
    [["--config", "/a", "policy"], 'unexpected operand "policy"'],
    [["--wait", "5"], "--wait goes with --status only"],
    [["-w", "5"], "--wait goes with --status only"],
    [["--status", "--wait"], "--wait wants a value"],
    [["--status", "--wait", "86401"], "from 0 to 86400"],
    [["--status", "-s"], "-s is given twice"],
    [["--status=yes"], "takes no value"],
    [["--status", "5"], 'unexpected operand "5"'],
    [["--status", "console"], 'unexpected operand "console"'],
    [["console", "--status"], 'unknown option "--status"'],
    [["--config"], "--config wants a value"],
    [["--config="], "--config wants a value"],
    [["version", "x"], "version takes no operand"],
    [["polcy\u001b[2J\n"], 'unknown command "polcy\\u001b[2J\\n"'],
  ])("%j", async (argv, words) => {
    const { code, out, err } = await runCommand(argv);
    expect([code, out]).toEqual([64, ""]);
    expect(err).toMatch(REFUSAL);
    expect(err).toContain(words);
  });

  test.each(specs.map(({ name }) => name))("%s: an unknown option, and one given twice", async (name) => {
    const words = name.split(" ");
    const spec = specs.find((each) => each.name === name);
    const unknown = await runCommand([...words, "--jsonn=1"]);
    expect([unknown.code, unknown.out]).toEqual([64, ""]);
    expect(unknown.err).toMatch(REFUSAL);
    expect(unknown.err).toContain(`unknown option "--jsonn"`);
    expect(unknown.err).toContain(`see "azure-proxy-agent ${name} --help"`);
    const [option, kind] = Object.entries(spec?.options ?? {}).find(([, each]) => each.kind === "flag" || each.kind === "text") ?? [];
    const given = kind?.kind === "flag" ? [`--${option}`] : [`--${option}`, "/nonexistent"];
    const twice = await runCommand([...words, ...given, ...given]);
    expect([twice.code, twice.err]).toEqual([
      64,
      `azure-proxy-agent: --${option} is given twice; see "azure-proxy-agent ${name} --help"\n`,
    ]);
  });

  test.each(commands.filter(({ isGroup }) => isGroup).map(({ word }) => word))("%s alone is its help, on standard error", async (word) => {
    const { code, out, err } = await runCommand([word]);
    expect([code, out]).toEqual([64, ""]);
    expect(err).toBe((await runCommand([word, "--help"])).out);
  });
});

describe("exit codes mean the same everywhere", () => {
  const RULES = join(import.meta.dir, "../../docs/examples/first-policy/rules.json");
  const CALLER = ["--request", "/x", "--caller", "userName=a"];

  test.each<[readonly string[]]>([
    [["policy", "check", "MISSING"]],
    [["policy", "explain", "--rules", "MISSING", ...CALLER]],
    [["policy", "simulate", "--rules", "MISSING", ...CALLER]],
    [["policy", "simulate", "--rules", RULES, "--request", "/x", "--caller", "MISSING"]],
    [["policy", "test", "MISSING"]],
    [["policy", "diff", RULES, "MISSING"]],
    [["policy", "diff", "MISSING", RULES]],
    [["policy", "compile", "MISSING", "-o", "x.wasm"]],
    [["policy", "inspect", "MISSING"]],
    [["policy", "replay", "--rules", RULES, "MISSING"]],
    [["policy", "suggest", "MISSING"]],
    [["report", "--status", "MISSING"]],
    [["report", "--from-log", "MISSING"]],
    [["audit", "verify", "--folder", "MISSING"]],
    [["audit", "verify", "--folder", "MISSING", "--journal", "MISSING"]],
    [["audit", "tail", "--folder", "MISSING"]],
    [["audit", "export", "--folder", "MISSING"]],
    [["module", "inspect", "MISSING"]],
    [["module", "test", "MISSING"]],
    [["module", "run", "MISSING", ...CALLER]],
    [["module", "bench", "MISSING", ...CALLER]],
    [["module", "componentize", "MISSING", "-o", "x.wasm"]],
  ])("66: an input is missing: %j", async (argv) => {
    const missing = join(folder, "missing.x");
    const { code, out, err } = await runCommand(argv.map((word) => (word === "MISSING" ? missing : word)));
    expect([code, out]).toEqual([66, ""]);
    expect(err).toStartWith("azure-proxy-agent: cannot ");
  });

  test.each<[readonly string[]]>([
    [["policy", "check", "EMPTY"]],
    [["policy", "test", "EMPTY"]],
    [["policy", "inspect", "EMPTY"]],
    [["policy", "replay", "--rules", RULES, "EMPTY"]],
    [["report", "--status", "EMPTY"]],
    [["audit", "verify", "--folder", "."]],
  ])("66: an input is not what is wanted: %j", async (argv) => {
    const empty = write("empty", "");
    const { code } = await runCommand(
      argv.map((word) => (word === "EMPTY" ? empty : word)),
      { cwd: folder },
    );
    expect(code).toBe(66);
  });

  const USES_CONFIG: readonly (readonly string[])[] = [
    ["report"],
    ["audit", "verify"],
    ["audit", "tail"],
    ["audit", "export"],
    ["module", "list"],
    ["module", "inspect", "name"],
    ["module", "remove", "name"],
    ["module", "order", "name", "--first"],
    ["module", "settings", "name", "--none"],
    ["module", "run", "name", ...CALLER],
    ["module", "add", "x.wasm", "--name", "x"],
  ];

  test.each(USES_CONFIG.map((argv) => [argv]))("78: a config that cannot be used, with line and column: %j", async (argv) => {
    const broken = write("broken.json", '{\n  "logFolder": "",\n  "logFolder": ""\n}\n');
    const wanted = `azure-proxy-agent: cannot use config "${broken}": line 3, column 3: found member "logFolder" again, want each member once\n`;
    expect(await runCommand([...argv, "--config", broken])).toEqual({ code: 78, out: "", err: wanted });
    const gone = await runCommand([...argv, `--config=${broken}.gone`]);
    expect(gone).toEqual({ code: 78, out: "", err: `azure-proxy-agent: cannot read config "${broken}.gone": no such file\n` });
  });

  test("a key that is unknown is a warning with the nearest one", async () => {
    const config = write(
      "typo.json",
      JSON.stringify({
        ...{ logFolder: "", eventFolder: "", latchKeyFolder: "/nonexistent/keys", monitorIntervalInSeconds: 60 },
        ...{ pollKeyStatusIntervalInSeconds: 15, ebpfProgramName: "x.o", auditFoldr: "/nonexistent/audit" },
      }),
    );
    const { err } = await runCommand(["audit", "tail", "--config", config]);
    expect(err.replaceAll(/\s+/g, " ")).toContain('unknown key "auditFoldr" has no effect; did you mean "auditFolder"?');
  });

  test("doctor reports the same config error as a finding", async () => {
    const broken = write("doctor.json", '{\n  "logFolder": 7\n}\n');
    const { code, out } = await runCommand(["doctor", "--json", "--config", broken]);
    expect(code).toBe(1);
    const found = JSON.parse(out).findings.find(({ check }: { check: string }) => check === "config");
    expect(found).toMatchObject({
      health: "fail",
      found: `cannot use config "${broken}": line 2, column 16: key "logFolder": found 7, want an absolute folder path`,
    });
  });
});
