// How long it takes from exec until a client is redirected and answered, against the smallest servers Bun can be, in turns.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { openRedirector } from "../../proxy/adapters/ebpf/redirector.ts";
import { atMost, type Figure, median, type Section } from "./figures.ts";
import { answersOk, type Target } from "./probe.ts";
import { AGENT, BARE, IMDS, Rig } from "./rig.ts";
import { makeRuleSet } from "./rule-set.ts";

const BOUND_START_MS = 150;
const LIMIT_MS = 10_000;
/** Between two questions; what is measured is late by half of this on average. */
const PAUSE_MS = 1;

const KINDS = ["agent, key on disk", "agent, no key yet", "bare compiled server", "bare server, bun -e"] as const;
type Kind = (typeof KINDS)[number];

/** @param bareServer - compiled from bare-server.ts */
export async function benchStart(times: number, bareServer: string): Promise<Section> {
  await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: { imds: makeRuleSet(20, 10) } });
  const logPath = join(rig.folder, "agent.log");
  const startMs = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  const logged = new Map<string, number[]>();
  const attachMs: number[] = [];
  const starts: Readonly<Record<Kind, () => Subprocess>> = {
    "agent, key on disk": () => rig.spawnAgent({ logPath }),
    "agent, no key yet": () => rig.spawnAgent({ logPath }),
    "bare compiled server": () => rig.spawn("open", [bareServer, String(BARE.port)]),
    "bare server, bun -e": () => rig.spawn("open", [process.execPath, "-e", inlineServer(BARE.port)]),
  };
  // The first round fills the page cache and latches the first key; it does not count.
  for (let round = 0; round <= times; round++) {
    for (const kind of KINDS) {
      if (kind === "agent, no key yet") await forgetKey(rig);
      writeFileSync(logPath, "");
      const target = kind.startsWith("agent") ? IMDS : BARE;
      const [elapsedMs, child] = await rig.whileGuarded(() => untilAnswered(starts[kind], target));
      await rig.stop(child);
      if (round === 0) continue;
      startMs.get(kind)?.push(elapsedMs);
      if (kind === "agent, key on disk") {
        for (const [event, sinceStartMs] of readyTimes(logPath)) logged.set(event, [...(logged.get(event) ?? []), sinceStartMs]);
      }
    }
    const attached = await rig.whileGuarded(async () => timeAttach(rig.guardedCgroup));
    if (round > 0) attachMs.push(attached);
  }
  return {
    title: "Start: from exec until a client is redirected and answered",
    how: `${times} starts of each in turns, host up, files in the page cache`,
    figures: figuresOf(startMs, logged, attachMs),
  };
}

function figuresOf(
  startMs: ReadonlyMap<Kind, readonly number[]>,
  logged: ReadonlyMap<string, readonly number[]>,
  attachMs: readonly number[],
): readonly Figure[] {
  const of = (kind: Kind) => median(startMs.get(kind) ?? []);
  const bare = { name: "bare compiled server", value: of("bare compiled server") };
  const inline = { name: "bare server, bun -e", value: of("bare server, bun -e") };
  const known = of("agent, key on disk");
  return [
    {
      name: "agent, key on disk",
      value: known,
      unit: "ms",
      against: bare,
      bound: atMost(known, BOUND_START_MS, `${BOUND_START_MS} ms`),
    },
    { name: "agent, key on disk", value: known, unit: "ms", against: inline },
    { name: "agent, no key yet", value: of("agent, no key yet"), unit: "ms", against: bare },
    ...[...logged].map(([event, values]) => ({ name: `of this, in the log: ${event}`, value: median(values), unit: "ms" })),
    { name: "load and attach the eBPF programs", value: median(attachMs), unit: "ms" },
  ];
}

/** Starts something and asks until it answers. */
async function untilAnswered(start: () => Subprocess, target: Target): Promise<[elapsedMs: number, child: Subprocess]> {
  const startedMs = performance.now();
  const child = start();
  while (!(await answersOk(target))) {
    if (performance.now() - startedMs > LIMIT_MS || child.exitCode !== null)
      throw new Error(`cannot measure the start: no answer at ${target.address}:${target.port} in time, exit code ${child.exitCode}`);
    await Bun.sleep(PAUSE_MS);
  }
  return [performance.now() - startedMs, child];
}

async function forgetKey(rig: Rig): Promise<void> {
  rmSync(rig.keyFolder, { recursive: true, force: true });
  await rig.host.startIncarnation();
}

/** `sinceStartMs` of the lines that say what is ready; their clock starts when the agent's own code does. */
function readyTimes(logPath: string): readonly (readonly [event: string, sinceStartMs: number])[] {
  const lines = readFileSync(logPath, "utf8").matchAll(/ (listener-ready|redirector-ready|agent-ready) \{.*"sinceStartMs":([0-9.]+)/g);
  return [...lines].map(([, event = "", sinceStartMs]) => [event, Number(sinceStartMs)] as const);
}

function timeAttach(cgroupPath: string): number {
  const folder = join(AGENT, "..");
  const startedMs = performance.now();
  const opened = openRedirector({
    objectFile: join(folder, "ebpf_cgroup.o"),
    objectFileWithoutBtf: join(folder, "ebpf_cgroup-nobtf.o"),
    cgroupPath,
    listenerPort: 3080,
    passForeignNamespaces: false,
    pinFolder: "",
  });
  const elapsedMs = performance.now() - startedMs;
  if (!opened.ok) throw new Error(opened.error.message);
  opened.value[Symbol.dispose]();
  return elapsedMs;
}

function inlineServer(port: number): string {
  return `Bun.serve({ hostname: "127.0.0.1", port: ${port}, fetch: () => new Response("ok") })`;
}
