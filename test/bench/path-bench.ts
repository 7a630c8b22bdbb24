// What the whole path costs (redirect, identify, policy, sign, forward): the same client to the same host, directly, through the
// agent and through nginx, in turns.

import type { Subprocess } from "bun";
import { atLeast, type Figure, median, type Section } from "./figures.ts";
import { type LoadResult, runLoad, SHAPES, type Shape } from "./load.ts";
import type { Target } from "./probe.ts";
import { processorBetween, readProcessor } from "./process-cost.ts";
import { IMDS, NGINX, type Place, Rig, workerOf } from "./rig.ts";
import { makeRuleSet } from "./rule-set.ts";

const BOUND_SHARE_OF_NGINX = 0.45;
/** Between two loads. */
const SETTLE_MS = 300;

export interface PathOptions {
  readonly rounds: number;
  readonly seconds: number;
}

const WAYS = ["direct", "nginx", "agent"] as const;
type Way = (typeof WAYS)[number];
type Measured = LoadResult & { readonly processorUs: number };

export async function benchPath({ rounds, seconds }: PathOptions): Promise<Section> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: { imds: makeRuleSet(20, 10) } });
  // Polls once, at start: the rounds below change the host's mode and the agent must stay in enforce.
  const agent = await rig.startAgent();
  await rig.host.configure({ imds: "audit" });
  const nginx = await rig.startNginx();
  const runs = new Map<string, Measured[]>();
  // The first round warms all three up and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const shape of SHAPES) {
      for (const way of rotated(WAYS, round)) {
        const measured = await measure(rig, way, shape, round === 0 ? 1 : seconds, { agent, nginx });
        if (round > 0) runs.set(`${way} ${shape.name}`, [...(runs.get(`${way} ${shape.name}`) ?? []), measured]);
      }
    }
  }
  const of = (way: Way, shape: Shape, value: (run: Measured) => number) => median((runs.get(`${way} ${shape.name}`) ?? []).map(value));
  return {
    title: "Path: one request through redirect, identification, policy, signature and back",
    how: `wrk, ${rounds} rounds of ${seconds} s each way in turns; agent in enforce, every request it sent was validly signed`,
    figures: SHAPES.flatMap((shape) => figuresOf(shape, (way, value) => of(way, shape, value))),
  };
}

function figuresOf(shape: Shape, of: (way: Way, value: (run: Measured) => number) => number): readonly Figure[] {
  const perSecond = (run: Measured) => run.perSecond;
  const medianUs = (run: Measured) => run.medianUs;
  const throughput = { name: `${shape.name}: throughput`, value: of("agent", perSecond), unit: "/s" };
  const nginxPerSecond = of("nginx", perSecond);
  const addedUs = of("agent", medianUs) - of("direct", medianUs);
  const bound = { bound: atLeast(throughput.value, BOUND_SHARE_OF_NGINX * nginxPerSecond, `${BOUND_SHARE_OF_NGINX} x nginx`) };
  return [
    { ...throughput, against: { name: "nginx", value: nginxPerSecond }, ...(shape.close || shape.connections === 1 ? {} : bound) },
    { ...throughput, against: { name: "direct", value: of("direct", perSecond) } },
    {
      name: `${shape.name}: added latency`,
      value: addedUs,
      unit: "us",
      against: { name: "added by nginx", value: of("nginx", medianUs) - of("direct", medianUs) },
    },
    {
      name: `${shape.name}: latency p99`,
      value: of("agent", (run) => run.p99Us),
      unit: "us",
      against: { name: "nginx", value: of("nginx", (run) => run.p99Us) },
    },
    {
      name: `${shape.name}: processor time a request`,
      value: of("agent", (run) => run.processorUs),
      unit: "us",
      against: { name: "nginx", value: of("nginx", (run) => run.processorUs) },
    },
  ];
}

interface Proxies {
  readonly agent: Subprocess;
  readonly nginx: Subprocess;
}

async function measure(rig: Rig, way: Way, shape: Shape, seconds: number, { agent, nginx }: Proxies): Promise<Measured> {
  const place: Place = way === "agent" ? "guarded" : "open";
  const target: Target = way === "nginx" ? NGINX : IMDS;
  const observed = way === "nginx" ? workerOf(nginx) : agent.pid;
  await rig.host.configure({ imds: way === "agent" ? "enforce" : "audit" });
  // What the load before this one left under way must not count here.
  await Bun.sleep(SETTLE_MS);
  await rig.host.reset();
  const before = readProcessor(observed);
  const result = await runLoad(rig, place, target, shape, seconds);
  const used = processorBetween(before, readProcessor(observed));
  const { imds } = await rig.host.counters();
  const wanted = way === "agent" ? imds.valid : imds.unsigned;
  // The load ends in the middle of requests; those count as broken.
  if (wanted < result.requests || imds.requests - imds.broken !== wanted)
    throw new Error(`cannot measure: of ${imds.requests} requests only ${wanted} reached the host as they should (${way})`);
  return { ...result, processorUs: (used.seconds * 1e6) / result.requests };
}

function rotated<T>(list: readonly T[], by: number): readonly T[] {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
