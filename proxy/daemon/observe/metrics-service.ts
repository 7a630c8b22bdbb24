// Offers the metrics: on a Unix socket, and in a file for node_exporter if configured. Neither can keep the agent from working:
// a failure is logged and the output left out.

import { dirname, join } from "node:path";
import { serveMetrics } from "../../adapters/local/metrics-socket.ts";
import type { UnixServer } from "../../adapters/local/unix-socket.ts";
import { writeAtomicallyBeside } from "../../adapters/storage/atomic-write.ts";
import { countStart } from "../../adapters/storage/start-count.ts";
import type { Config } from "../../core/config.ts";
import type { Log } from "../../core/ports.ts";
import { makeLatestWrite } from "../latest-write.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import { type MetricSources, makeMetrics, type ProcessUse } from "./metrics.ts";
import { makeTextfile } from "./metrics-textfile.ts";

export interface MetricsService {
  countRequest(end: RequestEnd): void;
  countPoll(): void;
  countMalformedHead(): void;
  countRefusedConnection(): void;
  countUnrecorded(): void;
  /** Opens socket and file; called once, when the agent serves. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const START_COUNT_FILE = "starts";
/** node_exporter is not root as a rule; there is nothing in metrics that other users may not know. */
const TEXTFILE_MODE = 0o644;

type Sources = Omit<MetricSources, "starts" | "process" | "nowMs" | "monotonicMs">;

export function makeMetricsService(config: Config, log: Log, sources: Sources): MetricsService {
  const monotonicMs = () => performance.now();
  const startTimeSeconds = (Date.now() - monotonicMs()) / 1000;
  let starts: number | undefined;
  let socket: UnixServer | undefined;
  const metrics = makeMetrics({
    ...sources,
    starts: () => starts,
    process: () => readProcessUse(startTimeSeconds),
    nowMs: Date.now,
    monotonicMs,
  });
  const file = makeLatestWrite((text: string) => writeAtomicallyBeside(config.metricsTextfile, text, TEXTFILE_MODE));
  const textfile = makeTextfile({
    write: file.put,
    render: metrics.render,
    changes: metrics.changes,
    failed: (message) => log.warn("metrics-textfile-not-written", { message }),
    monotonicMs,
    later: (ms, run) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  });
  const touch = config.metricsTextfile === "" ? () => {} : textfile.touch;

  return {
    countRequest(end) {
      metrics.countRequest(end);
      touch();
    },
    countPoll() {
      metrics.countPoll();
      touch();
    },
    countMalformedHead: metrics.countMalformedHead,
    countRefusedConnection: metrics.countRefusedConnection,
    countUnrecorded: metrics.countUnrecorded,
    async start() {
      const counted = countStart(join(dirname(config.latchKeyFolder), START_COUNT_FILE));
      if (counted.ok) starts = counted.value;
      else log.warn("start-not-counted", { message: counted.error.message });
      touch();
      if (config.metricsSocket === "") return;
      const served = await serveMetrics(config.metricsSocket, metrics.render);
      if (served.ok) socket = served.value;
      else log.warn("metrics-not-served", { message: served.error });
    },
    async stop() {
      if (config.metricsTextfile !== "") textfile.stop();
      await file.settled();
      await socket?.stop();
    },
  };
}

function readProcessUse(startTimeSeconds: number): ProcessUse {
  const { user, system } = process.cpuUsage();
  return { startTimeSeconds, processorSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() };
}
