// Builds the aggregate status from its parts, and writes it when something changed and once a minute.

import { perEndpoint } from "../../core/channel/key-status.ts";
import type { RedirectCounters } from "../../core/ports.ts";
import { ENDPOINTS } from "../../core/request/endpoint.ts";
import {
  type AggregateStatus,
  type ConnectionSummary,
  cutMessage,
  type DenialStatus,
  type ModuleStatus,
} from "../../core/status/status.ts";
import type { EndpointGuard } from "../policy/guards.ts";
import type { KeeperReport, Snapshot } from "../policy/key-keeper.ts";
import type { HealthNote, PartsReading } from "./status-parts.ts";

export interface StatusSources {
  readonly version: string;
  readonly now: () => Date;
  readonly monotonicMs: () => number;
  readonly snapshot: () => Snapshot;
  readonly keeper: () => KeeperReport;
  /** How long the key keeper's loop has not turned although it should; 0 while it turns. */
  readonly stalledMs: () => number;
  readonly redirector: () => { readonly running: boolean; readonly message: string; readonly pinsExecutable: boolean };
  readonly listener: () => { readonly running: boolean; readonly message: string };
  readonly guarded: () => Readonly<Record<string, boolean>>;
  readonly counters: () => RedirectCounters | undefined;
  readonly requests: () => number;
  readonly summaries: () => { readonly all: readonly ConnectionSummary[]; readonly failed: readonly ConnectionSummary[] };
  readonly denials: () => { readonly wouldDeny: DenialStatus; readonly denied: DenialStatus };
  readonly parts: () => PartsReading;
  readonly statusPath: string;
  /** Why the file could not be written last time; undefined when it could. */
  readonly writeFailure: () => string | undefined;
}

/** Members of `agentDetails` that are ours already; parts bring their own names. */
export const OWN_DETAILS = [
  "health",
  "epoch",
  "channel",
  "endpoints",
  "ruleRefusals",
  "executablesPinned",
  "wouldDeny",
  "denied",
  "redirectCounters",
] as const;

/** The host has been silent for this long: the key keeper counts as not running. */
const CONTACT_LIMIT_MS = 5 * 60_000;

export function buildStatus(from: StatusSources): AggregateStatus {
  const keyLatchStatus = keyStatus(from);
  const redirector = from.redirector();
  const listener = from.listener();
  const refusals = ENDPOINTS.flatMap((endpoint) => from.snapshot().guards[endpoint].refusal ?? []);
  const parts = from.parts();
  const ebpfProgramStatus = joined(moduleStatus(redirector), parts.modules.ebpfProgramStatus);
  const proxyListenerStatus = joined(moduleStatus(listener), parts.modules.proxyListenerStatus);
  const running = [keyLatchStatus, ebpfProgramStatus, proxyListenerStatus].every(({ status }) => status === "RUNNING");
  const sound = refusals.length === 0 && parts.notes.every(({ health }) => health !== "failed");
  const summaries = from.summaries();
  return {
    timestamp: from.now().toISOString().replace("Z", ""),
    proxyAgentStatus: {
      version: from.version,
      status: running && sound ? "SUCCESS" : "ERROR",
      monitorStatus: monitorStatus(from),
      keyLatchStatus,
      ebpfProgramStatus,
      proxyListenerStatus,
      telemetryLoggerStatus: parts.modules.telemetryLoggerStatus ?? {
        status: "UNKNOWN",
        message: 'Telemetry is switched off by the config key "telemetry".',
      },
      proxyConnectionsCount: from.requests(),
    },
    proxyConnectionSummary: summaries.all,
    failedAuthenticateSummary: summaries.failed,
    agentDetails: {
      health: [...ownNotes({ keyKeeper: keyLatchStatus, listener: moduleStatus(listener) }, refusals), ...parts.notes],
      ...details(from, redirector.pinsExecutable, refusals),
      ...parts.details,
    },
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
  const stalledMs = from.stalledMs();
  const running = healthy && silentMs < CONTACT_LIMIT_MS && stalledMs === 0;
  return { status: running ? "RUNNING" : "STOPPED", message: cutMessage(`${why(healthy, silentMs, stalledMs)}${message}`), states };
}

/** What the keeper's last words leave unsaid: they may be good and old. */
function why(healthy: boolean, silentMs: number, stalledMs: number): string {
  if (stalledMs > 0) return `the key keeper has not turned for ${Math.round(stalledMs / 1000)} s; last: `;
  return healthy && silentMs >= CONTACT_LIMIT_MS ? `the host has been silent for ${Math.round(silentMs / 1000)} s; last: ` : "";
}

function monitorStatus({ statusPath, writeFailure }: StatusSources): ModuleStatus {
  const failure = writeFailure();
  if (failure !== undefined) return { status: "STOPPED", message: cutMessage(failure) };
  return { status: "RUNNING", message: `Aggregate status written to status file: ${statusPath}` };
}

/** Everything that is not well stands in one list, also what the platform's modules say already. */
function ownNotes(modules: Readonly<Record<string, ModuleStatus>>, refusals: readonly string[]): readonly HealthNote[] {
  const stopped = Object.entries(modules).flatMap(([part, { status, message }]) =>
    status === "RUNNING" ? [] : [{ part, health: "failed" as const, message }],
  );
  return [...stopped, ...refusals.map((message) => ({ part: "rules", health: "failed" as const, message: cutMessage(message) }))];
}

function moduleStatus(part: { readonly running: boolean; readonly message: string }): ModuleStatus {
  return { status: part.running ? "RUNNING" : "STOPPED", message: cutMessage(part.message) };
}

/** A part that speaks for a module is heard when it failed, and has the word when both run. */
function joined(own: ModuleStatus, fromPart: ModuleStatus | undefined): ModuleStatus {
  return own.status === "RUNNING" && fromPart !== undefined && (fromPart.status === "STOPPED" || fromPart.message !== "") ? fromPart : own;
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
