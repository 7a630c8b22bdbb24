// Load from wrk, bounded in time, and what wrk says about it. A run with a failed request is no measurement and throws.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "./probe.ts";
import type { Place, Rig } from "./rig.ts";

export interface Shape {
  readonly name: string;
  readonly connections: number;
  /** A new connection for each request. */
  readonly close: boolean;
}

export const SHAPES: readonly Shape[] = [
  { name: "keep-alive, 1 connection", connections: 1, close: false },
  { name: "keep-alive, 16 connections", connections: 16, close: false },
  { name: "close, 16 connections", connections: 16, close: true },
];
export const BUSY: Shape = { name: "keep-alive, 16 connections", connections: 16, close: false };

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly medianUs: number;
  readonly p99Us: number;
}

/** wrk calls this once at the end; the figures go to standard error, away from its own text. */
const REPORT = `function done(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format("%d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
`;

export async function runLoad(rig: Rig, place: Place, target: Target, shape: Shape, seconds: number): Promise<LoadResult> {
  const script = join(rig.folder, "report.lua");
  const report = join(rig.folder, "report.txt");
  writeFileSync(script, REPORT);
  writeFileSync(report, "");
  const url = `http://${target.address}:${target.port}${target.path}`;
  const close = shape.close ? ["-H", "Connection: close"] : [];
  const wrk = ["wrk", "-t1", `-c${shape.connections}`, `-d${seconds}s`, "-s", script, "-H", "Metadata: true", ...close, url];
  const child = rig.spawn(place, ["sh", "-c", `exec "$@" 2>"${report}"`, "sh", ...wrk]);
  if ((await child.exited) !== 0) throw new Error(`cannot measure: wrk ended with ${child.exitCode}: ${await Bun.file(report).text()}`);
  await rig.stop(child);
  const numbers = (await Bun.file(report).text()).trim().split(" ").map(Number);
  const [requests = 0, durationUs = 0, errors = 0, medianUs = 0, p99Us = 0] = numbers;
  if (requests === 0 || errors > 0) throw new Error(`cannot measure: ${errors} of ${requests} requests to ${url} failed (${shape.name})`);
  return { requests, perSecond: requests / (durationUs / 1e6), medianUs, p99Us };
}
