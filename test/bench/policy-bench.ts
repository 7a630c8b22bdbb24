// What one decision of a compiled rule set costs, glue included, as the rules grow; and what it costs to compile them.

import { join } from "node:path";
import { compileItemApart } from "../../proxy/adapters/policy/compile-item.ts";
import type { Policy } from "../../proxy/core/ports.ts";
import { canonicalise } from "../../proxy/core/request/canonical-request.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { COMPILE_ITEM_COMMAND } from "../../proxy/daemon/own-command.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { atMost, type Figure, median, quantile, type Section } from "./figures.ts";
import { makeRuleSet } from "./rule-set.ts";

const SIZES = [10, 100, 1_000] as const;
const BOUND_MEDIAN_US = 10;
/** Median at the largest rule set against the smallest: "flat" leaves room for caches, not for a walk through the rules. */
const BOUND_GROWTH = 1.5;
/** Requests may wait this much longer while rules are swapped. */
const BOUND_SWAP_MS = 5;
const COMPILER = [process.execPath, join(import.meta.dir, "../../proxy/main.ts"), COMPILE_ITEM_COMMAND];
const WARM_CALLS = 20_000;
const COMPILES = 9;

const REQUEST = canonicalise("imds", "GET", "/metadata/instance/compute/storageProfile?api-version=2021-02-01&format=json");
const CALLER = claimsOf({
  userId: 0,
  runAsElevated: true,
  userName: "root",
  userGroups: ["root", "adm", "docker", "sudo"],
  processFullPath: "/usr/bin/python3.11",
  processName: "python3.11",
});

export interface PolicyOptions {
  readonly rounds: number;
  readonly callsPerRound: number;
}

export async function benchPolicy({ rounds, callsPerRound }: PolicyOptions): Promise<Section> {
  if (!REQUEST.ok) throw new Error(`internal error: the request is refused: ${REQUEST.error}`);
  const request = REQUEST.value;
  const subjects = SIZES.map((size) => ({ size, policy: prepare(size, 10), medians: [] as number[], p99s: [] as number[] }));
  for (const { policy, size } of subjects) {
    for (let call = 0; call < WARM_CALLS; call++) policy.evaluate(request, CALLER);
    const { kind } = policy.evaluate(request, CALLER);
    if (kind !== "allow") throw new Error(`cannot measure: the rules of ${size} privileges answer "${kind}", want "allow"`);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { policy, medians, p99s } of subjects) {
      const calls = new Float64Array(callsPerRound);
      for (let call = 0; call < callsPerRound; call++) {
        const startedNs = Bun.nanoseconds();
        policy.evaluate(request, CALLER);
        calls[call] = (Bun.nanoseconds() - startedNs) / 1000;
      }
      medians.push(quantile([...calls], 0.5));
      p99s.push(quantile([...calls], 0.99));
    }
  }
  const smallest = subjects[0];
  if (smallest === undefined) throw new Error("internal error: no sizes");
  const baseline = { name: `${SIZES[0]} privileges`, median: median(smallest.medians), p99: median(smallest.p99s) };
  const figures = subjects.flatMap(({ size, medians, p99s }): readonly Figure[] => {
    const value = median(medians);
    const limitUs = Math.min(BOUND_MEDIAN_US, BOUND_GROWTH * baseline.median);
    return [
      {
        name: `${size} privileges: a decision, median`,
        value,
        unit: "us",
        against: { name: baseline.name, value: baseline.median },
        bound: atMost(value, limitUs, `${BOUND_MEDIAN_US} us and ${BOUND_GROWTH} x ${baseline.name}`),
      },
      {
        name: `${size} privileges: a decision, p99`,
        value: median(p99s),
        unit: "us",
        against: { name: baseline.name, value: baseline.p99 },
      },
    ];
  });
  return {
    title: "Policy: one decision of the compiled rules, glue included",
    how: `${rounds} rounds of ${callsPerRound} calls for each size in turns; 4 segments, 2 parameters, 4 groups, 10 identities`,
    figures: [...figures, ...compileFigures(), await swapFigure()],
  };
}

/** Parse, compile and load, as when the host sends new rules. */
function compileFigures(): readonly Figure[] {
  const small: number[] = [];
  const large: number[] = [];
  for (let round = 0; round < COMPILES; round++) {
    small.push(timeMs(() => prepare(10, 10)));
    large.push(timeMs(() => prepare(1_000, 1_000)));
  }
  const against = { name: "10 privileges, 10 identities", value: median(small) };
  return [{ name: "parse, compile and load 1000 privileges, 1000 identities", value: median(large), unit: "ms", against }];
}

/** The longest that a request could have to wait while a thousand rules are taken up, as the daemon does it. */
async function swapFigure(): Promise<Figure> {
  const item = makeRuleSet(1_000, 1_000);
  const holds: number[] = [];
  for (let round = 0; round <= COMPILES; round++) {
    let longestMs = 0;
    let lastMs = performance.now();
    let busy = true;
    const watch = (): void => {
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
      if (busy) setImmediate(watch);
    };
    setImmediate(watch);
    const compiled = await compileItemApart(COMPILER, "imds", item);
    if (!compiled.ok) throw new Error(`internal error: the rule set does not compile: ${compiled.error}`);
    if (!loadPolicy(compiled.value.component).ok) throw new Error("internal error: the component does not load");
    busy = false;
    watch();
    // The first round is the start of the program, when nobody waits yet.
    if (round > 0) holds.push(longestMs);
  }
  const value = median(holds);
  const against = {
    name: "compiled in the daemon",
    value: median(Array.from({ length: COMPILES }, () => timeMs(() => prepare(1_000, 1_000)))),
  };
  const bound = atMost(value, BOUND_SWAP_MS, `${BOUND_SWAP_MS} ms`);
  return { name: "1000 new rules: longest wait of a request", value, unit: "ms", against, bound };
}

function prepare(privileges: number, identities: number): Policy {
  const rules = parseRuleItem(makeRuleSet(privileges, identities));
  if (!rules.ok) throw new Error(`internal error: the rule set is refused: ${JSON.stringify(rules.error)}`);
  const component = compilePolicy(rules.value, "imds");
  if (!component.ok) throw new Error(`internal error: the rule set does not compile: ${JSON.stringify(component.error)}`);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(`internal error: the component does not load: ${JSON.stringify(policy.error)}`);
  return policy.value;
}

function timeMs(run: () => unknown): number {
  const startedMs = performance.now();
  run();
  return performance.now() - startedMs;
}
