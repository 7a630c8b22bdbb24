// What the decision trail costs: the same load through the same agent with and without it, in turns.

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { atLeast, atMost, median, type Section } from "./figures.ts";
import { BUSY, type LoadResult, runLoad } from "./load.ts";
import { processorBetween, readProcessor } from "./process-cost.ts";
import { IMDS, Rig } from "./rig.ts";
import { makeRuleSet } from "./rule-set.ts";

/** At most 3 % may be lost. */
const BOUND_SHARE = 0.97;
const WAYS = ["without", "with"] as const;
type Way = (typeof WAYS)[number];
type Measured = LoadResult & { readonly processorUs: number };

export async function benchTrail({ rounds, seconds }: { readonly rounds: number; readonly seconds: number }): Promise<Section> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: { imds: makeRuleSet(20, 10) } });
  const folder = join(rig.folder, "audit");
  mkdirSync(folder, { mode: 0o700 });
  const runs: Record<Way, Measured[]> = { without: [], with: [] };
  // The first round warms the host up and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const way of round % 2 === 0 ? WAYS : [...WAYS].reverse()) {
      const measured = await measure(rig, way === "with" ? { auditFolder: folder } : {}, round === 0 ? 1 : seconds);
      if (round > 0) runs[way].push(measured);
    }
  }
  rmSync(folder, { recursive: true });
  const of = (way: Way, value: (run: Measured) => number) => median(runs[way].map(value));
  const throughput = (run: Measured) => run.perSecond;
  const latency = (run: Measured) => run.p99Us;
  const processor = (run: Measured) => run.processorUs;
  const against = (value: (run: Measured) => number) => ({ name: "without trail", value: of("without", value) });
  return {
    title: "Decision trail: a record for each decision",
    how: `wrk, ${BUSY.name}, ${rounds} rounds of ${seconds} s each way in turns, a fresh agent each time`,
    figures: [
      {
        name: "throughput",
        value: of("with", throughput),
        unit: "/s",
        against: against(throughput),
        bound: atLeast(of("with", throughput), BOUND_SHARE * of("without", throughput), `${BOUND_SHARE} x without`),
      },
      {
        name: "processor time a request",
        value: of("with", processor),
        unit: "us",
        against: against(processor),
        bound: atMost(of("with", processor), 1.05 * of("without", processor), "1.05 x without"),
      },
      { name: "latency p99", value: of("with", latency), unit: "us", against: against(latency) },
    ],
  };
}

async function measure(rig: Rig, config: Readonly<Record<string, unknown>>, seconds: number): Promise<Measured> {
  const agent = await rig.startAgent({ config });
  try {
    // What the compiler makes of the code is part of the agent, not of the trail.
    await runLoad(rig, "guarded", IMDS, BUSY, 1);
    const before = readProcessor(agent.pid);
    const result = await runLoad(rig, "guarded", IMDS, BUSY, seconds);
    const used = processorBetween(before, readProcessor(agent.pid));
    return { ...result, processorUs: (used.seconds * 1e6) / result.requests };
  } finally {
    await rig.stop(agent);
  }
}
