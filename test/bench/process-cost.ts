// What a running process costs, read from /proc: memory, processor time, context switches. Reads only.

import { readdirSync, readFileSync } from "node:fs";

const KIB = 1024;

export interface MemoryUse {
  readonly residentMiB: number;
  /** Pages shared with other processes count as their share only. */
  readonly proportionalMiB: number;
  /** Of its own, in no file: what the kernel can only swap. */
  readonly anonymousMiB: number;
}

/** Of all threads that are there now; what threads did that have ended is not in it. */
export interface ProcessorUse {
  readonly seconds: number;
  /** Wanted or not. */
  readonly contextSwitches: number;
}

export function readMemory(processId: number): MemoryUse {
  const rollup = readFileSync(`/proc/${processId}/smaps_rollup`, "utf8");
  return {
    residentMiB: kibibytes(rollup, "Rss") / KIB,
    proportionalMiB: kibibytes(rollup, "Pss") / KIB,
    anonymousMiB: kibibytes(rollup, "Anonymous") / KIB,
  };
}

export function readProcessor(processId: number): ProcessorUse {
  let nanoseconds = 0;
  let contextSwitches = 0;
  for (const thread of readdirSync(`/proc/${processId}/task`)) {
    const folder = `/proc/${processId}/task/${thread}`;
    // Time on a processor comes first; in nanoseconds, where stat counts in hundredths of a second.
    nanoseconds += Number(readFileSync(`${folder}/schedstat`, "utf8").split(" ")[0]);
    for (const match of readFileSync(`${folder}/status`, "utf8").matchAll(/ctxt_switches:\s*([0-9]+)/g))
      contextSwitches += Number(match[1]);
  }
  return { seconds: nanoseconds / 1e9, contextSwitches };
}

/** How often the first thread has gone to sleep and come back; runtime threads of its own are not in it. */
export function readMainThreadWakeUps(processId: number): number {
  const status = readFileSync(`/proc/${processId}/task/${processId}/status`, "utf8");
  return Number(/^voluntary_ctxt_switches:\s*([0-9]+)/m.exec(status)?.[1]);
}

export function processorBetween(before: ProcessorUse, after: ProcessorUse): ProcessorUse {
  return { seconds: after.seconds - before.seconds, contextSwitches: after.contextSwitches - before.contextSwitches };
}

function kibibytes(rollup: string, name: string): number {
  const found = new RegExp(`^${name}:\\s*([0-9]+) kB`, "m").exec(rollup);
  if (found === null) throw new Error(`cannot read memory of a process: found no "${name}" in smaps_rollup`);
  return Number(found[1]);
}
