import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { claimsOf } from "../../../test/support/claims.ts";
import { exposeEverything, parseExposition, requestEnd } from "../../../test/support/metrics.ts";
import { classOfReason } from "../../core/metrics/request-class.ts";
import type { ModuleOutcome } from "../../core/modules/module-entry.ts";
import type { RedirectCounters } from "../../core/ports.ts";
import type { Caller } from "../../core/request/caller.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { makeRequestMetrics } from "./request-metrics.ts";

const ROOT = join(import.meta.dir, "../../..");

function callerTo(endpoint: Endpoint): Caller {
  return {
    endpoint,
    claims: claimsOf({ userName: "alice", processFullPath: "/opt/alice/secret-tool", processId: 4711 }),
  } as unknown as Caller;
}

function outcome(name: string, more: Partial<ModuleOutcome> = {}): ModuleOutcome {
  return { name, kind: "allow", reason: "fine", rule: "", labels: [], failed: false, applied: true, ...more };
}

describe("metrics", () => {
  test("count what became of requests, by endpoint and by what decided", () => {
    const { metrics, value } = exposeEverything();
    const caller = callerTo("imds");
    const denied = { event: "request-denied", caller } as const;
    metrics.countRequest(requestEnd({ caller, reason: "granted" }));
    metrics.countRequest(requestEnd({ caller, reason: "default-allow" }));
    metrics.countRequest(requestEnd({ ...denied, reason: "not-granted" }));
    metrics.countRequest(requestEnd({ ...denied, reason: "business-hours-only" }));
    metrics.countRequest(requestEnd({ ...denied, reason: "policy-failed" }));
    const verdict = { kind: "deny", reason: "not-granted", rule: "", ruleSetId: "", policyId: "" } as const;
    metrics.countRequest(requestEnd({ caller, reason: "not-granted", auditDeny: true, verdict }));
    metrics.countRequest(requestEnd({ event: "request-failed", caller, reason: "host-silent", auditDeny: true, verdict }));
    metrics.countRequest(requestEnd({ event: "request-denied", caller: undefined, reason: "not-redirected" }));
    const requests = (endpoint: string, decision: string, group: string) =>
      value("azure_proxy_agent_requests_total", { endpoint, decision, class: group });
    expect([
      requests("imds", "allowed", "rules"),
      requests("imds", "denied", "rules"),
      requests("imds", "denied", "module"),
      requests("imds", "denied", "policy-failure"),
      requests("imds", "would-deny", "rules"),
      requests("imds", "failed", "host"),
      requests("unknown", "denied", "caller-unknown"),
      requests("wireserver", "denied", "built-in"),
    ]).toEqual([2, 1, 1, 1, 1, 1, 1, 0]);
    expect(value("azure_proxy_agent_policy_failures_total", { endpoint: "imds" })).toBe(1);
  });

  test("put durations into the buckets whose bound they do not exceed", () => {
    const { metrics, value } = exposeEverything();
    const caller = callerTo("hostga");
    metrics.countRequest(requestEnd({ caller, elapsedMs: 1, policyMs: 0.01, hostMs: undefined, identifyMs: undefined }));
    metrics.countRequest(requestEnd({ caller, elapsedMs: 90_000, policyMs: 0.0101, hostMs: 5, identifyMs: 2 }));
    const total = (le: string) => value("azure_proxy_agent_request_seconds_bucket", { endpoint: "hostga", le });
    expect([total("0.0005"), total("0.001"), total("60"), total("+Inf")]).toEqual([0, 1, 1, 2]);
    const policy = (le: string) => value("azure_proxy_agent_policy_seconds_bucket", { endpoint: "hostga", le });
    expect([policy("0.00001"), policy("0.000025")]).toEqual([1, 2]);
    expect(value("azure_proxy_agent_host_seconds_count", { endpoint: "hostga" })).toBe(1);
    expect(value("azure_proxy_agent_identify_seconds_sum")).toBeCloseTo(0.002);
    expect(value("azure_proxy_agent_request_seconds_sum", { endpoint: "hostga" })).toBeCloseTo(90.001);
  });

  test("tell modules apart, failed from denied and denied from only recorded", () => {
    const { metrics, value } = exposeEverything();
    const modules = [
      outcome("office-hours", { kind: "deny" }),
      outcome("office-hours", { kind: "deny", applied: false }),
      outcome("office-hours", { kind: "deny", failed: true }),
      outcome("geo", { kind: "abstain" }),
    ];
    metrics.countRequest(requestEnd({ caller: callerTo("imds"), modules }));
    const of = (module: string, what: string) => value("azure_proxy_agent_module_outcomes_total", { module, outcome: what });
    expect(["deny", "recorded", "failed", "allow"].map((what) => of("office-hours", what))).toEqual([1, 1, 1, 0]);
    expect(of("geo", "abstain")).toBe(1);
  });

  test("T-141: neither callers nor modules make the number of series grow without bound", () => {
    const requests = makeRequestMetrics();
    const series = () => requests.families().flatMap(({ samples }) => samples).length;
    for (let n = 0; n < 5_000; n++) {
      const more = { reason: `reason-${n}`, target: `/${n}`, modules: [outcome(`module-${n}`)] };
      requests.count(requestEnd({ ...more, caller: callerTo("imds"), event: n % 2 === 0 ? "request-denied" : "request-forwarded" }));
    }
    expect(series()).toBeLessThan(500);
  });

  test("T-141: no user, program, process, path or rule is in the text", () => {
    const { metrics, text } = exposeEverything();
    const verdict = { kind: "deny", reason: "not-granted", rule: "rule-x", ruleSetId: "set-x", policyId: "p".repeat(64) } as const;
    metrics.countRequest(requestEnd({ caller: callerTo("imds"), target: "/metadata/instance?secret", event: "request-denied", verdict }));
    expect(text()).not.toMatch(/alice|secret|4711|rule-x|set-x|pppp/);
  });

  test("states are one-hot, and follow", () => {
    const { value, latch } = exposeEverything();
    const states = () => ["unknown", "disabled", "unlatched", "latched"].map((state) => value("azure_proxy_agent_key_state", { state }));
    expect(states()).toEqual([1, 0, 0, 0]);
    latch();
    expect(states()).toEqual([0, 0, 0, 1]);
    const modes = ["disabled", "audit", "enforce"].map((mode) => value("azure_proxy_agent_mode", { endpoint: "imds", mode }));
    expect(modes).toEqual([0, 0, 1]);
  });

  test("polls count by outcome, and the age of the last contact runs on when the host is silent", () => {
    const { metrics, value, contact, pass } = exposeEverything();
    const polls = () => ["ok", "key-failed", "no-answer"].map((what) => value("azure_proxy_agent_host_polls_total", { outcome: what }));
    pass(7_000);
    metrics.countPoll();
    expect([value("azure_proxy_agent_host_contact_timestamp_seconds"), value("azure_proxy_agent_host_contact_age_seconds")]).toEqual([
      0, 7,
    ]);
    contact(false);
    metrics.countPoll();
    contact(true);
    metrics.countPoll();
    pass(20_000);
    metrics.countPoll();
    expect(polls()).toEqual([1, 1, 2]);
    expect(value("azure_proxy_agent_host_contact_age_seconds")).toBe(20);
    expect(value("azure_proxy_agent_host_contact_timestamp_seconds")).toBe(1_000_007);
  });

  test("records in the map are those of clients that are not accepted; never less than none", () => {
    const { metrics, value } = exposeEverything();
    expect([value("azure_proxy_agent_records"), value("azure_proxy_agent_records_taken_total")]).toEqual([5, 2]);
    metrics.countUnrecorded();
    expect(value("azure_proxy_agent_record_misses_total")).toBe(1);
    const counters = { published: 1n, accepted: 2n, cleaned: 0n } as RedirectCounters;
    expect(exposeEverything({ counters: () => counters }).value("azure_proxy_agent_records")).toBe(0);
  });

  test("what cannot be read is left out, not shown as zero", () => {
    const { text } = exposeEverything({ counters: () => undefined, trail: () => undefined, starts: () => undefined });
    const samples = parseExposition(text()).samples.map(({ name }) => name);
    for (const absent of ["azure_proxy_agent_kernel_connects_total", "azure_proxy_agent_trail_bytes", "azure_proxy_agent_starts_total"])
      expect(samples).not.toContain(absent);
  });

  test("every reason that operations.md lists for requests has a class of its own making", () => {
    const section = readFileSync(join(ROOT, "docs/operations.md"), "utf8").split("### Reasons")[1]?.split("\n## ")[0] ?? "";
    const listed = [...section.matchAll(/^\| `([a-z-]+)` \| (forwarded|denied|failed) /gm)].map((match) => match[1] ?? "");
    expect(listed.length).toBeGreaterThan(25);
    expect(listed.filter((reason) => classOfReason(reason) === "module" && !reason.startsWith("module"))).toEqual([]);
  });
});
