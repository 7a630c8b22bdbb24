// Puts the parts' own words together into the aggregate status, and writes it when something changed and once a minute.

import { ENDPOINTS } from "../core/endpoint.ts";
import { perEndpoint } from "../core/key-status.ts";
import type { RedirectCounters } from "../core/ports.ts";
import { type AggregateStatus, type ConnectionSummary, cutMessage, type DenialStatus, type ModuleStatus } from "../core/status.ts";
import type { EndpointGuard } from "./guards.ts";
import type { KeeperReport, Snapshot } from "./key-keeper.ts";

export interface StatusSources {
  readonly version: string;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
  readonly snapshot: () => Snapshot;
  readonly keeper: () => KeeperReport;
  readonly redirector: () => { readonly running: boolean; readonly message: string; readonly pinsExecutable: boolean };
  readonly listener: () => { readonly running: boolean; readonly message: string };
  readonly guarded: () => Readonly<Record<string, boolean>>;
  readonly counters: () => RedirectCounters | undefined;
  readonly requests: () => number;
  readonly summaries: () => { readonly all: readonly ConnectionSummary[]; readonly failed: readonly ConnectionSummary[] };
  readonly denials: () => { readonly wouldDeny: DenialStatus; readonly denied: DenialStatus };
  readonly statusPath: string;
}

/** The host has been silent for this long: the key keeper counts as not running. */
const CONTACT_LIMIT_MS = 5 * 60_000;

export function buildStatus(from: StatusSources): AggregateStatus {
  const keyLatchStatus = keyStatus(from);
  const redirector = from.redirector();
  const listener = from.listener();
  const refusals = ENDPOINTS.flatMap((endpoint) => from.snapshot().guards[endpoint].refusal ?? []);
  const running = [keyLatchStatus.status === "RUNNING", redirector.running, listener.running, refusals.length === 0];
  const summaries = from.summaries();
  return {
    timestamp: from.now().toISOString().replace("Z", ""),
    proxyAgentStatus: {
      version: from.version,
      status: running.every(Boolean) ? "SUCCESS" : "ERROR",
      monitorStatus: { status: "RUNNING", message: `Aggregate status written to status file: ${from.statusPath}` },
      keyLatchStatus,
      ebpfProgramStatus: moduleStatus(redirector),
      proxyListenerStatus: moduleStatus(listener),
      telemetryLoggerStatus: { status: "UNKNOWN", message: "This version sends no telemetry." },
      proxyConnectionsCount: from.requests(),
    },
    proxyConnectionSummary: summaries.all,
    failedAuthenticateSummary: summaries.failed,
    agentDetails: details(from, redirector.pinsExecutable, refusals),
  };
}

function keyStatus(from: StatusSources): ModuleStatus {
  const { keeper, snapshot } = from;
  const { stateText, message, healthy, keyIncarnationId, lastContactMs } = keeper();
  const { channel, guards } = snapshot();
  const silentMs = from.monotonicMs() - (lastContactMs ?? 0);
  const states: Record<string, string> = { secureChannelState: stateText };
  if (channel.kind === "latched") states.keyGuid = channel.key.guid;
  states.wireServerRuleId = guards.wireserver.platformRuleId;
  states.imdsRuleId = guards.imds.platformRuleId;
  states.hostGARuleId = guards.hostga.platformRuleId;
  if (keyIncarnationId !== undefined) states.keyIncarnationId = String(keyIncarnationId);
  return { status: healthy && silentMs < CONTACT_LIMIT_MS ? "RUNNING" : "STOPPED", message: cutMessage(message), states };
}

function moduleStatus(part: { readonly running: boolean; readonly message: string }): ModuleStatus {
  return { status: part.running ? "RUNNING" : "STOPPED", message: cutMessage(part.message) };
}

function localFileOf({ localFile }: EndpointGuard): Readonly<Record<string, unknown>> {
  return localFile === undefined ? {} : { localFile: { ...localFile, message: cutMessage(localFile.message) } };
}

function details(from: StatusSources, pinsExecutable: boolean, refusals: readonly string[]): Readonly<Record<string, unknown>> {
  const { guards, epoch, channel } = from.snapshot();
  const counters = from.counters();
  return {
    epoch,
    channel: channel.kind,
    endpoints: perEndpoint((endpoint) => ({
      mode: guards[endpoint].mode,
      ruleSetId: guards[endpoint].ruleSetId,
      ...localFileOf(guards[endpoint]),
      redirected: from.guarded()[endpoint] ?? false,
      policyId: guards[endpoint].policy?.policyId ?? "",
    })),
    ruleRefusals: refusals.map(cutMessage),
    executablesPinned: pinsExecutable,
    ...from.denials(),
    // Counts fit a JSON number for longer than any VM runs.
    redirectCounters:
      counters === undefined ? {} : Object.fromEntries(Object.entries(counters).map(([name, value]) => [name, Number(value)])),
  };
}
