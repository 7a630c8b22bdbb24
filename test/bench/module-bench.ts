// What policy modules cost the daemon: a request through one, taking one in force, its memory while it is idle, and what a caller
// who makes one fail on purpose does to everybody else.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_BUDGETS } from "../../proxy/core/modules/module-budgets.ts";
import { NO_MODULE_MEMORY } from "../../proxy/core/modules/module-memory.ts";
import type { ModuleInForce } from "../../proxy/core/modules/policy-chain.ts";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { canonicalise } from "../../proxy/core/request/canonical-request.ts";
import { makeLoadModule, readListing } from "../../proxy/daemon/modules/load-module.ts";
import { claimsOf } from "../support/claims.ts";
import { ModuleWorkshop } from "../support/module-build.ts";
import { ABSTAIN, answerWat, guestComponent, type InstalledModule, installModules } from "../support/module-store.ts";
import { atMost, type Figure, median, quantile, type Section } from "./figures.ts";
import { benchModuleMemory } from "./module-memory-bench.ts";

const BOUND_CALL_US = 10;
const BOUND_LOAD_MS = { single: 10, quickjs: 60 } as const;
const BOUND_IDLE_MIB = 2;
const BOUND_ATTACK_MS = 15;
const QUICKJS_BUDGETS = { ...DEFAULT_BUDGETS, fuel: 100_000_000 };
const IDLE_MODULES = 20;
const IDLE_SETS = 4;
const WARM_CALLS = 20_000;
const LOADS = 7;
const MIB = 1024 * 1024;

export interface ModuleOptions {
  readonly rounds: number;
  readonly callsPerRound: number;
  readonly attackSeconds: number;
  /** Starts of the agent with modules, and as many without. */
  readonly starts: number;
}

const REQUEST = canonicalise("imds", "GET", "/metadata/instance/compute/storageProfile?api-version=2021-02-01&format=json");

function questionOf(userId: number): PolicyQuestion {
  if (!REQUEST.ok) throw new Error(`internal error: the request is refused: ${REQUEST.error}`);
  const claims = claimsOf({
    userId,
    userName: "alice",
    userGroups: ["alice", "adm", "docker", "sudo"],
    processFullPath: "/usr/bin/python3.11",
  });
  const soFar = { kind: "allow", reason: "granted", rule: "read/root", labels: [] } as const;
  return { request: REQUEST.value, claims, headers: [], uptimeSeconds: 100, unixSeconds: 1_750_000_000, soFar };
}

/** A store in a folder of its own, and the daemon's own way of loading from it. */
class BenchStore implements Disposable {
  readonly #above = mkdtempSync(join(tmpdir(), "module-bench-"));
  readonly #folder = join(this.#above, "modules");
  readonly #owner = process.geteuid?.() ?? 0;

  install(modules: readonly InstalledModule[]): void {
    installModules(this.#folder, modules, this.#owner);
  }

  /** As the daemon takes what is installed in force. */
  async load(): Promise<readonly ModuleInForce[]> {
    const trustedKeysFolder = join(this.#above, "keys");
    mkdirSync(trustedKeysFolder, { recursive: true });
    const files = {
      folder: this.#folder,
      trustedKeysFolder,
      requireSigned: false,
      owner: this.#owner,
      monotonicMs: () => performance.now(),
      cpuMs: () => performance.now(),
    };
    const listing = readListing(files);
    if (!listing.ok) throw new Error(listing.error);
    const load = makeLoadModule(files);
    const loaded: ModuleInForce[] = [];
    for (const entry of listing.value.entries) {
      const module = await load(entry, () => undefined, NO_MODULE_MEMORY);
      if (!module.ok) throw new Error(module.error);
      loaded.push(module.value.module);
    }
    return loaded;
  }

  [Symbol.dispose](): void {
    rmSync(this.#above, { recursive: true, force: true });
  }
}

export async function benchModules({ rounds, callsPerRound, attackSeconds, starts }: ModuleOptions): Promise<Section> {
  using store = new BenchStore();
  using workshop = new ModuleWorkshop();
  const [c, compiled, rust] = [buildTemplate(workshop, "c"), buildTemplate(workshop, "as"), buildTemplate(workshop, "rust")];
  const quickjs = buildTemplate(workshop, "ts");
  return {
    title: "Policy modules in the daemon",
    how: `templates as authors get them, loaded as the daemon does; ${rounds} rounds of ${callsPerRound} calls; ${attackSeconds} s of attack`,
    figures: [
      await idleFigure(store, compiled),
      await benchModuleMemory(compiled, starts),
      await callFigure(store, "C", c, rounds, callsPerRound, BOUND_CALL_US),
      await callFigure(store, "AssemblyScript", compiled, rounds, callsPerRound, BOUND_CALL_US),
      await callFigure(store, "Rust", rust, rounds, callsPerRound, BOUND_CALL_US),
      await callFigure(store, "TypeScript (QuickJS)", quickjs, rounds, Math.ceil(callsPerRound / 10), undefined),
      await loadFigure(store, "one core module", compiled, BOUND_LOAD_MS.single),
      await loadFigure(store, "QuickJS", quickjs, BOUND_LOAD_MS.quickjs),
      await attackFigure(store, attackSeconds),
    ],
  };
}

function buildTemplate(workshop: ModuleWorkshop, language: string): Uint8Array {
  const made = workshop.agent("module", "new", "--language", language, `bench-${language}`);
  const built = made.exitCode === 0 ? workshop.build(`bench-${language}`) : made;
  if (built.exitCode !== 0) throw new Error(`cannot build the ${language} template: ${built.stderr}${built.stdout}`);
  return readFileSync(join(workshop.folder, `bench-${language}`, "policy.wasm"));
}

async function callFigure(
  store: BenchStore,
  name: string,
  component: Uint8Array,
  rounds: number,
  calls: number,
  boundUs: number | undefined,
): Promise<Figure> {
  store.install([{ name: "called", component, budgets: QUICKJS_BUDGETS }]);
  const [module] = await store.load();
  if (module === undefined) throw new Error("internal error: no module");
  const question = questionOf(1000);
  for (let call = 0; call < Math.min(WARM_CALLS, 4 * calls); call++)
    if (module.ask(question).failed) throw new Error(`cannot measure: the ${name} template fails`);
  const medians = Array.from({ length: rounds }, () => {
    const times = Array.from({ length: calls }, () => {
      const startedNs = Bun.nanoseconds();
      module.ask(question);
      return (Bun.nanoseconds() - startedNs) / 1000;
    });
    return median(times);
  });
  const value = median(medians);
  const bound = boundUs === undefined ? {} : { bound: atMost(value, boundUs, `${boundUs} us`) };
  return { name: `${name}: a request, median`, value, unit: "us", ...bound };
}

/** The longest that a request could have to wait while a module is taken in force. */
async function loadFigure(store: BenchStore, name: string, component: Uint8Array, boundMs: number): Promise<Figure> {
  const holds: number[] = [];
  store.install([{ name: "loaded", component, budgets: QUICKJS_BUDGETS }]);
  for (let round = 0; round <= LOADS; round++) {
    const hold = watchHolds();
    await store.load();
    // The first round is the start of the program, when nobody waits yet.
    if (round > 0) holds.push(hold.longestMs());
  }
  const value = median(holds);
  const bound = atMost(value, boundMs, `${boundMs} ms`);
  return { name: `taking a module in force (${name}): longest wait of a request`, value, unit: "ms", bound };
}

/** How long the thread was held at most from now on. */
function watchHolds(): { longestMs(): number } {
  let longestMs = 0;
  let lastMs = performance.now();
  let busy = true;
  const watch = (): void => {
    longestMs = Math.max(longestMs, performance.now() - lastMs);
    lastMs = performance.now();
    if (busy) setImmediate(watch);
  };
  setImmediate(watch);
  return {
    longestMs() {
      busy = false;
      watch();
      return longestMs;
    },
  };
}

/** Resident memory of one more idle module that was asked before, its linear memory included. The first ones pay for what all share. */
async function idleFigure(store: BenchStore, component: Uint8Array): Promise<Figure> {
  store.install(Array.from({ length: IDLE_MODULES }, (_, i) => ({ name: `idle-${i}`, component })));
  const sets: (readonly ModuleInForce[])[] = [];
  const residentWithOneMoreSet = async (): Promise<number> => {
    const modules = await store.load();
    for (const module of modules) module.ask(questionOf(1000));
    sets.push(modules);
    Bun.gc(true);
    await Bun.sleep(100);
    return process.memoryUsage.rss();
  };
  // Two sets more, until garbage of the benches before is given back.
  await residentWithOneMoreSet();
  await residentWithOneMoreSet();
  const first = await residentWithOneMoreSet();
  for (let more = 0; more < IDLE_SETS - 1; more++) await residentWithOneMoreSet();
  const last = await residentWithOneMoreSet();
  const value = Math.max(0, last - first) / (IDLE_SETS * IDLE_MODULES) / MIB;
  if (sets.flat().length !== (IDLE_SETS + 3) * IDLE_MODULES) throw new Error("internal error: a module is gone");
  return {
    name: "an idle module, its own memory included",
    value,
    unit: "MiB",
    bound: atMost(value, BOUND_IDLE_MIB, `${BOUND_IDLE_MIB} MiB`),
  };
}

/** Somebody has a module loop to the end of its budget as often as possible; others ask another module once a millisecond. */
async function attackFigure(store: BenchStore, seconds: number): Promise<Figure> {
  const looping = await guestComponent("(loop $l (br $l)) unreachable");
  const good = await guestComponent(answerWat(ABSTAIN));
  store.install([
    { name: "attacked", component: looping, budgets: QUICKJS_BUDGETS },
    { name: "bystander", component: good },
  ]);
  const [attacked, bystander] = await store.load();
  if (attacked === undefined || bystander === undefined) throw new Error("internal error: no modules");
  const calm = await waitsOf(bystander, seconds, undefined);
  const attack = await waitsOf(bystander, seconds, () => attacked.ask(questionOf(666)));
  const value = quantile(attack, 0.99);
  const against = { name: "nobody attacks", value: quantile(calm, 0.99) };
  const bound = atMost(value, against.value + BOUND_ATTACK_MS, `${BOUND_ATTACK_MS} ms more`);
  return { name: "others' requests while a module is attacked, p99", value, unit: "ms", against, bound };
}

/** How long each of the bystander's requests took, a millisecond of sleep before it included. */
async function waitsOf(bystander: ModuleInForce, seconds: number, attack: (() => unknown) | undefined): Promise<readonly number[]> {
  const waits: number[] = [];
  const question = questionOf(1000);
  const endMs = performance.now() + 1000 * seconds;
  let attacking = true;
  const attackOn = (): void => {
    attack?.();
    if (attacking) setTimeout(attackOn, 1);
  };
  attackOn();
  while (performance.now() < endMs) {
    const startedMs = performance.now();
    await Bun.sleep(1);
    if (bystander.ask(question).failed) throw new Error("internal error: the bystander fails");
    waits.push(performance.now() - startedMs);
  }
  attacking = false;
  return waits;
}
