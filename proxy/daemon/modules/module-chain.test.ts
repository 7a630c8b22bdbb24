import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { MEMORY_OF_ALL_MODULES, type ModuleMemory, NO_MODULE_MEMORY } from "../../core/modules/module-memory.ts";
import { FAILED_ANSWER, type ModuleInForce, type ModuleSet, NO_MODULES } from "../../core/modules/policy-chain.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type LoadModule, type ModuleListing, makeModuleChain } from "./module-chain.ts";
import type { FailureCause } from "./module-failures.ts";

const HASH = "ab".repeat(32);

function entry(name: string, more: Partial<ModuleEntry> = {}): ModuleEntry {
  return {
    name,
    enabled: true,
    audit: false,
    endpoints: ["imds"],
    headers: [],
    budgets: { fuel: 1_000_000, memoryBytes: 65_536, reasonBytes: 256 },
    componentSha256: HASH,
    preparedSha256: HASH,
    settingsSha256: HASH,
    worldVersion: "1.0.0",
    signedBy: undefined,
    signatureSha256: undefined,
    pinned: false,
    ...more,
  };
}

/** A chain over a scripted store. */
function setUp(start: Result<ModuleListing, string>, bad: readonly string[] = [], takes: Readonly<Record<string, ModuleMemory>> = {}) {
  let listing = start;
  let nowMs = 0;
  const loads: string[] = [];
  const broken = new Set(bad);
  const reporters = new Map<string, (cause: FailureCause) => void>();
  const sets: ModuleSet[] = [];
  const { log, events } = makeFakeLog();
  const load: LoadModule = async (wanted, failed) => {
    loads.push(wanted.name);
    reporters.set(wanted.name, failed);
    if (broken.has(wanted.name)) return err("its content has another hash");
    const ask = () => ({ answer: FAILED_ANSWER, failed: false });
    const module = { name: wanted.name, audit: wanted.audit, policyId: wanted.componentSha256, headers: new Set<string>(), ask };
    return ok({ module, takes: takes[wanted.name] ?? NO_MODULE_MEMORY });
  };
  const chain = makeModuleChain({
    readListing: () => listing,
    load,
    putInForce: (set) => sets.push(set),
    changed: () => undefined,
    log,
    monotonicMs: () => nowMs,
    now: () => new Date(0),
  });
  return {
    chain,
    loads,
    broken,
    sets,
    events,
    fail: (name: string) => reporters.get(name)?.({ kind: "trapped", message: "unreachable" }),
    pass: (ms: number) => {
      nowMs += ms;
    },
    async put(next: Result<ModuleListing, string>) {
      listing = next;
      await chain.check();
    },
    names: (endpoint: "imds" | "hostga" | "wireserver" = "imds") => (sets.at(-1) ?? NO_MODULES)[endpoint].map(({ name }) => name),
    report: () => chain.statusPart.report(),
  };
}

function list(sha256: string, ...entries: readonly ModuleEntry[]): Result<ModuleListing, string> {
  return ok({ entries, sha256, dependsOn: "" });
}

function ask(module: ModuleInForce | undefined): boolean | undefined {
  return module?.ask({} as never).failed;
}

describe("makeModuleChain", () => {
  test("without modules nothing is put in force and nothing is told", async () => {
    const { chain, sets, events, report } = setUp(list("empty"));
    await chain.check();
    await chain.check();
    expect([sets, events, chain.isUsed(), report().health]).toEqual([[], [], false, "ok"]);
  });

  test("modules are put in force in the list's order, each where it is wanted; disabled ones are not loaded", async () => {
    const both = entry("b", { endpoints: ["imds", "hostga"] });
    const { chain, names, loads, events, report } = setUp(list("1", entry("z"), both, entry("a", { enabled: false })));
    await chain.check();
    expect([names(), names("hostga"), names("wireserver"), loads]).toEqual([["z", "b"], ["b"], [], ["z", "b"]]);
    expect(events.map(({ event, fields }) => [event, fields.modules])).toEqual([["modules-applied", ["z", "b"]]]);
    expect(report()).toMatchObject({
      health: "ok",
      details: { list: "1", refusal: "", installed: [{ state: "in-force" }, {}, { state: "disabled" }] },
    });
  });

  test("a change loads what changed and keeps what did not", async () => {
    const { chain, put, names, loads } = setUp(list("1", entry("a"), entry("b")));
    await chain.check();
    await put(list("2", entry("b"), entry("a", { settingsSha256: "cd".repeat(32) })));
    expect([names(), loads]).toEqual([
      ["b", "a"],
      ["a", "b", "a"],
    ]);
    await put(list("3"));
    expect([names(), chain.isUsed()]).toEqual([[], false]);
  });

  test("other trusted keys load everything again", async () => {
    const { chain, put, loads } = setUp(list("1", entry("a")));
    await chain.check();
    await put(ok({ entries: [entry("a")], sha256: "1", dependsOn: "another key" }));
    expect(loads).toEqual(["a", "a"]);
  });

  test.each<[string, Result<ModuleListing, string>]>([
    ["cannot be read", err("index.json: want an object")],
    ["names a module that cannot be loaded", list("2", entry("a"), entry("broken"))],
  ])("T-136: a list that %s leaves the last good one in force, loudly, until it is repaired", async (_, bad) => {
    const { chain, put, names, sets, events, report } = setUp(list("1", entry("a")), ["broken"]);
    await chain.check();
    await put(bad);
    await put(bad);
    expect([names(), sets.length]).toEqual([["a"], 1]);
    expect(events.filter(({ event, level }) => event === "modules-refused" && level === "error")).toHaveLength(1);
    expect(report()).toMatchObject({ health: "failed", details: { list: "1", installed: [{ name: "a", state: "in-force" }] } });
    await put(list("1", entry("a")));
    expect(report()).toMatchObject({ health: "ok", details: { refusal: "" } });
    expect(events.at(-1)?.event).toBe("modules-applied");
  });

  test("T-136: a first list that cannot be read closes every endpoint", async () => {
    const { chain, sets, put, names } = setUp(err("index.json: want an object"));
    await chain.check();
    for (const endpoint of ["imds", "hostga", "wireserver"] as const) expect(ask(sets[0]?.[endpoint][0])).toBe(true);
    await put(list("1"));
    expect(names()).toEqual([]);
  });

  test("T-136: of a first list with a bad module, that one is denied where it would be asked, and the others are asked", async () => {
    const { chain, sets, names, report, broken, put, loads } = setUp(list("1", entry("good"), entry("broken", { endpoints: ["hostga"] })), [
      "broken",
    ]);
    await chain.check();
    expect([names(), names("hostga"), names("wireserver")]).toEqual([["good"], ["broken"], []]);
    expect(ask(sets[0]?.hostga[0])).toBe(true);
    expect(report()).toMatchObject({
      health: "failed",
      details: { installed: [{ state: "in-force" }, { name: "broken", state: "not-loaded" }] },
    });
    broken.clear();
    await put(list("1", entry("good"), entry("broken", { endpoints: ["hostga"] })));
    expect([report().health, loads]).toEqual(["ok", ["good", "broken", "broken"]]);
    expect(ask(sets.at(-1)?.hostga[0])).toBe(false);
  });

  test("a list that is replaced while it is being loaded is not refused for what the newer one took away", async () => {
    let reads = 0;
    const { log, events } = makeFakeLog();
    const sets: ModuleSet[] = [];
    const chain = makeModuleChain({
      readListing: () => (reads++ === 0 ? list("1", entry("gone")) : list("2", entry("here"))),
      load: async ({ name, audit }) =>
        name === "gone"
          ? err("it is missing")
          : ok({
              module: { name, audit, policyId: HASH, headers: new Set<string>(), ask: () => ({ answer: FAILED_ANSWER, failed: false }) },
              takes: NO_MODULE_MEMORY,
            }),
      putInForce: (set) => sets.push(set),
      changed: () => undefined,
      log,
      monotonicMs: () => 0,
      now: () => new Date(0),
    });
    await chain.check();
    expect([sets.map(({ imds }) => imds.map(({ name }) => name)), events.map(({ event }) => event)]).toEqual([
      [["here"]],
      ["modules-applied"],
    ]);
  });

  test("T-151: modules that take too much together are refused whole, and those in effect stay", async () => {
    const half = { ...NO_MODULE_MEMORY, linearBytes: MEMORY_OF_ALL_MODULES.linearBytes / 2 };
    const { chain, put, names, report, events } = setUp(list("1", entry("a"), entry("b")), [], {
      a: half,
      b: half,
      c: { ...half, linearBytes: 1 },
    });
    await chain.check();
    expect([names(), report().health]).toEqual([["a", "b"], "ok"]);
    await put(list("2", entry("a"), entry("b"), entry("c")));
    expect(names()).toEqual(["a", "b"]);
    expect(JSON.stringify(events.at(-1))).toContain(
      'cannot load module \\"c\\": with it all enabled modules may take 257 MiB as their own memories',
    );
    await put(list("3", entry("a"), entry("b", { enabled: false }), entry("c")));
    expect([names(), report().health]).toEqual([["a", "c"], "ok"]);
    // The same from the first list on: what cannot be loaded is denied, not left out.
    await put(list("4", entry("c"), entry("a"), entry("b")));
    expect(names()).toEqual(["a", "c"]);
  });

  test("T-131: putting a module in audit is told as a warning, once", async () => {
    const { chain, put, events } = setUp(list("1", entry("a")));
    await chain.check();
    await put(list("2", entry("a", { audit: true })));
    await put(list("3", entry("a", { audit: true }), entry("b")));
    const warnings = events.filter(({ level }) => level === "warn").map(({ event, fields }) => [event, fields.module]);
    expect(warnings).toEqual([["module-audited", "a"]]);
  });

  test("T-132: a module that keeps failing is told in the log within bounds, and makes the status failed until it has been quiet", async () => {
    const { chain, fail, pass, events, report } = setUp(list("1", entry("a")));
    await chain.check();
    fail("a");
    expect(report().health).toBe("ok");
    for (let i = 0; i < 99; i++) fail("a");
    const lines = () =>
      events
        .filter(({ event }) => event === "module-failed")
        .map(({ fields }) => [fields.failures, fields.failuresSinceLoad, fields.cause]);
    expect(lines()).toEqual([[1, 1, "trapped"]]);
    pass(10_000);
    await chain.check();
    expect(lines()).toEqual([
      [1, 1, "trapped"],
      [99, 100, "trapped"],
    ]);
    expect(report()).toMatchObject({
      health: "failed",
      message: 'module "a" keeps failing',
      details: { installed: [{ name: "a", state: "failing", failures: 100, lastFailure: "trapped: unreachable" }] },
    });
    pass(300_000);
    expect(report().health).toBe("ok");
  });
});
