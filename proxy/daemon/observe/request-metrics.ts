// Counts ended requests for metrics: fixed arrays, made once. An ended request costs a few additions and no allocation.

import type { Family, Labels, Sample } from "../../core/metrics/exposition.ts";
import { Histogram, OWN_WORK_SECONDS, SHARED_WORK_SECONDS } from "../../core/metrics/histogram.ts";
import { METRICS } from "../../core/metrics/metric-list.ts";
import { classOfReason, DECISIONS, EXPECTED, REQUEST_CLASSES } from "../../core/metrics/request-class.ts";
import type { ModuleOutcome } from "../../core/modules/module-entry.ts";
import { ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import type { RequestEnd } from "../request/handle-request.ts";

/** Requests of unidentified callers have no known endpoint. */
const PLACES = [...ENDPOINTS, "unknown"] as const;
const UNKNOWN_PLACE = PLACES.length - 1;
const MODULE_OUTCOMES = ["allow", "deny", "recorded", "abstain", "failed"] as const;
/** Modules are the operator's, so their names are few; a name beyond that is counted as `other`. */
const MAX_MODULES = 64;

export interface RequestMetrics {
  count(end: RequestEnd): void;
  families(): readonly Family[];
}

export function makeRequestMetrics(): RequestMetrics {
  const requests = new Float64Array(PLACES.length * DECISIONS.length * REQUEST_CLASSES.length);
  const classNumbers = new Map<string, number>();
  const endorsed = new Float64Array(PLACES.length);
  const policyFailures = new Float64Array(PLACES.length);
  const identify = new Histogram(OWN_AND_ACCOUNTS);
  const perPlace = (bounds: readonly number[]) => PLACES.map(() => new Histogram(bounds));
  const durations = { policy: perPlace(OWN_WORK_SECONDS), host: perPlace(SHARED_WORK_SECONDS), total: perPlace(SHARED_WORK_SECONDS) };
  const modules = new Map<string, Float64Array>();

  function classNumber(reason: string): number {
    const known = classNumbers.get(reason);
    if (known !== undefined) return known;
    const found = REQUEST_CLASSES.indexOf(classOfReason(reason));
    // Reasons of modules are their own words: those that are not remembered are classed again each time.
    if (classNumbers.size < 256) classNumbers.set(reason, found);
    return found;
  }

  function countModule({ name, kind, failed, applied }: ModuleOutcome): void {
    const shown = modules.has(name) || modules.size < MAX_MODULES ? name : "other";
    let counts = modules.get(shown);
    if (counts === undefined) modules.set(shown, (counts = new Float64Array(MODULE_OUTCOMES.length)));
    add(counts, MODULE_OUTCOMES.indexOf(failed ? "failed" : kind === "deny" && !applied ? "recorded" : kind));
  }

  return {
    count(end) {
      const { caller, verdict, identifyMs, policyMs, hostMs } = end;
      const place = caller === undefined ? UNKNOWN_PLACE : placeOf(caller.endpoint);
      // What audit mode forwarded is classified by the reason of the deny.
      const softened = end.auditDeny && end.event === "request-forwarded" && verdict !== undefined;
      const group = classNumber(softened ? verdict.reason : end.reason);
      add(requests, (place * DECISIONS.length + decisionNumber(end)) * REQUEST_CLASSES.length + group);
      if (end.endorsed) add(endorsed, place);
      if (group === POLICY_FAILURE) add(policyFailures, place);
      if (identifyMs !== undefined) identify.observeMs(identifyMs);
      if (policyMs !== undefined) durations.policy[place]?.observeMs(policyMs);
      if (hostMs !== undefined) durations.host[place]?.observeMs(hostMs);
      durations.total[place]?.observeMs(end.elapsedMs);
      for (const outcome of end.modules) countModule(outcome);
    },
    families() {
      const perEndpoint = (values: Float64Array) =>
        ENDPOINTS.map((endpoint, place) => ({ labels: { endpoint }, value: values[place] ?? 0 }));
      const histograms = (of: readonly Histogram[]) => ENDPOINTS.flatMap((endpoint, place) => of[place]?.sample({ endpoint }) ?? []);
      return [
        { metric: METRICS.requests, samples: requestSamples(requests) },
        { metric: METRICS.endorsed, samples: perEndpoint(endorsed) },
        { metric: METRICS.policyFailures, samples: perEndpoint(policyFailures) },
        { metric: METRICS.identify, samples: [identify.sample({})] },
        { metric: METRICS.policy, samples: histograms(durations.policy) },
        { metric: METRICS.host, samples: histograms(durations.host) },
        { metric: METRICS.total, samples: histograms(durations.total) },
        {
          metric: METRICS.moduleOutcomes,
          samples: [...modules].flatMap(([module, counts]) =>
            MODULE_OUTCOMES.map((outcome, index) => ({ labels: { module, outcome }, value: counts[index] ?? 0 })),
          ),
        },
      ];
    },
  };
}

const POLICY_FAILURE = REQUEST_CLASSES.indexOf("policy-failure");
/** Identification is work of ours in /proc, and at times a wait for the account database. */
const OWN_AND_ACCOUNTS = [...OWN_WORK_SECONDS.filter((seconds) => seconds >= 0.00005), 2.5];

function add(counts: Float64Array, index: number): void {
  counts[index] = (counts[index] ?? 0) + 1;
}

function placeOf(endpoint: Endpoint): number {
  return PLACES.indexOf(endpoint);
}

function decisionNumber(end: RequestEnd): number {
  switch (end.event) {
    case "request-forwarded":
      return end.auditDeny ? 1 : 0;
    case "request-denied":
      return 2;
    case "request-failed":
      return 3;
  }
}

function requestSamples(requests: Float64Array): readonly Sample[] {
  return PLACES.flatMap((endpoint, place) =>
    DECISIONS.flatMap((decision, made) =>
      REQUEST_CLASSES.flatMap((group, index) => {
        const value = requests[(place * DECISIONS.length + made) * REQUEST_CLASSES.length + index] ?? 0;
        const labels: Labels = { endpoint, decision, class: group };
        return value > 0 || (place !== UNKNOWN_PLACE && isExpected(decision, group)) ? [{ labels, value }] : [];
      }),
    ),
  );
}

function isExpected(decision: string, group: string): boolean {
  return EXPECTED.some(([eachDecision, eachGroup]) => eachDecision === decision && eachGroup === group);
}
