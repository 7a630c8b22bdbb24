// What root notices of a flood by one user: requests of root on new connections, beside nobody and beside thousands of connections in
// flight, from processes whose number of threads makes them dear to read about.

import { HelperPrograms } from "../support/helper-program.ts";
import { atMost, type Figure, median, type Section } from "./figures.ts";
import { answersOk, type Target } from "./probe.ts";
import { IMDS, Rig } from "./rig.ts";
import { serviceEnvironment } from "./service-environment.ts";

const WIRESERVER: Target = { address: "168.63.129.16", port: 80, path: "/?comp=versions" };
const PROBED = { IMDS, WireServer: WIRESERVER } as const;
type Probed = keyof typeof PROBED;
const PROBES = Object.keys(PROBED) as readonly Probed[];
const BOUND_TIMES = 3;
const FLOODING_USER = 65_534;
const PAUSE_MS = 20;

export interface FloodOptions {
  readonly rounds: number;
  readonly seconds: number;
}

interface Flood {
  readonly connections: number;
  readonly threads: number;
}

const FLOODS: readonly Flood[] = [
  { connections: 1_200, threads: 0 },
  { connections: 3_000, threads: 0 },
  { connections: 3_000, threads: 8_000 },
];

interface Measured {
  readonly times: number[];
  unanswered: number;
}

export async function benchFlood({ rounds, seconds }: FloodOptions): Promise<Section> {
  using programs = new HelperPrograms("flood");
  const measured = new Map<string, Measured>();
  for (let round = 0; round < rounds; round++) {
    for (const flood of [undefined, ...FLOODS]) {
      // Each flood meets an agent that was never flooded.
      await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: {} });
      await rig.startAgent({ env: serviceEnvironment() });
      const attacker = flood === undefined ? undefined : startFlood(rig, programs, flood);
      if (attacker !== undefined) await Bun.sleep(1_000);
      await rig.whileGuarded(() => Promise.all(PROBES.map((probed) => ask(measuredOf(measured, flood, probed), PROBED[probed], seconds))));
      if (attacker !== undefined) await rig.stop(attacker);
    }
  }
  return {
    title: "A flood of connections by one user",
    how: `${rounds} rounds of ${seconds} s: root's requests, each on a new connection, beside connections that are reset as soon as they are answered`,
    figures: FLOODS.flatMap((flood) => PROBES.flatMap((probed) => figuresOf(measured, flood, probed))),
  };
}

const keyOf = (flood: Flood | undefined, probed: Probed): string =>
  flood === undefined ? probed : `${flood.connections} in flight, ${flood.threads} threads: ${probed}`;

function measuredOf(measured: Map<string, Measured>, flood: Flood | undefined, probed: Probed): Measured {
  const key = keyOf(flood, probed);
  const found = measured.get(key) ?? { times: [], unanswered: 0 };
  measured.set(key, found);
  return found;
}

function figuresOf(measured: Map<string, Measured>, flood: Flood, probed: Probed): readonly Figure[] {
  const { times, unanswered } = measuredOf(measured, flood, probed);
  const [value, quiet] = [median(times), median(measuredOf(measured, undefined, probed).times)];
  const name = keyOf(flood, probed);
  return [
    {
      name,
      value,
      unit: "ms",
      against: { name: "nobody else asks", value: quiet },
      bound: atMost(value / quiet, BOUND_TIMES, `${BOUND_TIMES} times as long`),
    },
    { name: `${name}, not answered with 200`, value: unanswered, unit: `of ${times.length}`, bound: atMost(unanswered, 0, "none") },
  ];
}

/** One request after another. What is not answered counts as long as it was waited for. */
async function ask(into: Measured, target: Target, seconds: number): Promise<void> {
  const endMs = performance.now() + seconds * 1_000;
  while (performance.now() < endMs) {
    const startedMs = performance.now();
    if (!(await answersOk(target))) into.unanswered += 1;
    into.times.push(performance.now() - startedMs);
    await Bun.sleep(PAUSE_MS);
  }
}

function startFlood(rig: Rig, programs: HelperPrograms, { connections, threads }: Flood) {
  const settings = [`uid=${FLOODING_USER}`, `to=${IMDS.address}:${IMDS.port}`, `connections=${connections}`, `threads=${threads}`];
  // What the attacker's own program takes from the processors is not what is asked about.
  return rig.spawn("guarded", ["nice", "-n", "19", programs.path("flood"), ...settings]);
}
