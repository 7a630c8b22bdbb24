// Decision trails in folders of their own, for tests: written by the agent's writer, read back whole.

import type { Damage } from "../../proxy/adapters/trail/read-segment.ts";
import { type TrailAnchor, type TrailOptions, TrailWriter } from "../../proxy/adapters/trail/trail-writer.ts";
import type { Caller } from "../../proxy/core/request/caller.ts";
import { canonicalise } from "../../proxy/core/request/canonical-request.ts";
import type { Recovery, TrailDecision, TrailRecord } from "../../proxy/core/trail/trail-record.ts";
import { type TrailExtent, walkTrail } from "../../proxy/tools/audit/read-trail.ts";
import { claimsOf } from "./claims.ts";

export const ALICE = {
  endpoint: "imds",
  claims: claimsOf({ userName: "alice", userGroups: ["alice", "dev"], processFullPath: "/usr/bin/curl", processName: "curl" }),
  doubts: [],
} as unknown as Caller;

export function decisionOf(known: Partial<TrailDecision> = {}): TrailDecision {
  const target = known.target ?? "/metadata/instance?api-version=2021-02-01";
  const request = canonicalise("imds", "GET", target);
  return {
    event: "request-forwarded",
    requestId: "r-1",
    caller: ALICE,
    method: "GET",
    target,
    request: request.ok ? request.value : undefined,
    status: 200,
    reason: "granted",
    verdict: { kind: "allow", reason: "granted", rule: "read/alice", ruleSetId: "rules-1", policyId: "ab".repeat(32) },
    modules: [],
    mode: "enforce",
    auditDeny: false,
    endorsed: true,
    epoch: 3,
    ...known,
  };
}

export interface Told {
  readonly failing: string[];
  readonly restored: number[];
  readonly recoveries: Recovery[];
  readonly anchors: TrailAnchor[];
}

export function openWriter(folder: string, more: Partial<TrailOptions> = {}): { readonly writer: TrailWriter; readonly told: Told } {
  const told: Told = { failing: [], restored: [], recoveries: [], anchors: [] };
  const writer = new TrailWriter({
    folder,
    segmentBytes: 1024 * 1024,
    totalBytes: 4 * 1024 * 1024,
    version: "1.2.3",
    nowMs: () => 1_767_225_600_000,
    onFailing: (message) => told.failing.push(message),
    onRestored: (lost) => told.restored.push(lost),
    onRecovery: (recovery) => told.recoveries.push(recovery),
    onAnchor: (anchor) => told.anchors.push(anchor),
    ...more,
  });
  return { writer, told };
}

/** One run of an agent that ends in order. */
export async function writeTrail(folder: string, count: number, more: Partial<TrailOptions> = {}): Promise<Told> {
  const { writer, told } = openWriter(folder, more);
  writer.start();
  for (let n = 0; n < count; n++) {
    writer.append(decisionOf({ requestId: `r-${n}` }));
    if (n % 500 === 499) await writer.flush();
  }
  await writer.stop();
  return told;
}

export interface WalkedTrail {
  readonly records: readonly TrailRecord[];
  readonly damages: readonly Damage[];
  readonly extent: TrailExtent;
}

export function readWhole(folder: string): WalkedTrail {
  const records: TrailRecord[] = [];
  const damages: Damage[] = [];
  const walked = walkTrail(folder, { record: (record) => records.push(record), damage: (damage) => damages.push(damage) });
  if (!walked.ok) throw new Error(walked.error);
  return { records, damages, extent: walked.value };
}
