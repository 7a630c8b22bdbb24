// What `module new` gives: it builds with one command in every language, is taken by guard and meter, and passes its own cases in the
// runtime of the daemon. All four are the same policy, so one case file serves for all.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { componentWit } from "@bytecodealliance/jco";
import { buildTemplate } from "../../scripts/build-modules.ts";
import { ModuleWorkshop } from "../support/module-build.ts";
import { prepareModule, runModuleCases } from "../support/module-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const LANGUAGES = ["c", "as", "rust", "ts"] as const;

let workshop: ModuleWorkshop;
beforeAll(() => {
  workshop = new ModuleWorkshop();
});
afterAll(() => workshop[Symbol.dispose]());

const CLAIMS = {
  processId: 1,
  userId: 1000,
  runAsElevated: false,
  userName: "alice",
  userGroups: ["a", "b"],
  processFullPath: "/usr/bin/curl",
  processName: "curl",
  executableSha256: "0".repeat(64),
  processCmdLine: "",
  cgroupId: 1n,
  cgroupPath: "/system.slice/a.service",
  clientAddress: "127.0.0.1",
  clientPort: 1,
};

test("the template for ts does not build with a fact that is misspelt: it would read like one that is absent", () => {
  expect(workshop.agent("module", "new", "--language", "ts", "misspelt").exitCode).toBe(0);
  const source = join(workshop.folder, "misspelt/policy.ts");
  writeFileSync(source, readFileSync(source, "utf8").replace("caller.elevated", "caller.elevatd"));
  const built = workshop.build("misspelt");
  expect(built.exitCode).not.toBe(0);
  expect(`${built.stdout}${built.stderr}`).toContain("'elevatd' does not exist");
  expect(existsSync(join(workshop.folder, "misspelt/policy.wasm"))).toBe(false);
}, 240_000);

describe.each(LANGUAGES)("the template for %s", (language) => {
  const folder = () => join(workshop.folder, language);

  test("is made whole, with the module's name in it", () => {
    const made = workshop.agent("module", "new", "--language", language, "--folder", language, "my-gate");
    expect(made).toMatchObject({ exitCode: 0, stderr: "" });
    expect(made.stdout).toContain("./build");
    for (const path of ["README.md", "cases.json", "settings.txt", "wit/policy.wit", ".gitignore"]) {
      const text = readFileSync(join(folder(), path), "utf8");
      expect(text).not.toMatch(/@[A-Z][A-Z0-9_]+@/);
    }
    expect(readFileSync(join(folder(), "README.md"), "utf8")).toStartWith("# my-gate\n");
    expect(statSync(join(folder(), "build")).mode & 0o111).toBe(0o111);
  });

  test("builds, is taken, and passes its cases", async () => {
    const built = buildTemplate(language);
    const run = await runModuleCases(join(built, "policy.wasm"), join(folder(), "cases.json"));
    expect(run.failures).toEqual([]);
    expect(run.cases).toBeGreaterThan(10);
  }, 240_000);

  test("is a component of the world to other tools, too", async () => {
    const wit = await componentWit(readFileSync(join(buildTemplate(language), "policy.wasm")));
    expect(wit).toContain("export azure:proxy-agent-policy/authorizer@1.0.0;");
    expect(wit.match(/^ {2}import .*$/gm)).toEqual(["  import azure:proxy-agent-policy/types@1.0.0;"]);
  });

  test("says what is missing when a tool is not there", () => {
    const nowhere = { AZURE_PROXY_AGENT: "/nonexistent/agent", CLANG: "/nonexistent/clang", JS_RUNTIME: "/nonexistent/js" };
    const built = workshop.build(language, nowhere);
    expect(built.exitCode).toBe(1);
    expect(built.stderr).toMatch(/^build: cannot build: "\/nonexistent\/\w+" is not there; .*install/);
  });

  test("holds still over many calls: no memory is lost", async () => {
    const start = await prepareModule(readFileSync(join(buildTemplate(language), "policy.wasm")));
    const instance = start();
    expect(instance.configure(new TextEncoder().encode("/metadata/identity"))).toEqual({ ok: true, value: undefined });
    const request = { endpoint: "imds", method: "GET", segments: ["metadata", "identity", "x"], trailingSlash: false } as const;
    const query = Array.from({ length: 40 }, (_, i) => ({ name: `name-${i}`, value: "v".repeat(500) }));
    const ask = () =>
      instance.evaluate({
        request: { ...request, query },
        claims: CLAIMS,
        headers: [],
        uptimeSeconds: 1,
        unixSeconds: 1,
        soFar: { kind: "allow", reason: "granted", rule: "r", labels: [["a", "b"]] },
      });
    for (let i = 0; i < 100; i++) ask();
    const before = instance.memoryBytes();
    for (let i = 0; i < 400; i++) expect(ask()).toMatchObject({ ok: true, value: { kind: "deny", rule: "/metadata/identity" } });
    expect(instance.memoryBytes()).toBe(before);
  });
});

test("the build in the folder of module new gives what the build of the repository does, to the byte", () => {
  const built = workshop.build("c");
  expect(built).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readFileSync(join(workshop.folder, "c/policy.wasm"))).toEqual(readFileSync(join(buildTemplate("c"), "policy.wasm")));
});

describe("module new", () => {
  test("never touches what is there", () => {
    mkdirSync(join(workshop.folder, "taken"));
    writeFileSync(join(workshop.folder, "taken/mine"), "mine");
    const made = workshop.agent("module", "new", "--language", "c", "taken");
    expect(made).toMatchObject({ exitCode: 73, stdout: "" });
    expect(made.stderr).toContain('cannot make module "taken" in "taken": it is there already');
    expect(readFileSync(join(workshop.folder, "taken/mine"), "utf8")).toBe("mine");
  });

  test("leaves nothing behind when it fails", () => {
    const made = workshop.agent("module", "new", "--language", "c", "--folder", "no/such/folder", "gate");
    expect(made.exitCode).toBe(73);
    expect(existsSync(join(workshop.folder, "no"))).toBe(false);
  });

  test.each([
    [["--language", "c"], "NAME is missing"],
    [["gate"], "--language is needed"],
    [["--language", "python", "gate"], 'found "python"'],
    [["--language", "c", "../gate"], 'NAME wants a lower-case letter or digit, then up to 62 of a-z, 0-9 and -, found "../gate"'],
    [["--language", "c", "Gate"], 'found "Gate"'],
    [["--language", "c", "a".repeat(64)], "NAME wants a lower-case letter or digit, then up to 62"],
    [["--language", "c", "--force", "gate"], 'unknown option "--force"'],
  ])("refuses %j", (argv, message) => {
    const made = workshop.agent("module", "new", ...argv);
    expect(made.exitCode).toBe(64);
    expect(made.stderr).toContain(message);
  });
});

describe("module componentize", () => {
  test("says what is wrong, and writes nothing then", () => {
    writeFileSync(join(workshop.folder, "text.wasm"), "int main");
    const made = workshop.agent("module", "componentize", "text.wasm", "-o", "out.wasm");
    expect(made.exitCode).toBe(1);
    expect(made.stderr).toContain('cannot make a component of "text.wasm": it is no WebAssembly module');
    expect(existsSync(join(workshop.folder, "out.wasm"))).toBe(false);
    expect(workshop.agent("module", "componentize", "text.wasm")).toMatchObject({ exitCode: 64 });
    expect(workshop.agent("module", "componentize", "none.wasm", "-o", "out.wasm").stderr).toContain("no such file");
  });
});
