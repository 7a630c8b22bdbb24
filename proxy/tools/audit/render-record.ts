// Records of the decision trail for people, one line each, and as JSON lines that `policy replay` takes.

import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import type { DecisionRecord, TrailRecord } from "../../core/trail/trail-record.ts";

/** What the rules or a built-in refusal answered; `none`: it came to no such answer. */
export type RecordedAnswer = "allow" | "deny" | "audit" | "none";

/** Refusals without a verdict that depend on the request and its caller alone, so that they can be decided again. */
const BUILT_IN_REASONS: ReadonlySet<string> = new Set(["not-root", "ambiguous-target", "method-not-allowed"]);

export function answerOf({ verdict, auditDeny, reason }: Pick<DecisionRecord, "verdict" | "auditDeny" | "reason">): RecordedAnswer {
  if (verdict === undefined) return BUILT_IN_REASONS.has(reason) ? "deny" : "none";
  if (verdict.kind === "allow") return "allow";
  return auditDeny ? "audit" : "deny";
}

export function renderRecordLine(record: TrailRecord): string {
  return `${new Date(record.timeMs).toISOString()} ${record.sequence} ${escapeForTerminal(describe(record))}`;
}

function describe(record: TrailRecord): string {
  switch (record.kind) {
    case "decision":
      return describeDecision(record);
    case "head": {
      const { segment, version, keptSegment, keptSequence, recovery } = record;
      const kept = keptSequence === 1 ? "" : `; kept from segment ${keptSegment}, record ${keptSequence}`;
      const found =
        recovery === undefined
          ? ""
          : `; segment ${recovery.segment} was ${recovery.kind} at byte ${recovery.offset}, ${recovery.bytes} bytes`;
      return `-- segment ${segment} (version ${version})${kept}${found}`;
    }
    case "start":
      return `-- agent ${record.version} started${record.afterStop ? "" : "; the one before did not stop in order, or there was none"}`;
    case "stop":
      return "-- agent stopped";
    case "gap":
      return `-- ${record.lost} decisions are missing, from ${new Date(record.firstMs).toISOString()} to ${new Date(record.lastMs).toISOString()}: ${record.cause}`;
  }
}

function describeDecision(record: DecisionRecord): string {
  const { caller, verdict, modules, mode, status, reason } = record;
  const who =
    caller === undefined
      ? "nobody known"
      : `${caller.userName ?? caller.userId} ${caller.processFullPath ?? "(program unknown)"} [${caller.processId}]`;
  const why = [verdict?.reason ?? reason, ...(verdict?.rule ? [verdict.rule] : [])].join(" ");
  const end = verdict !== undefined && verdict.reason !== reason ? `, ${reason}` : "";
  const said = modules.map(({ name, kind, failed }) => `; ${name}: ${failed ? "failed" : kind}`).join("");
  return `${answerOf(record)} ${record.endpoint ?? "-"} ${record.method} ${record.target} by ${who}: ${why} (${mode || "no mode"})${end}, ${status}${said}`;
}

/** As an object whose members `policy replay` knows, and the rest for other readers. */
export function exportDecision(record: DecisionRecord): Readonly<Record<string, unknown>> {
  const { caller, verdict } = record;
  return {
    time: new Date(record.timeMs).toISOString(),
    sequence: record.sequence,
    requestId: record.requestId,
    endpoint: record.endpoint,
    request: `${record.method} ${record.target}`,
    caller: caller === undefined ? undefined : exportCaller(caller),
    decision: answerOf(record),
    reason: verdict?.reason ?? record.reason,
    rule: verdict?.rule,
    ruleSetId: verdict?.ruleSetId,
    policyId: verdict?.policyId,
    mode: record.mode,
    epoch: record.epoch,
    outcome: record.event,
    outcomeReason: record.reason,
    responseStatus: record.status,
    endorsed: record.endorsed,
    modules: record.modules.length === 0 ? undefined : record.modules,
    shortened: record.shortened ? true : undefined,
  };
}

function exportCaller(caller: NonNullable<DecisionRecord["caller"]>): Readonly<Record<string, unknown>> {
  const { clientAddress, doubts, ...rest } = caller;
  return { ...rest, clientIp: clientAddress, doubts: doubts.length === 0 ? undefined : doubts };
}
