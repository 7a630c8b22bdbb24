// Memory of the running agent with modules and without, each from a start of its own, after requests that asked all of them.

import { atMost, type Figure, median } from "./figures.ts";
import { installModule } from "./module-store.ts";
import { answersOk } from "./probe.ts";
import { readMemory } from "./process-cost.ts";
import { IMDS, Rig } from "./rig.ts";

const MODULES = 16;
const REQUESTS = 20;
/** What only the start needs is given back by then. */
const SETTLE_MS = 3_000;
const BOUND_MIB = 2;

/** @param component - one that answers every request in passing */
export async function benchModuleMemory(component: Uint8Array, rounds: number): Promise<Figure> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: {} });
  const without: number[] = [];
  for (let round = 0; round < rounds; round++) without.push(await residentMiB(rig));
  const filling = await rig.startAgent();
  for (let i = 0; i < MODULES; i++) await installModule(rig, component, `idle-${i}`);
  await rig.stop(filling);
  const withModules: number[] = [];
  for (let round = 0; round < rounds; round++) withModules.push(await residentMiB(rig));
  const value = (median(withModules) - median(without)) / MODULES;
  return {
    name: `each of ${MODULES} idle modules in the agent, its own memory included`,
    value,
    unit: "MiB",
    against: { name: "agent without modules", value: median(without) },
    bound: atMost(value, BOUND_MIB, `${BOUND_MIB} MiB`),
  };
}

async function residentMiB(rig: Rig): Promise<number> {
  const agent = await rig.startAgent();
  await rig.whileGuarded(async () => {
    for (let i = 0; i < REQUESTS; i++) if (!(await answersOk(IMDS))) throw new Error("cannot measure: a module denies");
  });
  await Bun.sleep(SETTLE_MS);
  const { residentMiB } = readMemory(agent.pid);
  await rig.stop(agent);
  return residentMiB;
}
