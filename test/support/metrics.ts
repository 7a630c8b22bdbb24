// Metrics of an agent that is not there, with every family filled; and a reader of the exposition format of its own making, strict
// about what the format asks for.

import { Secret } from "../../proxy/core/channel/secret.ts";
import { NO_MODULES } from "../../proxy/core/modules/policy-chain.ts";
import { type MetricSources, makeMetrics } from "../../proxy/daemon/observe/metrics.ts";
import { UNKNOWN_GUARDS } from "../../proxy/daemon/policy/guards.ts";
import type { KeeperReport, Snapshot } from "../../proxy/daemon/policy/key-keeper.ts";
import type { RequestEnd } from "../../proxy/daemon/request/handle-request.ts";

export function requestEnd(known: Partial<RequestEnd> = {}): RequestEnd {
  return {
    event: "request-forwarded",
    requestId: "r-1",
    caller: undefined,
    method: "GET",
    target: "/metadata/instance",
    request: undefined,
    status: 200,
    reason: "granted",
    detail: "",
    verdict: undefined,
    modules: [],
    mode: "enforce",
    auditDeny: false,
    endorsed: false,
    epoch: 1,
    elapsedMs: 1,
    identifyMs: undefined,
    policyMs: 0.02,
    hostMs: undefined,
    ...known,
  };
}

export function exposeEverything(known: Partial<MetricSources> = {}) {
  let snapshot: Snapshot = { epoch: 3, guards: UNKNOWN_GUARDS, modules: NO_MODULES, channel: { kind: "unknown" } };
  const unknown = { keyIncarnationId: undefined, lastContactMs: undefined, clockOffsetMs: undefined };
  let keeper: KeeperReport = { stateText: "", message: "", healthy: false, ...unknown };
  let nowMs = 0;
  const metrics = makeMetrics({
    versions: { version: "1.2.3", bun: "1" },
    snapshot: () => snapshot,
    keeper: () => keeper,
    guarded: () => ({ imds: true }),
    evicted: () => 0,
    counters: () => ({
      redirected: 9n,
      refusedNoStorage: 0n,
      refusedForeignNamespace: 2n,
      exempt: 1n,
      published: 9n,
      publishFailed: 0n,
      cleaned: 2n,
      accepted: 2n,
      refusedDevice: 0n,
      refusedShare: 0n,
      acceptedDirect: 0n,
    }),
    connections: () => 4,
    logLinesDropped: () => 0,
    trail: () => ({ records: 5, lost: 0, writeFailures: 0, bytes: 1_024 }),
    starts: () => 2,
    process: () => ({ startTimeSeconds: 1_000_000, processorSeconds: 1.5, residentBytes: 30e6 }),
    nowMs: () => 1_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    ...known,
  });
  const text = () => metrics.render();
  return {
    metrics,
    text,
    value: (name: string, labels: Readonly<Record<string, string>> = {}) => readValue(text(), name, labels),
    pass: (ms: number) => {
      nowMs += ms;
    },
    contact: (healthy: boolean) => {
      keeper = { ...keeper, healthy, lastContactMs: nowMs - (healthy ? 0 : 1) };
    },
    latch: () => {
      const key = { guid: "g", incarnationId: 1, issued: "", secret: new Secret(Buffer.alloc(32)) };
      snapshot = { ...snapshot, channel: { kind: "latched", key } };
    },
  };
}

export interface ReadSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface ReadExposition {
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly ReadSample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = `([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\["\\\\n])*)"`;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{((?:${LABEL},?)*)\\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)$`);

/** Reads all of it or throws: families whole and once, HELP and TYPE before samples, histograms that rise to their count. */
export function parseExposition(text: string): ReadExposition {
  if (!text.endsWith("\n")) throw new Error("found no newline at the end");
  const types = new Map<string, string>();
  const samples: ReadSample[] = [];
  let family = "";
  let help = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") help = name;
      else {
        if (types.has(name) || help !== name) throw new Error(`found "${name}" twice, or without help`);
        types.set(name, rest);
        family = name;
      }
      continue;
    }
    const found = SAMPLE.exec(line);
    if (found === null) throw new Error(`cannot read the line ${JSON.stringify(line)}`);
    const name = found[1] ?? "";
    const base = types.get(family) === "histogram" ? name.replace(/_(?:bucket|sum|count)$/, "") : name;
    if (base !== family) throw new Error(`found a sample "${name}" in the family "${family}"`);
    const labels = new Map([...(found[2] ?? "").matchAll(new RegExp(LABEL, "g"))].map((match) => [match[1] ?? "", match[2] ?? ""]));
    samples.push({ name, labels, value: numberOf(line.slice(line.lastIndexOf(" ") + 1)) });
  }
  const seen = samples.map(({ name, labels }) => JSON.stringify([name, [...labels].sort()]));
  if (new Set(seen).size !== seen.length) throw new Error("found the same series twice");
  for (const [name, type] of types) if (type === "histogram") checkHistogram(name, samples);
  return { types, samples };
}

function checkHistogram(name: string, samples: readonly ReadSample[]): void {
  const withoutBound = ({ labels }: ReadSample) => JSON.stringify([...labels].filter(([label]) => label !== "le").sort());
  for (const count of samples.filter((sample) => sample.name === `${name}_count`)) {
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket` && withoutBound(sample) === withoutBound(count));
    const bounds = buckets.map(({ labels }) => numberOf(labels.get("le") ?? ""));
    const rises = (values: readonly number[], least: number) =>
      values.every((value, index) => index === 0 || value - (values[index - 1] ?? 0) >= least);
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY || !rises(bounds, Number.MIN_VALUE))
      throw new Error(`${name}: bounds do not rise to +Inf`);
    const counts = buckets.map(({ value }) => value);
    if (!rises(counts, 0) || counts.at(-1) !== count.value) throw new Error(`${name}: buckets do not rise to the count`);
  }
}

function numberOf(text: string): number {
  return text === "+Inf" ? Number.POSITIVE_INFINITY : text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}

function readValue(text: string, name: string, labels: Readonly<Record<string, string>>): number | undefined {
  return parseExposition(text).samples.find(
    (sample) =>
      sample.name === name &&
      sample.labels.size === Object.keys(labels).length &&
      Object.entries(labels).every(([label, value]) => sample.labels.get(label) === value),
  )?.value;
}
