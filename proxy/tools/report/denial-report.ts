// What rules deny, as an operator needs it: who, what, how often, why, and which rule would allow it. Reads the agent's
// status, or request lines; both hold untrusted text, so everything is checked.

import { canonicalise } from "../../core/request/canonical-request.ts";
import { ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { DenialStatus, DenialStatusEntry } from "../../core/status/status.ts";
import { type DenialTally, MAX_DENIAL_ENTRIES, makeDenialTally, renderDenials } from "../../core/tally/denial-tally.ts";
import type { LoggedRequest } from "../log-lines.ts";
import { readCaller } from "../policy/callers.ts";

export interface GuardState {
  readonly endpoint: Endpoint;
  /** Empty: unknown. */
  readonly mode: string;
  readonly ruleSetId: string;
}

export interface DenialReport {
  /** When the source was written, milliseconds since 1970; undefined: unknown. */
  readonly writtenMs: number | undefined;
  readonly guards: readonly GuardState[];
  readonly wouldDeny: DenialStatus;
  readonly denied: DenialStatus;
  /** Connects that the kernel refused because they came from another network namespace; undefined: the source does not say. */
  readonly refusedForeignNamespace: number | undefined;
}

const RULE_ID_MEMBERS: Readonly<Record<Endpoint, string>> = { wireserver: "wireServerRuleId", hostga: "hostGARuleId", imds: "imdsRuleId" };

/** Reads the text of status.json. */
export function readStatusReport(text: string): Result<DenialReport, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return err("found text that is not JSON, want the agent's status");
  }
  const details = memberOf(json, "agentDetails");
  if (memberOf(json, "proxyAgentStatus") === undefined) return err("found JSON without proxyAgentStatus, want the agent's status");
  if (memberOf(details, "wouldDeny") === undefined)
    return err("found a status without agentDetails.wouldDeny: it is of another agent, or of an older version");
  const written = Date.parse(`${textOf(memberOf(json, "timestamp"))}Z`);
  const states = memberOf(memberOf(memberOf(json, "proxyAgentStatus"), "keyLatchStatus"), "states");
  const guards = ENDPOINTS.map((endpoint) => {
    const guard = memberOf(memberOf(details, "endpoints"), endpoint);
    // With a local rule file the active id, which denials name, is another than the platform's.
    const ruleSetId = textOf(memberOf(guard, "ruleSetId")) || textOf(memberOf(states, RULE_ID_MEMBERS[endpoint]));
    return { endpoint, mode: textOf(memberOf(guard, "mode")), ruleSetId };
  });
  return ok({
    writtenMs: Number.isNaN(written) ? undefined : written,
    guards,
    wouldDeny: readDenials(memberOf(details, "wouldDeny")),
    denied: readDenials(memberOf(details, "denied")),
    refusedForeignNamespace: countOf(memberOf(memberOf(details, "redirectCounters"), "refusedForeignNamespace")),
  });
}

function readDenials(json: unknown): DenialStatus {
  const entries = memberOf(json, "entries");
  return {
    since: textOf(memberOf(json, "since")),
    total: countOf(memberOf(json, "total")),
    other: countOf(memberOf(json, "other")),
    entries: Array.isArray(entries) ? entries.map(readEntry) : [],
  };
}

function readEntry(json: unknown): DenialStatusEntry {
  const text = (name: string) => textOf(memberOf(json, name));
  const number = (name: string) => countOf(memberOf(json, name));
  return {
    endpoint: text("endpoint"),
    ruleSetId: text("ruleSetId"),
    reason: text("reason"),
    rule: text("rule"),
    userName: text("userName"),
    processFullPath: text("processFullPath"),
    path: text("path"),
    count: number("count"),
    missedAtMost: number("missedAtMost"),
    firstSeen: text("firstSeen"),
    lastSeen: text("lastSeen"),
    exampleMethod: text("exampleMethod"),
    exampleUrl: text("exampleUrl"),
    exampleProcessId: number("exampleProcessId"),
  };
}

export interface LogReporter {
  add(request: LoggedRequest): void;
  result(): DenialReport;
}

/** The same report from request lines, in bounded memory. */
export function makeLogReporter(): LogReporter {
  const wouldDeny = makeDenialTally();
  const denied = makeDenialTally();
  let firstMs: number | undefined;
  let lastMs: number | undefined;
  return {
    add(request) {
      const { atMs, endpoint } = request;
      firstMs ??= atMs;
      lastMs = atMs ?? lastMs;
      if (endpoint === undefined) return;
      if (request.wouldDeny !== undefined) countIn(wouldDeny, endpoint, request, request.wouldDeny);
      else if (request.outcome === "denied") countIn(denied, endpoint, request, request.reason);
    },
    result() {
      const since = firstMs === undefined ? undefined : new Date(firstMs);
      return {
        writtenMs: lastMs,
        guards: [],
        wouldDeny: renderDenials(wouldDeny, since, MAX_DENIAL_ENTRIES),
        denied: renderDenials(denied, since, MAX_DENIAL_ENTRIES),
        refusedForeignNamespace: undefined,
      };
    },
  };
}

function countIn(tally: DenialTally, endpoint: Endpoint, request: LoggedRequest, reason: string): void {
  const { method, url, rule, ruleSetId, userName, exePath, processId, atMs } = request;
  const canonical = canonicalise(endpoint, method, url);
  const segments = canonical.ok ? canonical.value.segments : [];
  tally.count({ endpoint, ruleSetId, reason, rule, userName, exePath, segments, method, target: url, processId, atMs }, request.repeated);
  tally.countOther(request.unlisted);
}

/** Only one endpoint's part; what is counted without an entry belongs to no endpoint and stays. */
export function reportOf(report: DenialReport, endpoint: Endpoint): DenialReport {
  const only = (denials: DenialStatus): DenialStatus => {
    const entries = denials.entries.filter((entry) => entry.endpoint === endpoint);
    return { ...denials, entries, total: entries.reduce((sum, { count }) => sum + count, denials.other) };
  };
  const guards = report.guards.filter((guard) => guard.endpoint === endpoint);
  return { ...report, guards, wouldDeny: only(report.wouldDeny), denied: only(report.denied) };
}

/** Which rule would allow it, or why none can. */
export function remedyFor(entry: DenialStatusEntry): string {
  const fixed = FIXED_REMEDIES.get(entry.reason);
  if (fixed !== undefined) return fixed;
  if (entry.path === "/") return "no rule should allow it: a privilege for the root path would cover everything";
  const caller = readCaller(entry.userName, entry.processFullPath === "" ? undefined : entry.processFullPath);
  if (caller.kind === "not-nameable") return "no identity can name this caller safely: give it an account with a name";
  const { userName, exePath } = caller.selectors;
  const identity =
    exePath === undefined
      ? `userName ${JSON.stringify(userName)}`
      : `userName ${JSON.stringify(userName)} and exePath ${JSON.stringify(exePath)}`;
  return `allow with a privilege for path ${JSON.stringify(entry.path)} or narrower, and an identity with ${identity}`;
}

const FIXED_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["not-root", "no rule can allow it: run the caller as root"],
  ["ambiguous-query", "no rule can allow it: the caller gives one parameter two values"],
  ["ambiguous-target", "no rule can allow it: the target has no single clear reading; fix the caller"],
  ["ambiguous-request", "no rule can allow it: headers or parameters have no single clear reading; fix the caller"],
  ["method-not-allowed", "no rule can allow it: the method is not let through"],
  ["no-usable-rules", "the platform's rules cannot be used: repair those first"],
  ["module-denied", "the rules allow it: the policy module named first denies it"],
  [
    "policy-failed",
    "a policy failed: the module that is named, see its module-failed lines; without one a defect of ours, please report it",
  ],
  ["wrong-endpoint", "a defect of the agent: please report it"],
]);

/** Counted under rules that are no longer active? Texts in the status are cut, so the beginning decides. */
export function isOlderRules(entry: DenialStatusEntry, guards: readonly GuardState[]): boolean {
  const guard = guards.find(({ endpoint }) => endpoint === entry.endpoint);
  if (guard === undefined || guard.ruleSetId === "" || entry.ruleSetId === "") return false;
  const cut = entry.ruleSetId.endsWith("...");
  return cut ? !guard.ruleSetId.startsWith(entry.ruleSetId.slice(0, -3)) : guard.ruleSetId !== entry.ruleSetId;
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
