// What the agent takes while it does nothing, and after it has worked: memory, processor time, context switches, against the
// smallest server Bun can be, measured at the same moments.

import { atMost, type Figure, median, type Section } from "./figures.ts";
import { BUSY, runLoad } from "./load.ts";
import { type MemoryUse, type ProcessorUse, processorBetween, readMainThreadWakeUps, readMemory, readProcessor } from "./process-cost.ts";
import { BARE, IMDS, Rig } from "./rig.ts";
import { makeRuleSet } from "./rule-set.ts";
import { serviceEnvironment } from "./service-environment.ts";

const BOUND_TIMES_BARE = 1.6;
/** An hour of it must cost no more than two seconds. */
const BOUND_IDLE_MS_PER_SECOND = 2_000 / 3_600;
/** After the start, before anything is read. */
const SETTLE_MS = 3_000;

export interface FootprintOptions {
  readonly rounds: number;
  readonly idleSeconds: number;
  readonly loadSeconds: number;
  /** How often the agent asks the host, as the shipped config says. */
  readonly pollSeconds: number;
}

interface Cost {
  readonly idle: MemoryUse;
  /** After some polls of the host: the same when the round has no idle time. */
  readonly polled: MemoryUse;
  readonly loaded: MemoryUse;
  readonly processor: ProcessorUse;
  readonly wakeUps: number;
}

/** @param bareServer - compiled from bare-server.ts */
export async function benchFootprint(options: FootprintOptions, bareServer: string): Promise<readonly Section[]> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: { imds: makeRuleSet(20, 10) } });
  const rounds: { readonly agent: Cost; readonly bare: Cost }[] = [];
  for (let round = 0; round < options.rounds; round++) rounds.push(await measure(rig, options, bareServer, round === 0));
  const of = (value: (cost: Cost) => number) => ({
    value: median(rounds.map(({ agent }) => value(agent))),
    against: { name: "bare compiled server", value: median(rounds.map(({ bare }) => value(bare))) },
  });
  const memory = (name: string, value: (cost: Cost) => number): Figure => ({ name, unit: "MiB", ...of(value) });
  const resident = of((cost) => cost.idle.residentMiB);
  // Only the first round waits for polls.
  const first = rounds[0];
  if (first === undefined) throw new Error("internal error: nothing was measured");
  const polled = {
    name: "idle after a poll, resident",
    unit: "MiB",
    value: first.agent.polled.residentMiB,
    against: { name: "bare compiled server", value: first.bare.polled.residentMiB },
    bound: atMost(first.agent.polled.residentMiB, BOUND_TIMES_BARE * first.bare.polled.residentMiB, `${BOUND_TIMES_BARE} x bare`),
  };
  return [
    {
      title: "Memory",
      how: `${options.rounds} processes of each, ${SETTLE_MS / 1000} s after the start and 1 s after ${options.loadSeconds} s of load on ${BUSY.name}`,
      figures: [
        {
          ...memory("idle, resident", (cost) => cost.idle.residentMiB),
          bound: atMost(resident.value, BOUND_TIMES_BARE * resident.against.value, `${BOUND_TIMES_BARE} x bare`),
        },
        polled,
        memory("idle, proportional", (cost) => cost.idle.proportionalMiB),
        memory("idle, anonymous", (cost) => cost.idle.anonymousMiB),
        memory("after load, resident", (cost) => cost.loaded.residentMiB),
        memory("after load, proportional", (cost) => cost.loaded.proportionalMiB),
        memory("after load, anonymous", (cost) => cost.loaded.anonymousMiB),
      ],
    },
    {
      title: "Idle cost",
      how: `${options.idleSeconds} s without a request, the same seconds for both; the agent asks the host every ${options.pollSeconds} s`,
      figures: [
        withBound(
          idleFigure("processor time", "ms/s", (cost) => (cost.processor.seconds * 1000) / options.idleSeconds),
          BOUND_IDLE_MS_PER_SECOND,
          "2 s an hour",
        ),
        idleFigure("main thread woken", "times a poll", (cost) => (cost.wakeUps * options.pollSeconds) / options.idleSeconds),
        idleFigure("context switches", "/s", (cost) => cost.processor.contextSwitches / options.idleSeconds),
      ],
    },
  ];

  function idleFigure(name: string, unit: string, value: (cost: Cost) => number): Figure {
    const { agent, bare } = first as { readonly agent: Cost; readonly bare: Cost };
    return { name, value: value(agent), unit, against: { name: "bare compiled server", value: value(bare) } };
  }
}

function withBound(figure: Figure, limit: number, words: string): Figure {
  return { ...figure, bound: atMost(figure.value, limit, words) };
}

async function measure(rig: Rig, options: FootprintOptions, bareServer: string, idle: boolean): Promise<{ agent: Cost; bare: Cost }> {
  const agent = await rig.startAgent({ pollSeconds: options.pollSeconds, env: serviceEnvironment() });
  const bare = rig.spawn("open", [bareServer, String(BARE.port)]);
  await rig.awaitAnswer(BARE);
  await Bun.sleep(SETTLE_MS);
  const both = [agent.pid, bare.pid] as const;
  const [agentIdle, bareIdle] = [readMemory(both[0]), readMemory(both[1])];
  const [agentBefore, bareBefore] = [readProcessor(both[0]), readProcessor(both[1])];
  const wakeUpsBefore = both.map(readMainThreadWakeUps);
  if (idle) await Bun.sleep(options.idleSeconds * 1000);
  const wakeUps = both.map((pid, index) => readMainThreadWakeUps(pid) - (wakeUpsBefore[index] ?? 0));
  const polled = both.map(readMemory);
  const processors = [processorBetween(agentBefore, readProcessor(both[0])), processorBetween(bareBefore, readProcessor(both[1]))] as const;
  await runLoad(rig, "guarded", IMDS, BUSY, options.loadSeconds);
  await runLoad(rig, "open", BARE, BUSY, options.loadSeconds);
  await Bun.sleep(1_000);
  const cost = {
    agent: {
      idle: agentIdle,
      polled: polled[0] ?? agentIdle,
      loaded: readMemory(both[0]),
      processor: processors[0],
      wakeUps: wakeUps[0] ?? 0,
    },
    bare: {
      idle: bareIdle,
      polled: polled[1] ?? bareIdle,
      loaded: readMemory(both[1]),
      processor: processors[1],
      wakeUps: wakeUps[1] ?? 0,
    },
  };
  await rig.stop(agent);
  await rig.stop(bare);
  return cost;
}
