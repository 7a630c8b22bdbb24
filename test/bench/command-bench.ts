// How long the command line takes that boot tools wait for: from exec to exit, against the smallest compiled program, in turns.

import { spawnSync } from "node:child_process";
import { atMost, type Figure, median, type Section } from "./figures.ts";
import { benchModuleAdd } from "./module-add-bench.ts";
import { answersOk } from "./probe.ts";
import { AGENT, IMDS, Rig } from "./rig.ts";

/** Over the smallest program. */
const BOUND_OVER_BARE_MS = 25;
const ROUNDS_PER_START = 5;
const LIMIT_MS = 10_000;

const COMMANDS = {
  "--version": ["--version"],
  "--help": ["--help"],
  "--status, agent ready": ["--status"],
} as const;

/** @param bareServer - compiled from bare-server.ts; it ends at once without a port */
export async function benchCommands(times: number, bareServer: string): Promise<Section> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: {} });
  const agent = rig.spawnAgent();
  await rig.whileGuarded(async () => {
    const endMs = performance.now() + LIMIT_MS;
    while (!(await answersOk(IMDS))) {
      if (performance.now() > endMs) throw new Error("cannot measure the command line: the agent is not ready in time");
      await Bun.sleep(20);
    }
  });
  const bareMs: number[] = [];
  const commandMs = new Map<string, number[]>(Object.keys(COMMANDS).map((name) => [name, []]));
  // The first round fills the page cache; it does not count.
  for (let round = 0; round <= times * ROUNDS_PER_START; round++) {
    const bare = timeRun(bareServer, []);
    if (round > 0) bareMs.push(bare);
    for (const [name, argv] of Object.entries(COMMANDS)) {
      const elapsedMs = timeRun(AGENT, argv);
      if (round > 0) commandMs.get(name)?.push(elapsedMs);
    }
  }
  await rig.stop(agent);
  const against = { name: "smallest compiled program", value: median(bareMs) };
  return {
    title: "Command line: from exec to exit",
    how: `${times * ROUNDS_PER_START} runs of each in turns, files in the page cache`,
    figures: [
      ...[...commandMs].map(([name, values]): Figure => {
        const value = median(values);
        const over = value - against.value;
        return {
          name,
          value,
          unit: "ms",
          against,
          bound: atMost(over, BOUND_OVER_BARE_MS, `${BOUND_OVER_BARE_MS} ms more: ${over.toFixed(1)} ms`),
        };
      }),
      benchModuleAdd(times),
    ],
  };
}

function timeRun(program: string, argv: readonly string[]): number {
  const startedMs = performance.now();
  const { status, signal } = spawnSync(program, argv, { stdio: "ignore", env: {}, timeout: LIMIT_MS });
  const elapsedMs = performance.now() - startedMs;
  if (status !== 0) throw new Error(`cannot measure "${program} ${argv.join(" ")}": ended with ${status ?? signal}`);
  return elapsedMs;
}
