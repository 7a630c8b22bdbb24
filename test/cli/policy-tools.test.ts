// The policy tools as their users run them: as processes without root, with files and pipes, good input and bad.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runPolicyTool, splitCommand } from "../support/policy-cli.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const FIXTURES = join(import.meta.dir, "../fixtures/policy");
const EXAMPLE = join(import.meta.dir, "../../docs/examples/first-policy");
const RULES = join(EXAMPLE, "rules.json");
const NEXT = join(EXAMPLE, "rules-next.json");
const STATUS = join(FIXTURES, "status.json");
const ARM = join(FIXTURES, "arm-version.json");
const LOCAL = join(FIXTURES, "local.json");
const PATIENCE_MS = 240_000;
const TOOLS = ["check", "explain", "simulate", "test", "diff", "compile", "inspect", "replay"] as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-policy-"));
  chmodSync(folder, 0o777);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o644 });
  return path;
}

async function json(argv: readonly string[], input?: string | Uint8Array) {
  const { code, out, err } = await runPolicyTool([...argv, "--json"], input === undefined ? {} : { input });
  return { code, err, value: JSON.parse(out) };
}

describe("policy", () => {
  test.each(TOOLS)("%s --help fits a terminal and needs nothing else", async (tool) => {
    const { code, out, err } = await runPolicyTool([tool, "--help"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toStartWith(`azure-proxy-agent policy ${tool}`);
    expect(out).toContain("Exit codes:");
    expect(out.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });

  test("--help lists every tool", async () => {
    const { code, out } = await runPolicyTool(["--help"]);
    expect(code).toBe(0);
    for (const tool of TOOLS) expect(out).toContain(`\n  ${tool} `);
  });

  test.each([
    ["chekc x"],
    ["toString"],
    ["check"],
    ["check a b"],
    ["check --endpoint moon x"],
    ["check --mode x x"],
    ["check --rules x"],
    ["explain"],
    ["explain --rules x --request /x"],
    ["simulate --rules - --caller - --request /x"],
    ["simulate --rules x --rules y --caller userId=1 --request /x"],
    ["test"],
    ["test --tap --json x"],
    ["diff x"],
    ["diff --limit 0 x y"],
    ["diff - -"],
    ["compile x"],
    ["compile x -o"],
    ["inspect"],
    ["replay x"],
    ["replay --rules - -"],
    ["replay --rules x --max many y"],
  ])("refuses the command line %p with 64", async (line) => {
    const { code, out, err } = await runPolicyTool(line === "" ? [] : line.split(" "));
    expect([code, out]).toEqual([64, ""]);
    expect(err).toMatch(/^azure-proxy-agent: [^\n]+; see "azure-proxy-agent policy[a-z ]* --help"\n$/);
  });

  test("alone it lists its commands and exits 64", async () => {
    const { code, out, err } = await runPolicyTool([]);
    expect([code, out]).toEqual([64, ""]);
    expect(err).toStartWith("azure-proxy-agent policy COMMAND");
  });
});

describe("policy check", () => {
  test.each<[string, readonly string[], number, string]>([
    ["an item", [RULES], 0, "rule item of the platform, for IMDS"],
    ["an ARM version", [ARM], 0, "version of an ARM access control profile, for WireServer"],
    ["a local file", [LOCAL], 0, "local rule file, for IMDS"],
    ["a status, every item of it", [STATUS], 0, "authorizationRules of a status, for WireServer"],
    ["an ARM version with faults", [join(EXAMPLE, "flawed.json")], 1, "not fine: 2 errors"],
    ["the rules of another endpoint", [STATUS, "--endpoint", "hostga"], 0, "HostGAPlugin has no rules of its own"],
  ])("recognises %s", async (_, argv, wanted, words) => {
    const { code, out } = await runPolicyTool(["check", ...argv]);
    expect(code).toBe(wanted);
    expect(out.replace(/\s+/g, " ")).toContain(words);
  });

  test("has pointer, place, found and wanted of each finding in JSON", async () => {
    const { code, value } = await json(["check", join(EXAMPLE, "flawed.json")]);
    expect(code).toBe(1);
    expect(value.rules[0]).toMatchObject({ shape: "arm", endpoint: "imds" });
    expect(value.rules[0].findings[0]).toMatchObject({
      level: "error",
      kind: "unclear-path",
      pointer: "/properties/rules/privileges/0/path",
      line: 8,
      column: 49,
      found: '"/metadata/identity?api-version=2018-02-01"',
      wanted: "a path with one clear reading (CANON_EMBQ)",
    });
  });

  test("reads standard input, with a byte order mark too", async () => {
    const { code, out } = await runPolicyTool(["check", "-"], { input: `\ufeff${readFileSync(RULES, "utf8")}` });
    expect([code, out.startsWith("standard input: rule item")]).toEqual([0, true]);
  });

  test.each<[string, string | Uint8Array, string]>([
    ["nothing", "", "line 1, column 1: found the end of the text"],
    ["text that is no JSON", "{\n  rules: 1 }", 'line 2, column 3: found "r", want a member name'],
    ["a member given twice", '{"mode":"enforce",\n"mode":"disabled"}', 'line 2, column 1: found member "mode" again'],
    ["a NUL byte", "{\0}", "a NUL byte at offset 1"],
    ["UTF-16", Buffer.from("\ufeff{}", "utf16le"), "UTF-16"],
    ["bytes that are not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "not UTF-8 at offset 1"],
    ["a file of 10 MB", Buffer.alloc(10_000_000, " "), "more than 8388608 bytes"],
    ["a text that never ends", `"${"x".repeat(7_000_000)}`, "the end of the text"],
    ["deep nesting", "[".repeat(1_000_000), "at most 64 levels"],
    ["another document", '{"a":1}', "want a rule set"],
    ["a number", "7", "want an object"],
  ])("says what is wrong with %s, and exits 66", async (_, input, words) => {
    for (const argv of [
      ["check", "-"],
      ["simulate", "--rules", "-", "--request", "/", "--caller", "userId=1"],
    ]) {
      const { code, out, err } = await runPolicyTool(argv, { input });
      expect([code, out]).toEqual([66, ""]);
      expect(err.replace(/\n/g, " ")).toContain(words);
    }
  });

  test("tells what cannot be read at all", async () => {
    expect((await runPolicyTool(["check", join(folder, "none")])).err).toContain("no such file");
    expect((await runPolicyTool(["check", folder])).err).toContain("found a folder");
  });

  test("asks of a local rule file what the agent asks", async () => {
    const path = write("blank.json", JSON.stringify({ id: " ", rules: { privileges: [{ name: "p", path: "/x" }] } }));
    const { code, out } = await runPolicyTool(["check", path]);
    expect([code, out.includes("the agent refuses it as a local rule file")]).toEqual([1, true]);
  });

  test("finds that rules come to more grants than a component holds", async () => {
    const names = (kind: string, number: number) => Array.from({ length: number }, (_, i) => `${kind}${i}`);
    const [privileges, identities] = [names("p", 800), names("i", 800)];
    const rules = {
      privileges: privileges.map((name) => ({ name, path: `/${name}` })),
      roles: privileges.map((_, i) => ({ name: `r${i}`, privileges: privileges.slice(0, i + 1) })),
      identities: identities.map((name) => ({ name, userName: name })),
      roleAssignments: identities.map((name, i) => ({ role: `r${i}`, identities: [name] })),
    };
    const path = write("many.json", JSON.stringify({ id: "x", mode: "enforce", defaultAccess: "deny", rules }));
    const { code, value } = await json(["check", path]);
    const kinds = value.rules[0].findings
      .filter(({ level }: { level: string }) => level === "error")
      .map(({ kind }: { kind: string }) => kind);
    expect([code, kinds]).toEqual([1, ["does-not-compile"]]);
  });

  test(
    "stays quick and short with ten thousand faults",
    async () => {
      const privileges = Array.from({ length: 10_000 }, (_, i) => ({ name: `p${i}`, path: "/x?y" }));
      const path = write("faults.json", JSON.stringify({ id: "x", mode: "on", defaultAccess: "deny", rules: { privileges } }));
      const { code, out } = await runPolicyTool(["check", path]);
      expect(code).toBe(1);
      expect(out).toContain("and 9002 findings more");
    },
    PATIENCE_MS,
  );
});

describe("policy explain and simulate", () => {
  const question = (request: string, caller: string, rules = RULES) => ["--rules", rules, "--request", request, "--caller", caller];

  test.each<[string, readonly string[], number, string]>([
    ["an allow", question("GET /metadata/instance", "userGroups=dev"), 0, 'allow (granted, rule "instance/developers")'],
    ["a deny", question("GET /metadata/instance", "userName=eve"), 1, 'deny with 403 (not-granted, rule "instance")'],
    [
      "a deny that audit forwards",
      [...question("/metadata/instance", "userName=eve"), "--mode", "audit"],
      1,
      "deny, but forwarded (not-granted",
    ],
    ["a default", question("/other", "userName=eve"), 1, "deny with 403 (default-deny, no rule)"],
    ["an ambiguous target", question("/metadata/%2e%2e/%2e%2e/x", "userName=eve"), 1, "deny with 400 (ambiguous-target)"],
    ["a method", question("TRACE /metadata", "userName=eve"), 1, "deny with 405 (method-not-allowed)"],
    ["somebody who is not root on WireServer", question("/machine", "userName=eve", ARM), 1, "deny with 403 (not-root)"],
    [
      "root on WireServer",
      question("GET /machine?comp=goalstate", "userName=root,processFullPath=/usr/bin/python3.11", ARM),
      0,
      "allow (granted",
    ],
    [
      "a unit",
      question("/metadata/identity", "cgroupPath=/system.slice/job.service,userId=1", STATUS),
      0,
      'allow (granted, rule "identity/job")',
    ],
    ["a method that rules name", question("PUT /metadata/instance", "userGroups=ops", LOCAL), 1, "deny with 403 (default-deny"],
    [
      "HostGAPlugin by the rules of WireServer",
      [...question("/status", "userId=0", STATUS), "--endpoint=hostga"],
      0,
      "allow (default-allow",
    ],
  ])("decide %s", async (_, argv, wanted, words) => {
    const [simulated, explained] = await Promise.all([runPolicyTool(["simulate", ...argv]), runPolicyTool(["explain", ...argv])]);
    expect([simulated.code, simulated.out]).toEqual([wanted, expect.stringContaining(words)]);
    expect(simulated.out.split("\n")).toHaveLength(2);
    expect([explained.code, explained.out]).toEqual([wanted, expect.stringContaining(`decision: ${words}`)]);
    expect(explained.out.split("\n").filter((line) => line.length > 100 && line.includes(" ", 12))).toEqual([]);
  });

  test("take the caller from a file, from standard input, and from JSON on the command line", async () => {
    const line = {
      requestId: "1",
      method: "GET",
      url: "/x",
      userName: "undefined",
      userGroups: ["dev"],
      processFullPath: "",
      runAsElevated: false,
    };
    const path = write("caller.json", JSON.stringify(line));
    for (const caller of [path, JSON.stringify(line), "-"]) {
      const argv = ["simulate", ...question("/metadata/instance", caller)];
      expect((await runPolicyTool(argv, { input: JSON.stringify(line) })).code).toBe(0);
    }
  });

  test("have each privilege, each step and the proof in JSON", async () => {
    const { code, value } = await json(["explain", ...question("GET /Metadata/instance", "userName=eve")]);
    expect(code).toBe(1);
    expect(value).toMatchObject({ decision: "deny", reason: "not-granted", componentAgrees: true, segments: ["metadata", "instance"] });
    expect(value.privileges.map(({ coverage }: { coverage: string }) => coverage)).toEqual(["covers", "path-differs"]);
    expect(value.policyId).toMatch(/^[0-9a-f]{64}$/);
    expect((await json(["simulate", ...question("/metadata/instance", "userGroups=dev")])).value).toMatchObject({
      decision: "allow",
      answer: "allow",
    });
  });

  test.each([
    ["metadata/instance", "userName=a", 64, "METHOD /path"],
    ["/x", "user=a", 64, "unknown member"],
    ["/x", "{", 64, "column"],
    ["/x", '{"userName":"a","userName":"b"}', 64, "again"],
    ["/x", "nobody", 66, "no such file"],
  ])("cannot decide request %p by caller %p, and exit %i", async (request, caller, wanted, words) => {
    for (const tool of ["explain", "simulate"]) {
      const { code, out, err } = await runPolicyTool([tool, ...question(request, caller)]);
      expect([code, out]).toEqual([wanted, ""]);
      expect(err).toContain(words);
    }
  });

  test("say which names in the rules lead nowhere, as the agent would warn", async () => {
    const item = JSON.parse(readFileSync(RULES, "utf8"));
    item.rules.roles[0].privileges.push("gone");
    const path = write("dangling.json", JSON.stringify(item));
    const { code, err } = await runPolicyTool(["simulate", ...question("/metadata/instance", "userGroups=dev", path)]);
    expect([code, err.includes('undefined-privilege "gone"')]).toEqual([0, true]);
  });
});

describe("policy test", () => {
  const failing = {
    rules: RULES,
    mode: "audit",
    cases: [{ name: "wrong", request: "/metadata/instance", caller: "userName=eve", expect: "deny" }],
  };

  test("runs every cases.json of a folder, and exits 1 when a case fails", async () => {
    mkdirSync(join(folder, "cases/deep"), { recursive: true });
    write("cases/cases.json", JSON.stringify({ ...failing, mode: "enforce" }));
    const good = await runPolicyTool(["test", join(folder, "cases")]);
    expect([good.code, good.out.endsWith("1 case passed, 0 failed\n")]).toEqual([0, true]);
    write("cases/deep/cases.json", JSON.stringify(failing));
    const bad = await runPolicyTool(["test", join(folder, "cases"), join(EXAMPLE, "cases.json")]);
    expect(bad.code).toBe(1);
    expect(bad.out).toContain('found   audit, reason "not-granted", rule "instance"');
    expect(bad.out).toEndWith("6 cases passed, 1 failed\n");
  });

  test("speaks TAP and JSON", async () => {
    const tap = await runPolicyTool(["test", "--tap", EXAMPLE, write("failing.json", JSON.stringify(failing))]);
    expect(tap.code).toBe(1);
    expect(tap.out.split("\n").slice(0, 3)).toEqual(["TAP version 14", "1..6", expect.stringContaining("ok 1 - ")]);
    expect(tap.out.match(/^(?:not )?ok /gm)).toHaveLength(6);
    const { code, value } = await json(["test", EXAMPLE]);
    expect([code, value[0].passed, value[0].failed]).toEqual([0, 5, 0]);
    expect(value[0].coverage.assignments.find(({ name }: { name: string }) => name === "reader/backup-job")).toMatchObject({ granted: 0 });
  });

  test("takes rules in the file itself", async () => {
    const cases = [{ name: "c", request: "/x", caller: {}, expect: "deny", reason: "default-deny" }];
    const path = write("inline.json", JSON.stringify({ rules: { id: "", mode: "enforce", defaultAccess: "deny" }, cases }));
    expect((await runPolicyTool(["test", path])).code).toBe(0);
  });

  test.each<[string, unknown, string]>([
    [
      "a misspelt expectation",
      { rules: "x", cases: [{ name: "a", request: "/x", caller: {}, expect: "alow" }] },
      'line 1, column 71: want "expect"',
    ],
    ["no cases", { rules: "x", cases: [] }, "want 1 to"],
    ["rules that are not there", { rules: "gone.json", cases: failing.cases }, "no such file"],
    ["rules that the agent refuses", { rules: { id: 1, mode: "enforce" }, cases: failing.cases }, 'at "/id": found 1'],
  ])("exits 66 on %s", async (_, content, words) => {
    const { code, out, err } = await runPolicyTool(["test", write("bad.json", JSON.stringify(content))]);
    expect([code, out]).toEqual([66, ""]);
    expect(err).toContain(words);
  });

  test("exits 66 on a folder without cases, which would test nothing", async () => {
    mkdirSync(join(folder, "none"), { recursive: true });
    expect((await runPolicyTool(["test", join(folder, "none")])).code).toBe(66);
  });
});

describe("policy diff", () => {
  test("exits 0 on the same rules, also under another id", async () => {
    const item = JSON.parse(readFileSync(RULES, "utf8"));
    const { code, out } = await runPolicyTool(["diff", RULES, write("renamed.json", JSON.stringify({ ...item, id: "other" }))]);
    expect([code, out.includes("no request is decided differently")]).toEqual([0, true]);
  });

  test("tells a change of mode or default access even where no request changes", async () => {
    const item = JSON.parse(readFileSync(RULES, "utf8"));
    const { code, out } = await runPolicyTool(["diff", RULES, write("audited.json", JSON.stringify({ ...item, mode: "Audit" }))]);
    expect([code, out.includes("mode: enforce -> audit")]).toEqual([1, true]);
  });

  test("has witnesses that explain takes as they stand, and that differ as it says", async () => {
    const { code, value } = await json(["diff", RULES, NEXT]);
    expect([code, value.complete, value.changes.length]).toEqual([1, true, 3]);
    for (const { direction, witness } of value.changes) {
      const asked = ["--request", witness.request, "--caller", JSON.stringify(witness.caller)];
      const [before, after] = await Promise.all([RULES, NEXT].map((rules) => runPolicyTool(["explain", "--rules", rules, ...asked])));
      expect([before?.code, after?.code]).toEqual(direction === "newly-allowed" ? [1, 0] : [0, 1]);
    }
    const text = (await runPolicyTool(["diff", RULES, NEXT])).out;
    const witness = /witness +"(.+)"\n +by (.+)\n/.exec(text);
    const again = await runPolicyTool(["simulate", "--rules", NEXT, "--request", witness?.[1] ?? "", "--caller", witness?.[2] ?? ""]);
    expect(again.code).toBe(0);
  });

  test("compares shapes with one another, and refuses endpoints with one another", async () => {
    expect((await runPolicyTool(["diff", RULES, STATUS])).code).toBe(1);
    const { code, err } = await runPolicyTool(["diff", RULES, ARM]);
    expect([code, err.includes("--endpoint")]).toEqual([66, true]);
    expect((await runPolicyTool(["diff", "--endpoint", "imds", RULES, ARM])).code).toBe(1);
  });

  test("does not say that nothing changes when it could not look at everything", async () => {
    const item = JSON.parse(readFileSync(RULES, "utf8"));
    item.rules.privileges.push({ name: "more", path: "/a", method: ["GET"] }, { name: "yet more", path: "/b" });
    const { code, out } = await runPolicyTool(["diff", "--limit", "1", write("a.json", JSON.stringify(item)), RULES]);
    expect([code, out.includes("NOT COMPLETE")]).toEqual([1, true]);
  });
});

describe("policy compile and inspect", () => {
  test("make the agent's component, and tell what is in it", async () => {
    const path = join(folder, "policy.wasm");
    const made = await json(["compile", STATUS, "-o", path]);
    expect([made.code, made.value.endpoint, made.value.ruleSetId]).toEqual([0, "imds", "imds-1"]);
    const seen = await json(["inspect", path]);
    expect([seen.code, seen.value]).toEqual([
      0,
      expect.objectContaining({ policyId: made.value.policyId, sameEngine: true, loads: true, mode: "audit" }),
    ]);
    const rules = await runPolicyTool(["inspect", "--rules", path]);
    const again = await runPolicyTool(["diff", STATUS, write("back.json", rules.out)]);
    expect([rules.code, again.code]).toEqual([0, 0]);
    const second = join(folder, "second.wasm");
    await runPolicyTool(["compile", write("back.json", rules.out), "-o", second]);
    expect(readFileSync(second).equals(readFileSync(path))).toBe(true);
  });

  test("sees that a component was changed", async () => {
    const path = join(folder, "changed.wasm");
    await runPolicyTool(["compile", RULES, "-o", path]);
    const bytes = readFileSync(path);
    // Default access in the tables: the rules that are carried along still say deny.
    const magic = bytes.indexOf("APR");
    expect(magic).toBeGreaterThan(0);
    bytes[magic + 16] = (bytes[magic + 16] ?? 0) ^ 1;
    const { code, value } = await json(["inspect", write("changed-2.wasm", bytes)]);
    expect([code, value.sameEngine]).toEqual([1, false]);
  });

  test.each<[string, Uint8Array, string]>([
    ["text", Buffer.from("hello"), "it is no policy (not-wasm)"],
    ["an empty file", new Uint8Array(), "it is no policy"],
    ["a component without rules", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), "it carries no rules"],
    ["a component that was cut", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 1, 200), "truncated"],
  ])("refuses %s", async (_, bytes, words) => {
    const { code, out, err } = await runPolicyTool(["inspect", write("odd.wasm", bytes)]);
    expect([code, out]).toEqual([66, ""]);
    expect(err).toContain(words);
  });

  test("cannot compile what the agent refuses, nor write where nobody may", async () => {
    expect((await runPolicyTool(["compile", join(EXAMPLE, "flawed.json"), "-o", join(folder, "x.wasm")])).code).toBe(66);
    const { code, err } = await runPolicyTool(["compile", RULES, "-o", join(folder, "no-folder/x.wasm")]);
    expect([code, err.includes("ENOENT")]).toEqual([73, true]);
  });
});

describe("policy replay", () => {
  const RECORDED = join(EXAMPLE, "recorded.jsonl");
  test("exits 0 when all answers are the same", async () => {
    const { code, value } = await json(["replay", "--rules", RULES, RECORDED]);
    expect([code, value.lines, value.compared, value.different]).toEqual([0, 3, 3, 0]);
  });

  test("lists what differs and counts what it passes over", async () => {
    const input = `${readFileSync(RECORDED, "utf8")}\nagent-ready {"version":"1"}\n{"broken\nrequest-failed {"method":"GET","url":"/x","reason":"no-key"}\n`;
    const { code, value } = await json(["replay", "--rules", NEXT, "--max", "0", "-"], input);
    expect(code).toBe(1);
    expect(value).toMatchObject({
      compared: 3,
      different: 1,
      differences: [],
      omitted: 1,
      skipped: { "other-event": 2, unreadable: 1, "no-decision": 1 },
    });
  });

  test("passes over other endpoints, and exits 66 when nothing is left to compare", async () => {
    const { code, err } = await runPolicyTool(["replay", "--rules", ARM, RECORDED]);
    expect([code, err.replaceAll("\n", " ").includes("found no decision in it")]).toEqual([66, true]);
  });

  test(
    "goes through a hundred thousand lines and tells how far it is",
    async () => {
      const line = `${JSON.stringify({ request: "GET /metadata/instance", caller: { userGroups: ["dev"], userId: 1 }, decision: "allow" })}\n`;
      const path = write("large.jsonl", line.repeat(100_000));
      const { code, out, err } = await runPolicyTool(["replay", "--rules", RULES, "--progress", path]);
      expect([code, out]).toEqual([0, "100000 decisions compared, 0 different\n"]);
      expect(err).toContain("50000 lines, 50000 compared, 0 different\n");
    },
    PATIENCE_MS,
  );
});

test("splitCommand knows blanks and single quotes", () => {
  expect(splitCommand("a 'b c' d=e,'f g'")).toEqual(["a", "b c", "d=e,f g"]);
});
