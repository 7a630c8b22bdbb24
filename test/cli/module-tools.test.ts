// The module commands as operators run them: as processes, good input and bad. The store is in a folder of the test's own.

import { afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SAMPLE_CASES, sampleComponent } from "../support/module-component.ts";
import { type ModuleFolder, makeModuleFolder } from "../support/module-store-folder.ts";
import { RUNS_WITHOUT_ROOT, runCommand, type ToolRun } from "../support/policy-cli.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const PATIENCE_MS = 240_000;
const TOOLS = [
  "new",
  "componentize",
  "add",
  "list",
  "inspect",
  "remove",
  "enable",
  "disable",
  "pin",
  "audit",
  "order",
  "settings",
  "test",
  "run",
  "bench",
] as const;
const MINISIGN = Bun.which("minisign");

let sample: Uint8Array;
let other: Uint8Array;
let folder: ModuleFolder;

beforeAll(async () => {
  sample = await sampleComponent();
  other = await sampleComponent("other");
});

beforeEach(() => {
  folder = makeModuleFolder();
  folder.write("sample.wasm", sample);
  folder.write("other.wasm", other);
  folder.write("cases.json", JSON.stringify(SAMPLE_CASES));
});

afterEach(() => folder[Symbol.dispose]());

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

async function expectOk(run: Promise<ToolRun>): Promise<ToolRun> {
  const done = await run;
  if (done.code !== 0) throw new Error(`exit ${done.code}: ${done.err}`);
  return done;
}

/** The command says no in one line and nothing in the store has changed. */
async function expectRefused(run: () => Promise<ToolRun>, message: string, code = 1): Promise<void> {
  const before = folder.snapshot();
  const { code: found, err, out } = await run();
  expect([found, out]).toEqual([code, ""]);
  expect(err.replaceAll("\n", " ")).toContain(message);
  if (code === 1)
    expect(
      err
        .trimEnd()
        .split("\n")
        .filter((line) => line.startsWith("azure-proxy-agent: ")),
    ).toHaveLength(1);
  expect(folder.snapshot()).toBe(before);
}

describe("module", () => {
  test.each(TOOLS)("%s --help fits a terminal and needs nothing else", async (tool) => {
    const { code, out, err } = await runCommand(["module", tool, "--help"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toStartWith(`azure-proxy-agent module ${tool}`);
    expect(out).toContain("Exit codes:");
    expect(out.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });

  test("--help lists every tool", async () => {
    const { code, out } = await runCommand(["module", "--help"]);
    expect(code).toBe(0);
    for (const tool of TOOLS) expect(out).toContain(`\n  ${tool} `);
  });

  test.each([
    "",
    "ad x",
    "toString",
    "add",
    "add x.wasm",
    "add x.wasm --name",
    "add x.wasm --name Upper",
    "add x.wasm --name ../x",
    "add x.wasm --name x --endpoint moon",
    "add x.wasm --name x --endpoint imds,imds",
    "add x.wasm --name x --header a:b",
    "add x.wasm --name x --header A --header a",
    "add x.wasm --name x --fuel 5",
    "add x.wasm --name x --fuel 1e7",
    "add x.wasm --name x --memory 100000",
    "add x.wasm --name x --memory 1g",
    "add x.wasm --name x --reason 257",
    "add x.wasm --name x --first --last",
    "add x.wasm --name x --sha256 abc",
    "list x",
    "inspect",
    "inspect x.wasm --settings",
    "remove",
    "enable",
    "audit on",
    "audit maybe x",
    "order x",
    "order x --first --before y",
    "pin x --off --sha256 abc",
    "pin x y",
    "settings x",
    "settings x f --none",
    "test",
    "test installed",
    "test x.wasm --tap --json",
    "run x.wasm",
    "run x.wasm --request /x --caller userId=1 --endpoint moon",
    "run x.wasm --request /x --caller userId=1 --header nothing",
    "run x.wasm --request /x --caller userId=1 --so-far maybe",
    "bench x.wasm --calls 0",
  ])(
    "refuses the command line %p with 64",
    async (line) => {
      const { code, out, err } = await folder.module(...(line === "" ? [] : line.split(" ")));
      expect([code, out]).toEqual([64, ""]);
      expect(err).toStartWith("azure-proxy-agent: ");
    },
    PATIENCE_MS,
  );
});

describe("module add", () => {
  test("checks, tries and installs; list and inspect show it", async () => {
    const argv = ["--cases", "cases.json", "--endpoint", "imds", "--header", "Metadata", "--fuel", "20000000", "--memory", "1m"];
    const added = await expectOk(folder.module("add", "sample.wasm", "--name", "one", ...argv));
    expect(added.out).toContain('module "one" installed');
    expect(added.out).toContain("9 cases hold");
    expect(folder.installed()).toMatchObject([
      {
        name: "one",
        enabled: true,
        audit: false,
        endpoints: ["imds"],
        headers: ["metadata"],
        budgets: { fuel: 20_000_000, memoryBytes: 1024 * 1024, reasonBytes: 256 },
        componentSha256: sha256(sample),
        worldVersion: "1.0.0",
        pinned: false,
      },
    ]);
    const listed = await expectOk(folder.module("list"));
    expect(listed.out).toContain("1 one  enabled, unsigned, at imds, ");
    const json = JSON.parse((await expectOk(folder.module("inspect", "one", "--json"))).out);
    expect(json).toMatchObject({ name: "one", settingsBytes: 0, troubles: [], facts: { worldVersion: "1.0.0" } });
  });

  test("takes the budgets of the config where none are given", async () => {
    folder.writeConfig({ moduleBudgets: { fuel: 50_000_000 } });
    await expectOk(folder.module("add", "sample.wasm", "--name", "one"));
    expect(folder.installed()).toMatchObject([{ budgets: { fuel: 50_000_000 } }]);
  });

  test("--dry-run does everything but install", async () => {
    const { out } = await expectOk(folder.module("add", "sample.wasm", "--name", "one", "--cases", "cases.json", "--dry-run"));
    expect(out).toContain("would be installed");
    expect(folder.snapshot()).toBe("");
  });

  test(
    "a bad module leaves nothing behind, and the line names what is wrong and where",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "kept"));
      const bad: readonly (readonly [name: string, bytes: Uint8Array, message: string])[] = [
        ["empty.wasm", new Uint8Array(0), "offset 0"],
        ["text.wasm", Buffer.from("not wasm at all"), "offset 0"],
        ["cut.wasm", sample.subarray(0, sample.length - 20), "at offset "],
        ["simd.wasm", await sampleComponent("x", "(func (drop (i32.atomic.load (i32.const 0))))"), "opcode"],
      ];
      for (const [name, bytes, message] of bad) {
        folder.write(name, bytes);
        await expectRefused(() => folder.module("add", name, "--name", "bad"), message);
      }
    },
    PATIENCE_MS,
  );

  test("T-127: refuses settings that the module refuses, in the module's words, which move no terminal", async () => {
    folder.write("settings", "!\u001b[2J");
    await expectRefused(
      () => folder.module("add", "sample.wasm", "--name", "x", "--settings", "settings"),
      "no exclamation\\u001b[2J marks, please",
    );
  });

  test("refuses a module whose cases do not hold, and shows which", async () => {
    folder.write("wrong.json", JSON.stringify({ cases: [{ ...SAMPLE_CASES.cases[0], name: "not so", expect: "deny" }] }));
    await expectRefused(() => folder.module("add", "sample.wasm", "--name", "x", "--cases", "wrong.json"), '"not so"     request GET');
  });

  test("refuses what is too large, unreadable, or has another hash", async () => {
    folder.write("large.wasm", new Uint8Array(16 * 1024 * 1024 + 1));
    folder.write("large-settings", new Uint8Array(1024 * 1024 + 1));
    await expectRefused(() => folder.module("add", "large.wasm", "--name", "x"), "found more than 16777216 bytes", 66);
    await expectRefused(() => folder.module("add", "missing.wasm", "--name", "x"), "no such file", 66);
    await expectRefused(() => folder.module("add", "sample.wasm", "--name", "x", "--settings", "large-settings"), "1048576", 66);
    await expectRefused(
      () => folder.module("add", "sample.wasm", "--name", "x", "--sha256", "0".repeat(64)),
      `it has the hash ${sha256(sample)}`,
    );
  });

  test("replaces only when told so; what is not given stays", async () => {
    folder.write("settings", "yes");
    await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--settings", "settings", "--header", "x", "--audit"));
    await expectOk(folder.module("add", "sample.wasm", "--name", "b"));
    await expectRefused(() => folder.module("add", "other.wasm", "--name", "a"), "want another name or --replace");
    const replaced = await expectOk(folder.module("add", "other.wasm", "--name", "a", "--replace"));
    expect(replaced.err).toContain("is in audit");
    expect(folder.installed()).toMatchObject([
      { name: "a", audit: true, headers: ["x"], componentSha256: sha256(other), settingsSha256: sha256(Buffer.from("yes")) },
      { name: "b" },
    ]);
    // The old component went with its last user; this one still has another.
    expect(readdirSync(join(folder.store, "objects"))).toContain(sha256(sample));
  });

  test(
    "T-125: a pinned module is protected from other components and from removal",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--pin"));
      await expectRefused(() => folder.module("add", "other.wasm", "--name", "a", "--replace"), `it is pinned to ${sha256(sample)}`);
      await expectRefused(() => folder.module("remove", "a"), "it is pinned");
      await expectRefused(() => folder.module("pin", "a", "--sha256", sha256(other)), "the installed component has the hash");
      const off = await expectOk(folder.module("pin", "a", "--off"));
      expect(off.err).toContain("warning: ");
      await expectOk(folder.module("add", "other.wasm", "--name", "a", "--replace"));
    },
    PATIENCE_MS,
  );

  test("T-121: does not touch a store that others may write to", async () => {
    await expectOk(folder.module("add", "sample.wasm", "--name", "a"));
    chmodSync(folder.store, 0o777);
    await expectRefused(() => folder.module("add", "other.wasm", "--name", "b"), "want one that only the owner may write to", 66);
    await expectRefused(() => folder.module("list"), "want one that only the owner may write to", 66);
  });

  test("T-121: inspect finds a changed artefact", async () => {
    await expectOk(folder.module("add", "sample.wasm", "--name", "a"));
    const [entry] = folder.installed();
    const path = join(folder.store, "objects", String(entry?.preparedSha256));
    const bytes = readFileSync(path);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { code, out } = await folder.module("inspect", "a");
    expect(code).toBe(1);
    expect(out).toContain("TROUBLE");
    expect(out.replaceAll(/\s+/g, " ")).toContain("its content has the hash");
  });

  test(
    "T-123: commands at the same time all count",
    async () => {
      const names = ["a", "b", "c", "d"];
      const runs = await Promise.all(names.map((name) => folder.module("add", "sample.wasm", "--name", name)));
      expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      expect(
        folder
          .installed()
          .map(({ name }) => name)
          .sort(),
      ).toEqual(names);
    },
    PATIENCE_MS,
  );

  test("a missing or bad config is told with 78", async () => {
    folder.writeConfig({ requireSignedModules: "yes" });
    const { code, err } = await folder.module("list");
    expect(code).toBe(78);
    expect(err.replaceAll("\n", " ")).toContain('key "requireSignedModules": found "yes", want true or false');
  });
});

describe.skipIf(MINISIGN === null)("signed modules", () => {
  function minisign(...argv: string[]): void {
    const run = Bun.spawnSync([MINISIGN ?? "", ...argv], { cwd: folder.path, stdin: Buffer.from("\n\n") });
    if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  }

  beforeEach(() => {
    minisign("-G", "-W", "-p", "trusted-keys/mine.pub", "-s", "mine.key");
    minisign("-S", "-s", "mine.key", "-m", "sample.wasm", "-t", "timestamp:1790000000\tfile:sample.wasm");
    minisign("-S", "-s", "mine.key", "-m", "other.wasm", "-t", "timestamp:1780000000\tfile:other.wasm");
  });

  test(
    "T-124: with requireSignedModules only what a trusted key signed is installed",
    async () => {
      folder.writeConfig({ requireSignedModules: true });
      await expectRefused(() => folder.module("add", "sample.wasm", "--name", "a"), "it is not signed, and requireSignedModules is set");
      await expectRefused(
        () => folder.module("add", "other.wasm", "--name", "a", "--signature", "sample.wasm.minisig"),
        "is not one over this file",
      );
      const added = await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--signature", "sample.wasm.minisig"));
      expect(added.out).toMatch(/signed by {2}[0-9A-F]{16}/);
      const inspected = await expectOk(folder.module("inspect", "a"));
      expect(inspected.out.replaceAll(/\s+/g, " ")).toContain('which holds: "timestamp:1790000000\\tfile:sample.wasm"');
    },
    PATIENCE_MS,
  );

  test(
    "T-124: a key that is not trusted any more is not taken, and inspect says so",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--signature", "sample.wasm.minisig"));
      chmodSync(join(folder.keys, "mine.pub"), 0o666);
      const refused = await folder.module("add", "sample.wasm", "--name", "b", "--signature", "sample.wasm.minisig");
      expect(refused.code).toBe(1);
      expect(refused.err.replaceAll(/\s+/g, " ")).toContain("want one that only the owner may write to");
      const inspected = await folder.module("inspect", "a");
      expect(inspected.code).toBe(1);
      expect(inspected.out).toContain("which is not trusted here");
      expect(inspected.out.replaceAll(/\s+/g, " ")).toContain('mine.pub": mode is 0666');
    },
    PATIENCE_MS,
  );

  test(
    "T-125: a signature is not stripped by accident, and an older one is told",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--signature", "sample.wasm.minisig"));
      await expectRefused(
        () => folder.module("add", "other.wasm", "--name", "a", "--replace"),
        "found no signature, want --signature FILE or --unsigned",
      );
      const older = await expectOk(folder.module("add", "other.wasm", "--name", "a", "--replace", "--signature", "other.wasm.minisig"));
      expect(older.err.replaceAll(/\s+/g, " ")).toContain("was signed earlier than the one it replaced");
      const stripped = await expectOk(folder.module("add", "sample.wasm", "--name", "a", "--replace", "--unsigned"));
      expect(stripped.err).toContain("is not signed any more");
      expect(folder.installed()[0]).not.toHaveProperty("signedBy");
    },
    PATIENCE_MS,
  );
});

describe("changes of installed modules", () => {
  test(
    "enable, disable, audit, order, remove; what weakens is a warning",
    async () => {
      for (const name of ["a", "b", "c"]) await expectOk(folder.module("add", "sample.wasm", "--name", name));
      expect((await expectOk(folder.module("disable", "a", "b"))).err).toContain("warning: ");
      expect((await expectOk(folder.module("audit", "on", "c"))).err).toContain("warning: ");
      expect(folder.installed()).toMatchObject([{ enabled: false }, { enabled: false }, { audit: true }]);
      expect((await expectOk(folder.module("enable", "b"))).err).not.toContain("warning: ");
      await expectOk(folder.module("audit", "off", "c"));
      await expectOk(folder.module("order", "c", "--before", "a"));
      expect(folder.installed()).toMatchObject([
        { name: "c", audit: false },
        { name: "a", enabled: false },
        { name: "b", enabled: true },
      ]);
      await expectRefused(() => folder.module("remove", "a", "nobody"), 'cannot find module "nobody"');
      expect((await expectOk(folder.module("remove", "a", "b"))).err).toContain("warning: ");
      expect(folder.installed()).toMatchObject([{ name: "c" }]);
      await expectOk(folder.module("remove", "c"));
      expect(readdirSync(join(folder.store, "objects"))).toEqual([]);
      expect((await expectOk(folder.module("list"))).out).toContain("no modules are installed");
    },
    PATIENCE_MS,
  );

  test(
    "settings are asked about, tried and stored for root alone",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "a"));
      folder.write("good", "yes");
      folder.write("bad", "!");
      await expectRefused(() => folder.module("settings", "a", "bad"), "it refuses its settings: no exclamation\\u001b[2J marks, please");
      await expectOk(folder.module("settings", "a", "good"));
      expect((await expectOk(folder.module("inspect", "a", "--settings"))).out).toBe("yes");
      expect(statSync(join(folder.store, "objects", sha256(Buffer.from("yes")))).mode & 0o777).toBe(0o600);
      const asked = ["--request", "PATCH /x", "--caller", "userName=alice,runAsElevated=false"];
      expect((await expectOk(folder.module("run", "a", ...asked))).out).toContain("allow");
      await expectOk(folder.module("settings", "a", "--none"));
      expect((await folder.module("run", "a", ...asked)).code).toBe(1);
    },
    PATIENCE_MS,
  );

  test("an installed module is tested with the headers and settings it was given", async () => {
    await expectOk(folder.module("add", "sample.wasm", "--name", "a"));
    const { out } = await expectOk(folder.module("test", "a", "--cases", "cases.json"));
    expect(out).toContain("cases.json: 9 cases, 0 failed");
  });
});

describe("module test, run and bench without root", () => {
  const asked = ["--request", "HEAD /metadata/instance", "--caller", "userName=alice,runAsElevated=false"];

  test(
    "test shows fuel for each case and the answers that were seen",
    async () => {
      const { code, out } = await runCommand(["module", "test", join(folder.path, "sample.wasm")], { cwd: folder.path });
      expect(code).toBe(0);
      expect(out).toContain("9 cases, 0 failed");
      expect(out).toMatch(/ok {13}[0-9]{3} "get"/);
      expect(out).toContain('abstain    1 time, reason "no-opinion"');
      const json = await runCommand(["module", "test", "sample.wasm", "--json"], { cwd: folder.path });
      expect(JSON.parse(json.out)).toMatchObject({ passed: 9, failed: 0, sha256: sha256(sample), unseen: [] });
      const tap = await runCommand(["module", "test", "sample.wasm", "--tap"], { cwd: folder.path });
      expect(tap.out).toStartWith("TAP version 14\n1..9\nok 1 - cases.json: get\n");
    },
    PATIENCE_MS,
  );

  test.each([
    [{ expect: "abstain" }, 'found answer "allow", want "abstain"'],
    [{ reason: "other" }, 'found reason "fine", want "other"'],
    [{ reason: undefined, expect: "failed" }, 'found answer "allow", want a failure'],
    [{ fuelAtMost: 10 }, "units of fuel, want at most 10"],
    [{ reason: undefined, request: "PUT /x" }, "out-of-fuel"],
    [{ reason: undefined, request: "DELETE /x" }, "nonsense"],
    [{ reason: undefined, settings: { text: "!" } }, "it refuses its settings"],
  ])(
    "test fails a case with %j",
    async (changes, message) => {
      folder.write("bad.json", JSON.stringify({ cases: [{ ...SAMPLE_CASES.cases[0], ...changes }] }));
      const { code, out } = await runCommand(["module", "test", "sample.wasm", "--cases", "bad.json"], { cwd: folder.path });
      expect(code).toBe(1);
      expect(out.replaceAll(/\s+/g, " ")).toContain(message);
    },
    PATIENCE_MS,
  );

  test("test tells line and column of a case that is none", async () => {
    folder.write("bad.json", '{ "cases": [\n { "name": "x", "request": "GET /x", "caller": "userName=a", "expects": "allow" } ] }');
    const { code, err } = await runCommand(["module", "test", "sample.wasm", "--cases", "bad.json"], { cwd: folder.path });
    expect(code).toBe(66);
    expect(err.replaceAll("\n", " ")).toContain('line 2, column 2: found unknown member "expects"');
  });

  test(
    "run answers with its exit code",
    async () => {
      const run = (method: string, ...more: string[]) =>
        runCommand(["module", "run", "sample.wasm", "--request", `${method} /x`, "--caller", "userName=a,runAsElevated=false", ...more], {
          cwd: folder.path,
        });
      expect([(await run("GET")).code, (await run("HEAD")).code, (await run("POST")).code, (await run("PUT")).code]).toEqual([0, 1, 3, 1]);
      const json = JSON.parse((await run("OPTIONS", "--json")).out);
      expect(json).toMatchObject({ kind: "allow", reason: "fine" });
      expect(json.fuel).toBeGreaterThan(100_000);
      expect((await run("OPTIONS", "--fuel", "10000")).out).toContain("out-of-fuel");
      expect((await run("GET", "--endpoint", "wireserver")).err.replaceAll("\n", " ")).toContain("no module is asked about it");
    },
    PATIENCE_MS,
  );

  test("bench measures fuel and time", async () => {
    const argv = ["module", "bench", "sample.wasm", ...asked, "--calls", "500", "--json"];
    const { code, out } = await runCommand(argv, { cwd: folder.path });
    expect(code).toBe(0);
    const json = JSON.parse(out);
    expect(json).toMatchObject({ calls: 500, failures: 0, memoryBytes: 65536 });
    expect(json.microseconds.p50).toBeGreaterThan(0);
    expect(json.microseconds.p99).toBeGreaterThanOrEqual(json.microseconds.p50);
    expect(json.fuel.least).toBe(json.fuel.most);
  });

  test("bench asks under the settings that the cases expect, as test does", async () => {
    const cases = (text: string) => JSON.stringify({ settings: { text }, cases: [SAMPLE_CASES.cases[0]] });
    folder.write("bench.json", cases("!"));
    const argv = ["module", "bench", "sample.wasm", "--cases", "bench.json", "--calls", "10"];
    const refused = await runCommand(argv, { cwd: folder.path });
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toContain("no exclamation");
    folder.write("bench.json", cases("y"));
    expect((await runCommand(argv, { cwd: folder.path })).code).toBe(0);
  });

  test("inspect says what a component file holds, or why it is refused", async () => {
    const inspected = await runCommand(["module", "inspect", "sample.wasm"], { cwd: folder.path });
    expect(inspected.code).toBe(0);
    expect(inspected.out).toContain(sha256(sample));
    appendFileSync(join(folder.path, "sample.wasm"), Buffer.of(0x55, 0x01, 0x00));
    const refused = await runCommand(["module", "inspect", "sample.wasm"], { cwd: folder.path });
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toMatch(/section .* at offset [0-9]+\n$/);
  });

  test.skipIf(process.geteuid?.() !== 0 || !RUNS_WITHOUT_ROOT)(
    "without root an installed module is out of reach, and the store says why",
    async () => {
      await expectOk(folder.module("add", "sample.wasm", "--name", "a"));
      const { code, err } = await runCommand(["module", "list", "--config", "config.json"], { cwd: folder.path });
      expect(code).toBe(66);
      expect(err).toContain("cannot use modules");
    },
  );
});
