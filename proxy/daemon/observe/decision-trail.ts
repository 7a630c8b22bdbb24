// The decision trail (hash-chained audit log) as the agent uses it: a queue for ended requests, its state in log and status, and nothing
// at all when the config wants none. Errors of the trail are logged and never decide about a request.

import { TrailWriter } from "../../adapters/trail/trail-writer.ts";
import type { Config } from "../../core/config.ts";
import type { Log } from "../../core/ports.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import type { TrailCounts } from "./metrics.ts";

export interface DecisionTrail {
  append(end: RequestEnd): void;
  /** Undefined when there is no trail. */
  counts(): TrailCounts | undefined;
  readonly statusPart: StatusPart;
  start(): void;
  /** Waits for the disk, but not for long. */
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;
const STOP_LIMIT_MS = 2_000;
const STATUS_NAME = "decisionTrail";

export function makeDecisionTrail(config: Config, log: Log, version: string): DecisionTrail {
  const { auditFolder } = config;
  if (auditFolder === "") return NO_TRAIL;
  const writer = new TrailWriter({
    folder: auditFolder,
    segmentBytes: config.auditSegmentMiB * MIB,
    totalBytes: config.auditTotalMiB * MIB,
    version,
    nowMs: Date.now,
    onFailing: (message) => log.error("trail-failing", { message }),
    onRestored: (lost) => log.warn("trail-restored", { lost }),
    onRecovery: ({ kind, segment, offset, bytes }) => log.warn("trail-recovered", { kind, segment, offset, bytes }),
    onAnchor: ({ segment, sequence, hash }) => log.info("trail-anchor", { segment, sequence, hash }),
  });
  return {
    append: (end) => writer.append(end),
    counts: () => writer.state(),
    statusPart: {
      name: STATUS_NAME,
      report() {
        const { failing, lost, ...rest } = writer.state();
        const message = failing ?? (lost > 0 ? `${lost} decisions since the start are missing in the decision trail` : "");
        return { health: message === "" ? "ok" : "degraded", message, details: { folder: auditFolder, lost, ...rest } };
      },
    },
    start: () => writer.start(),
    stop: () => Promise.race([writer.stop(), Bun.sleep(STOP_LIMIT_MS)]),
  };
}

const NO_TRAIL: DecisionTrail = {
  append: () => {},
  counts: () => undefined,
  statusPart: { name: STATUS_NAME, report: () => ({ health: "ok", message: "", details: undefined }) },
  start: () => {},
  stop: async () => {},
};
