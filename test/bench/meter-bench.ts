// What the meter costs: a decision of the rules engine metered and not, in the same run through the same glue; how long a component
// takes to be checked and rewritten; how soon an endless loop is over.

import { type ComponentInstance, compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { budgetsFor, DEFAULT_BUDGETS } from "../../proxy/core/modules/module-budgets.ts";
import type { ModuleBudgets } from "../../proxy/core/modules/module-entry.ts";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { canonicalise } from "../../proxy/core/request/canonical-request.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import type { PreparedComponent } from "../../proxy/core/wasm/component-plan.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { extractCoreModule } from "../../proxy/core/wasm/wasm-binary.ts";
import { claimsOf } from "../support/claims.ts";
import { componentFromModuleWat, type ModuleWat } from "../support/module-wat.ts";
import { compilePolicy } from "../support/policy-build.ts";
import { endlessly, PRICED } from "../support/priced-instructions.ts";
import { CHAIN_OF_LOADS, SLOW_LOOPS } from "../support/slow-loops.ts";
import { atMost, type Figure, median, quantile, type Section } from "./figures.ts";
import { makeRuleSet } from "./rule-set.ts";

const SIZES = [10, 100, 1_000] as const;
const BOUND_OVERHEAD = 1.1;
const BOUND_LOOP_MS = 15;
const WARM_CALLS = 20_000;
/** Of what a unit takes: memory that no cache holds is the exception, and has figures of its own. */
const BOUND_PRICE = 4;
const DEAREST_SHOWN = 5;
const IN_NO_CACHE: ReadonlySet<string> = new Set(["memory.fill", "memory.copy"]);

export interface MeterOptions {
  readonly rounds: number;
  readonly callsPerRound: number;
}

export async function benchMeter({ rounds, callsPerRound }: MeterOptions): Promise<Section> {
  const figures: Figure[] = [];
  for (const size of SIZES) figures.push(await benchSize(size, rounds, callsPerRound));
  figures.push(benchPreparation(rounds), ...(await benchLoops(rounds)), ...(await benchPrices(rounds)));
  return {
    title: "The meter",
    how: `metered and unmetered calls in turns, medians of ${rounds} rounds of ${callsPerRound} calls through our own glue`,
    figures,
  };
}

/** In the agent the engine runs unmetered, and its tables are checked when it starts. */
const ENGINE_BUDGETS: ModuleBudgets = { ...DEFAULT_BUDGETS, fuel: 1_000_000_000 };

function question(): PolicyQuestion {
  const request = canonicalise("imds", "GET", "/metadata/instance/compute/storageProfile?api-version=2021-02-01&format=json");
  if (!request.ok) throw new Error(`internal error: the request is refused: ${request.error}`);
  const claims = claimsOf({ userId: 0, runAsElevated: true, userName: "root", userGroups: ["root", "adm", "docker", "sudo"] });
  return { request: request.value, claims, headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
}

function componentOf(size: number): Uint8Array {
  const rules = parseRuleItem(makeRuleSet(size, 10));
  if (!rules.ok) throw new Error("internal error: unusable rules");
  const component = compilePolicy(rules.value, "imds");
  if (!component.ok) throw new Error(`internal error: ${component.error.kind}`);
  return component.value;
}

function prepare(bytes: Uint8Array): PreparedComponent {
  const result = prepareComponent(bytes);
  if (!result.ok) throw new Error(result.error.message);
  return result.value.prepared;
}

async function start(prepared: PreparedComponent, budgets: ModuleBudgets): Promise<ComponentInstance> {
  const compiled = await compileComponent(prepared);
  if (!compiled.ok) throw new Error(compiled.error.message);
  return running(startComponent(compiled.value, budgets));
}

function running(started: ReturnType<typeof startComponent>): ComponentInstance {
  if (!started.ok) throw new Error(started.error.message);
  const configured = started.value.configure(new Uint8Array());
  if (!configured.ok || configured.value !== undefined) throw new Error("internal error: it does not take its settings");
  return started.value;
}

async function benchSize(size: number, rounds: number, callsPerRound: number): Promise<Figure> {
  const bytes = componentOf(size);
  const prepared = prepare(bytes);
  const core = extractCoreModule(bytes);
  if (!core.ok) throw new Error("internal error: no core module");
  const module = new WebAssembly.Module(Uint8Array.from(core.value));
  const plain = running(startComponent({ plan: prepared.plan, modules: [module], fuelImport: undefined }, ENGINE_BUDGETS));
  const subjects = [
    { instance: plain, medians: [] as number[] },
    { instance: await start(prepared, ENGINE_BUDGETS), medians: [] as number[] },
  ] as const;
  const asked = question();
  for (const { instance } of subjects) for (let call = 0; call < WARM_CALLS; call++) instance.evaluate(asked);
  if (!Bun.deepEquals(subjects[0].instance.evaluate(asked), subjects[1].instance.evaluate(asked))) {
    throw new Error(`cannot measure: metered and unmetered rules of ${size} privileges answer differently`);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { instance, medians } of subjects) {
      const calls = new Float64Array(callsPerRound);
      for (let call = 0; call < callsPerRound; call++) {
        const startedNs = Bun.nanoseconds();
        instance.evaluate(asked);
        calls[call] = (Bun.nanoseconds() - startedNs) / 1000;
      }
      medians.push(quantile([...calls], 0.5));
    }
  }
  const unmetered = median(subjects[0].medians);
  const value = median(subjects[1].medians);
  const bound = atMost(value, BOUND_OVERHEAD * unmetered, `${BOUND_OVERHEAD} x unmetered`);
  return { name: `${size} privileges: a metered decision`, value, unit: "us", against: { name: "unmetered", value: unmetered }, bound };
}

function benchPreparation(rounds: number): Figure {
  const bytes = componentOf(100);
  for (let i = 0; i < 20; i++) prepare(bytes);
  const times = Array.from({ length: rounds * 3 }, () => {
    const startedMs = performance.now();
    prepare(bytes);
    return performance.now() - startedMs;
  });
  return { name: `check and meter a component of ${Math.round(bytes.length / 1024)} KiB`, value: median(times), unit: "ms" };
}

async function benchLoops(rounds: number): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const [name, parts] of Object.entries(SLOW_LOOPS)) {
    const figure = await benchLoop(`${name}, until the default budget is used up`, parts, rounds, budgetsFor(DEFAULT_BUDGETS, 1));
    figures.push({ ...figure, bound: atMost(figure.value, BOUND_LOOP_MS, `${BOUND_LOOP_MS} ms`) });
  }
  // The default budget of one core module does not even suffice to lay it. Who has more can: weights that kept it within the bound
  // would not leave an interpreter enough fuel.
  figures.push(
    await benchLoop(
      "a chain of loads through all memory, with an interpreter's budget",
      CHAIN_OF_LOADS,
      rounds,
      budgetsFor(DEFAULT_BUDGETS, 2),
    ),
  );
  return figures;
}

/** What a unit of each kind of instruction takes, once the engine has made machine code of it; the dearest kinds are shown. */
async function benchPrices(rounds: number): Promise<readonly Figure[]> {
  const budgets = budgetsFor(DEFAULT_BUDGETS, 1);
  const prices: { readonly name: string; readonly value: number }[] = [];
  for (const [name, kind] of Object.entries(PRICED)) {
    if (IN_NO_CACHE.has(name)) continue;
    const { value } = await benchLoop(name, endlessly(kind), rounds, budgets);
    prices.push({ name, value: (value * 1e6) / budgets.fuel });
  }
  const typical = median(prices.map(({ value }) => value));
  const dearest = prices.toSorted((a, b) => b.value - a.value).slice(0, DEAREST_SHOWN);
  return dearest.map(({ name, value }) => ({
    name: `a unit of ${name}`,
    value,
    unit: "ns",
    against: { name: "of the kind in the middle", value: typical },
    bound: atMost(value, BOUND_PRICE * typical, `${BOUND_PRICE} x that`),
  }));
}

/** Each round on a fresh instance, as after the failure of the one before. */
async function benchLoop(name: string, parts: ModuleWat, rounds: number, budgets: ModuleBudgets): Promise<Figure> {
  const prepared = prepare(await componentFromModuleWat(parts));
  const asked = question();
  const times: number[] = [];
  for (let i = 0; i < rounds * 3; i++) {
    const instance = await start(prepared, budgets);
    const startedMs = performance.now();
    const answer = instance.evaluate(asked);
    times.push(performance.now() - startedMs);
    if (answer.ok || answer.error.kind !== "out-of-fuel") throw new Error("internal error: an endless loop ended otherwise");
  }
  return { name, value: median(times), unit: "ms" };
}
