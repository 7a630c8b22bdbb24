// Everything that reports: status, metrics, audit log, request lines, summaries, telemetry. It reads the other parts and hears what they
// signal; nothing waits for it, and nothing here decides about a request.

import { join } from "node:path";
import { sendOnce } from "../../adapters/http/send-once.ts";
import type { LogOutput } from "../../adapters/log/lines.ts";
import { STATUS_FILE_NAME, writeStatusFile } from "../../adapters/storage/status-file.ts";
import type { LatchedKey, SecureChannel } from "../../core/channel/secure-channel.ts";
import type { Config } from "../../core/config.ts";
import type { Log } from "../../core/ports.ts";
import type { AggregateStatus } from "../../core/status/status.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import type { KeyKeeper } from "../policy/key-keeper.ts";
import type { RefusedHead } from "../request/admission.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import type { Subscriber } from "../signals.ts";
import type { StopSteps } from "../stop-steps.ts";
import { makeConnectionSummaries } from "./connection-summary.ts";
import { makeDecisionTrail } from "./decision-trail.ts";
import { makeDenialCounter } from "./denial-counter.ts";
import { makeHostContactPart } from "./host-contact.ts";
import type { MetricSources } from "./metrics.ts";
import { type MetricsService, makeMetricsService } from "./metrics-service.ts";
import { makeRefusedHeads } from "./refused-heads.ts";
import { makeRequestLines, type RequestLines } from "./request-lines.ts";
import { makeStatusParts } from "./status-parts.ts";
import { buildStatus, OWN_DETAILS, type StatusSources } from "./status-reporter.ts";
import { makeStatusWriter } from "./status-writer.ts";
import { makeTelemetryService } from "./telemetry-service.ts";

export interface ObservePorts {
  readonly version: string;
  readonly log: Log;
  readonly addLogOutput: (output: LogOutput) => void;
  readonly logLinesDropped: () => number;
  readonly monotonicMs: () => number;
  readonly stops: StopSteps;
  /** What the listener says of itself while it serves. */
  readonly listenerMessage: string;
  /** The agent is ready to be relied on. */
  readonly isReady: () => boolean;
  readonly redirect: Pick<MetricSources, "guarded" | "counters"> & { readonly state: StatusSources["redirector"] };
  readonly policy: Pick<KeyKeeper, "snapshot" | "report" | "hostDate"> & Pick<StatusSources, "stalledMs">;
  readonly serve: Pick<MetricSources, "connections" | "evicted"> &
    Pick<StatusSources, "requests"> & { readonly isListening: () => boolean };
  /** Parts of the status that speak before those of this room. */
  readonly parts: readonly StatusPart[];
}

export interface Observe {
  readonly metrics: Pick<MetricsService, "countMalformedHead" | "countRefusedConnection" | "countUnrecorded" | "countPoll">;
  readonly lines: Pick<RequestLines, "connectionRefused">;
  /** Those who hear of every ended request, in their order. */
  readonly requestEnded: readonly Subscriber<RequestEnd>[];
  /** A head that is no request: for its line, the summaries and the denials. */
  headRefused(refused: RefusedHead): void;
  /** A poll is done: telemetry is sent when it is due. */
  sendTelemetry(): void;
  /** Everything that hears of a poll is done: the status is written when it is due. */
  writeDueStatus(): void;
  /** The status is another than before: it is written soon. */
  statusChanged(): void;
  addStatusPart(part: StatusPart): void;
  status(): AggregateStatus;
  /** The agent serves: metrics are offered, decisions written. */
  start(): void;
}

export function makeObserve(config: Config, ports: ObservePorts): Observe {
  const { version, log, monotonicMs, stops, redirect, policy, serve } = ports;
  const lines = makeRequestLines(log, monotonicMs);
  const summaries = makeConnectionSummaries(Date.now);
  const denials = makeDenialCounter(() => new Date());
  const trail = makeDecisionTrail(config, log, version);
  const metrics = makeMetricsService(config, log, {
    versions: { version, bun: Bun.version },
    snapshot: policy.snapshot,
    keeper: policy.report,
    guarded: redirect.guarded,
    counters: redirect.counters,
    connections: serve.connections,
    evicted: serve.evicted,
    logLinesDropped: ports.logLinesDropped,
    trail: trail.counts,
  });
  let metricsStarted: Promise<void> | undefined;
  const statusParts = makeStatusParts(OWN_DETAILS);

  function status(): AggregateStatus {
    return buildStatus({
      version,
      now: () => new Date(),
      monotonicMs,
      snapshot: policy.snapshot,
      keeper: policy.report,
      stalledMs: policy.stalledMs,
      redirector: redirect.state,
      listener: () => ({ running: serve.isListening(), message: ports.listenerMessage }),
      guarded: redirect.guarded,
      counters: redirect.counters,
      requests: serve.requests,
      summaries: () => ({ all: summaries.all(), failed: summaries.failed() }),
      denials: () => ({ wouldDeny: denials.wouldDeny(), denied: denials.denied() }),
      parts: statusParts.read,
      statusPath: join(config.statusFolder, STATUS_FILE_NAME),
      writeFailure: statusWriter.failure,
    });
  }

  const telemetry = makeTelemetryService(config, {
    send: sendOnce,
    hostDate: policy.hostDate,
    addLogOutput: ports.addLogOutput,
    log,
    version,
    monotonicMs,
    key: () => latchedKey(policy.snapshot().channel),
    ready: ports.isReady,
    status: () => status().proxyAgentStatus,
  });
  const sendTelemetry = () => telemetry?.tick();
  const statusWriter = makeStatusWriter({
    current: status,
    write: (written) => writeStatusFile(config.statusFolder, written),
    eachTime: sendTelemetry,
    log,
    monotonicMs,
  });
  const hostContact = makeHostContactPart({ keeper: policy.report, localNowMs: Date.now, monotonicMs });
  for (const part of [trail.statusPart, ...ports.parts, hostContact, ...(telemetry === undefined ? [] : [telemetry.part])])
    statusParts.add(part);

  // The last status is written when everything else of this room has come to its end.
  stops.add({ what: "status", run: statusWriter.stop });
  if (telemetry !== undefined) stops.add({ what: "telemetry", run: telemetry.stop, atOnce: true });
  stops.add({ what: "request lines", run: lines.settle });
  stops.add({ what: "metrics", run: () => metricsStarted?.then(metrics.stop) });
  stops.add({ what: "decision trail", run: trail.stop });

  return {
    metrics,
    lines,
    requestEnded: [
      ["decision trail", trail.append],
      ["connection summaries", summaries.count],
      ["denials", denials.count],
      ["metrics", metrics.countRequest],
      ["request lines", lines.ended],
    ],
    headRefused: makeRefusedHeads({
      snapshot: policy.snapshot,
      line: lines.headRefused,
      summary: summaries.count,
      denial: denials.count,
    }),
    sendTelemetry,
    writeDueStatus: statusWriter.afterPoll,
    statusChanged: statusWriter.changed,
    addStatusPart: statusParts.add,
    status,
    start() {
      metricsStarted = metrics.start();
      trail.start();
    },
  };
}

function latchedKey(channel: SecureChannel): LatchedKey | undefined {
  return channel.kind === "latched" ? channel.key : undefined;
}
