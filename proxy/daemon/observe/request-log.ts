// The one line a finished request leaves, or many equal ones together. Its fields are what fleet queries read, so names are a contract (docs/operations.md).

import type { Log, LogField } from "../../core/ports.ts";
import { ENDPOINT_FACTS } from "../../core/request/endpoint.ts";
import type { Repeats } from "../../core/tally/line-limit.ts";
import type { RequestEnd } from "../request/handle-request.ts";

/** Denies are logged at info, failures at warn; a forwarded request at info, because audit mode relies on reading those. */
export function logRequestEnd(log: Log, end: RequestEnd, repeats: Repeats): void {
  const fields = { ...requestFields(end), ...repeats };
  if (end.event === "request-failed") log.warn(end.event, fields);
  else log.info(end.event, fields);
}

export function requestFields(end: RequestEnd): Readonly<Record<string, LogField>> {
  const { caller, verdict } = end;
  const claims = caller?.claims;
  const facts = caller === undefined ? undefined : ENDPOINT_FACTS[caller.endpoint];
  return {
    requestId: end.requestId,
    method: end.method,
    url: end.target,
    ip: facts?.address ?? "",
    port: facts?.port ?? 0,
    responseStatus: end.status,
    reason: end.reason,
    detail: end.detail === "" ? undefined : end.detail,
    endpoint: caller?.endpoint,
    mode: end.mode,
    wouldDeny: end.auditDeny ? (verdict?.reason ?? "") : undefined,
    module: verdict?.module?.name,
    moduleReason: verdict?.module?.reason,
    moduleWouldDeny: unapplied(end),
    ruleId: verdict?.rule,
    ruleSetId: verdict?.ruleSetId,
    policyId: verdict?.policyId.slice(0, 16),
    epoch: end.epoch,
    endorsed: end.endorsed,
    userId: claims?.userId,
    userName: claims?.userName ?? "undefined",
    userGroups: claims?.userGroups ?? [],
    processId: claims?.processId,
    processFullPath: claims?.processFullPath ?? "",
    processName: claims?.processName ?? "",
    processCmdLine: claims?.processCmdLine ?? "",
    exeSha256: claims?.executableSha256,
    cgroupPath: claims?.cgroupPath,
    runAsElevated: claims?.runAsElevated ?? false,
    clientIp: claims?.clientAddress,
    clientPort: claims?.clientPort,
    doubts: caller === undefined || caller.doubts.length === 0 ? undefined : caller.doubts,
    elapsedMs: Math.round(end.elapsedMs * 1000) / 1000,
  };
}

/** Denies of modules in audit, as `name: reason`. */
function unapplied({ modules }: RequestEnd): readonly string[] | undefined {
  const denies = modules.filter(({ applied }) => !applied);
  return denies.length === 0 ? undefined : denies.map(({ name, reason }) => `${name}: ${reason}`);
}
