// What switches of the runtime are worth to the agent: memory, throughput, and how often it wakes up while nobody asks. Shows why the
// service is started with the settings it has; each row against the agent without any.

import { type Figure, median, type Section } from "./figures.ts";
import { BUSY, runLoad } from "./load.ts";
import { readMainThreadWakeUps, readMemory } from "./process-cost.ts";
import { IMDS, Rig } from "./rig.ts";
import { makeRuleSet } from "./rule-set.ts";
import { serviceEnvironment } from "./service-environment.ts";

const SETTLE_MS = 3_000;

export interface SettingsOptions {
  readonly rounds: number;
  readonly idleSeconds: number;
  readonly loadSeconds: number;
  readonly pollSeconds: number;
}

const NONE = "no settings";

/** Without JIT the agent does not start at all: bun:ffi, through which it reads /proc and account names, is compiled. */
const SETTINGS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [NONE]: {},
  "as the service is started": serviceEnvironment(),
  "no collections by the clock": { BUN_GC_TIMER_DISABLE: "1" },
  "one marking thread": { BUN_JSC_numberOfGCMarkers: "1" },
  "small heap (--smol)": { BUN_OPTIONS: "--smol" },
  "no third compiler": { BUN_JSC_useFTLJIT: "0" },
  "no second and third compiler": { BUN_JSC_useDFGJIT: "0" },
};

interface Cost {
  readonly idleMiB: number;
  readonly loadedMiB: number;
  readonly perSecond: number;
  readonly wakeUps: number;
}

export async function benchSettings(options: SettingsOptions): Promise<readonly Section[]> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: { imds: makeRuleSet(20, 10) } });
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < options.rounds; round++) {
    for (const [name, env] of Object.entries(SETTINGS)) costs.set(name, [...(costs.get(name) ?? []), await measure(rig, env, options)]);
  }
  const of = (name: string, value: (cost: Cost) => number) => median((costs.get(name) ?? []).map(value));
  const section = (title: string, unit: string, value: (cost: Cost) => number): Section => ({
    title: `Settings: ${title}`,
    how: `${options.rounds} processes of each; idle for ${options.idleSeconds} s with a poll each ${options.pollSeconds} s, then ${options.loadSeconds} s of ${BUSY.name}`,
    figures: Object.keys(SETTINGS).map(
      (name): Figure => ({ name, unit, value: of(name, value), against: { name: NONE, value: of(NONE, value) } }),
    ),
  });
  return [
    section("resident memory, idle", "MiB", ({ idleMiB }) => idleMiB),
    section("resident memory, after load", "MiB", ({ loadedMiB }) => loadedMiB),
    section("throughput", "/s", ({ perSecond }) => perSecond),
    section("main thread woken, idle", "times", ({ wakeUps }) => wakeUps),
  ];
}

async function measure(rig: Rig, env: Readonly<Record<string, string>>, options: SettingsOptions): Promise<Cost> {
  const agent = await rig.startAgent({ pollSeconds: options.pollSeconds, env });
  await Bun.sleep(SETTLE_MS);
  const before = readMainThreadWakeUps(agent.pid);
  await Bun.sleep(options.idleSeconds * 1000);
  const wakeUps = readMainThreadWakeUps(agent.pid) - before;
  const idleMiB = readMemory(agent.pid).residentMiB;
  const { perSecond } = await runLoad(rig, "guarded", IMDS, BUSY, options.loadSeconds);
  await Bun.sleep(SETTLE_MS);
  const loadedMiB = readMemory(agent.pid).residentMiB;
  await rig.stop(agent);
  return { idleMiB, loadedMiB, perSecond, wakeUps };
}
