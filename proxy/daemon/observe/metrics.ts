// The agent's metrics: what it counts itself, and what it reads from its parts when scraped. Rendering happens on demand
// only; between two scrapes nothing runs.

import { type Family, type Metric, renderExposition, type Sample } from "../../core/metrics/exposition.ts";
import { METRICS } from "../../core/metrics/metric-list.ts";
import type { RedirectCounters } from "../../core/ports.ts";
import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { MODES } from "../../core/request/verdict.ts";
import type { KeeperReport, Snapshot } from "../policy/key-keeper.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import { makeRequestMetrics } from "./request-metrics.ts";

export interface TrailCounts {
  readonly records: number;
  readonly lost: number;
  readonly writeFailures: number;
  readonly bytes: number;
}

export interface ProcessUse {
  readonly startTimeSeconds: number;
  readonly processorSeconds: number;
  readonly residentBytes: number;
}

export interface MetricSources {
  readonly versions: Readonly<Record<string, string>>;
  readonly snapshot: () => Snapshot;
  readonly keeper: () => KeeperReport;
  readonly guarded: () => Readonly<Record<string, boolean>>;
  /** Undefined while the kernel's counters cannot be read. */
  readonly counters: () => RedirectCounters | undefined;
  readonly connections: () => number;
  /** Connections that were closed to make room for another user's. */
  readonly evicted: () => number;
  readonly logLinesDropped: () => number;
  /** Undefined while there is no decision trail. */
  readonly trail: () => TrailCounts | undefined;
  /** Starts so far, this one included; undefined when that could not be kept. */
  readonly starts: () => number | undefined;
  readonly process: () => ProcessUse;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

export interface Metrics {
  countRequest(end: RequestEnd): void;
  countMalformedHead(): void;
  countRefusedConnection(): void;
  countUnrecorded(): void;
  /** After each question to the host. */
  countPoll(): void;
  /** Rises with everything that is counted: what is written to a file is old when it rose. */
  changes(): number;
  render(): string;
}

const KEY_STATES = ["unknown", "disabled", "unlatched", "latched"] as const;
const POLL_OUTCOMES = ["ok", "key-failed", "no-answer"] as const;

export function makeMetrics(from: MetricSources): Metrics {
  const startedMs = from.monotonicMs();
  const requests = makeRequestMetrics();
  const polls = new Map<string, number>(POLL_OUTCOMES.map((outcome) => [outcome, 0]));
  let malformedHeads = 0;
  let refusedConnections = 0;
  let misses = 0;
  let changes = 0;
  let contactMs: number | undefined;
  let contactTimeSeconds = 0;

  return {
    countRequest(end) {
      changes++;
      requests.count(end);
    },
    countMalformedHead() {
      changes++;
      malformedHeads++;
    },
    countRefusedConnection() {
      changes++;
      refusedConnections++;
    },
    countUnrecorded() {
      misses++;
    },
    countPoll() {
      changes++;
      const { healthy, lastContactMs } = from.keeper();
      const answered = lastContactMs !== contactMs;
      const outcome = !answered ? "no-answer" : healthy ? "ok" : "key-failed";
      polls.set(outcome, (polls.get(outcome) ?? 0) + 1);
      if (!answered) return;
      contactMs = lastContactMs;
      contactTimeSeconds = from.nowMs() / 1000;
    },
    changes: () => changes,
    render: () => renderExposition([...requests.families(), ...stateFamilies(), ...kernelFamilies(), ...trailFamilies(), ...ownFamilies()]),
  };

  function stateFamilies(): readonly Family[] {
    const { epoch, guards, channel } = from.snapshot();
    const each = (value: (endpoint: (typeof ENDPOINTS)[number]) => number) =>
      ENDPOINTS.map((endpoint) => ({ labels: { endpoint }, value: value(endpoint) }));
    const guarded = from.guarded();
    return [
      single(METRICS.epoch, epoch),
      { metric: METRICS.rulesRefused, samples: each((endpoint) => Number(guards[endpoint].refusal !== undefined)) },
      {
        metric: METRICS.mode,
        samples: ENDPOINTS.flatMap((endpoint) => oneHot(MODES, guards[endpoint].mode, (mode) => ({ endpoint, mode }))),
      },
      { metric: METRICS.keyState, samples: oneHot(KEY_STATES, channel.kind, (state) => ({ state })) },
      { metric: METRICS.polls, samples: [...polls].map(([outcome, value]) => ({ labels: { outcome }, value })) },
      single(METRICS.contactTime, contactTimeSeconds),
      single(METRICS.contactAge, (from.monotonicMs() - (contactMs ?? startedMs)) / 1000),
      single(METRICS.connections, from.connections()),
      single(METRICS.connectionsRefused, refusedConnections),
      single(METRICS.connectionsEvicted, from.evicted()),
      single(METRICS.malformedHeads, malformedHeads),
      { metric: METRICS.redirected, samples: each((endpoint) => Number(guarded[endpoint] ?? false)) },
    ];
  }

  function kernelFamilies(): readonly Family[] {
    const counters = from.counters();
    const one = (metric: Metric, value: ((found: RedirectCounters) => bigint) | undefined): Family => ({
      metric,
      samples: counters === undefined || value === undefined ? [] : [{ labels: {}, value: Number(value(counters)) }],
    });
    const did = counters === undefined ? [] : connectSamples(counters);
    return [
      { metric: METRICS.connects, samples: did },
      one(METRICS.recordsPublished, ({ published }) => published),
      one(METRICS.recordsTaken, ({ accepted }) => accepted),
      one(METRICS.recordsCleaned, ({ cleaned }) => cleaned),
      one(METRICS.recordsLost, ({ publishFailed }) => publishFailed),
      single(METRICS.recordMisses, misses),
      // Read one after the other while connects go on: never shown below nothing.
      one(METRICS.records, ({ published, cleaned, accepted }) => clampToZero(published - cleaned - accepted)),
    ];
  }

  function trailFamilies(): readonly Family[] {
    const trail = from.trail();
    const one = (metric: Metric, value: number | undefined): Family => ({
      metric,
      samples: value === undefined ? [] : [{ labels: {}, value }],
    });
    return [
      one(METRICS.trailRecords, trail?.records),
      one(METRICS.trailLost, trail?.lost),
      one(METRICS.trailFailures, trail?.writeFailures),
      one(METRICS.trailBytes, trail?.bytes),
    ];
  }

  function ownFamilies(): readonly Family[] {
    const use = from.process();
    const starts = from.starts();
    return [
      { metric: METRICS.buildInfo, samples: [{ labels: from.versions, value: 1 }] },
      { metric: METRICS.starts, samples: starts === undefined ? [] : [{ labels: {}, value: starts }] },
      single(METRICS.logDropped, from.logLinesDropped()),
      single(METRICS.processStart, use.startTimeSeconds),
      single(METRICS.processCpu, use.processorSeconds),
      single(METRICS.processMemory, use.residentBytes),
    ];
  }
}

function single(metric: Metric, value: number): Family {
  return { metric, samples: [{ labels: {}, value }] };
}

function oneHot<Word extends string>(words: readonly Word[], now: Word, labels: (word: Word) => Sample["labels"]): readonly Sample[] {
  return words.map((word) => ({ labels: labels(word), value: Number(word === now) }));
}

function connectSamples(counters: RedirectCounters): readonly Sample[] {
  const counts = {
    redirected: counters.redirected,
    exempt: counters.exempt,
    "refused-foreign-namespace": counters.refusedForeignNamespace,
    "refused-no-storage": counters.refusedNoStorage,
    "refused-device": counters.refusedDevice,
    "refused-share": counters.refusedShare,
  };
  return Object.entries(counts).map(([outcome, value]) => ({ labels: { outcome }, value: Number(value) }));
}

function clampToZero(count: bigint): bigint {
  return count < 0n ? 0n : count;
}
