// What the kernel counts of TCP in the sandbox's network namespace: how tests see that somebody has tried, or waits.

import { readFileSync } from "node:fs";
import { runProgram } from "./world.ts";

/** Connects that failed so far: nobody listened, or the other end refused. */
export function failedConnects(): number {
  const [names = [], values = []] = readFileSync("/proc/self/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  const count = Number(values[names.indexOf("AttemptFails")]);
  if (!Number.isSafeInteger(count)) throw new Error("the kernel tells no AttemptFails of TCP");
  return count;
}

/** Connections in the accept queue of a listening port of 127.0.0.1. */
export async function countInQueue(port: number): Promise<number> {
  const { stdout } = await runProgram(["ss", "-Hltn", "src", `127.0.0.1:${port}`]);
  return Number(stdout.trim().split(/\s+/)[1] ?? 0);
}
