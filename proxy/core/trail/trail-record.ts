// What the decision trail holds: one record for each decision, and records about the trail itself. Plain values; how they become
// bytes is in proxy/adapters/trail, and docs/decision-trail.md describes both.

import type { ModuleOutcome } from "../modules/module-entry.ts";
import type { Caller } from "../request/caller.ts";
import type { CanonicalRequest } from "../request/canonical-request.ts";
import type { Verdict } from "../request/verdict.ts";

/** An ended request as the trail takes it. */
export interface TrailDecision {
  readonly event: "request-forwarded" | "request-denied" | "request-failed";
  readonly requestId: string;
  readonly caller: Caller | undefined;
  readonly method: string;
  readonly target: string;
  /** What was decided on; undefined when there was no caller, no known method or no single reading. */
  readonly request: CanonicalRequest | undefined;
  /** Status the client saw; 0 when it saw none. */
  readonly status: number;
  /** Stable word: docs/operations.md lists them. */
  readonly reason: string;
  readonly verdict: Verdict | undefined;
  /** Answers of policy modules, in order of evaluation. */
  readonly modules: readonly ModuleOutcome[];
  readonly mode: string;
  /** The policy denied and audit mode let it pass. */
  readonly auditDeny: boolean;
  readonly endorsed: boolean;
  readonly epoch: number;
}

/** The caller as a record names it; what was unknown is undefined. */
export interface RecordedCaller {
  readonly userId: number;
  readonly userName: string | undefined;
  readonly userGroups: readonly string[];
  readonly runAsElevated: boolean;
  readonly processId: number;
  readonly processFullPath: string | undefined;
  readonly processCmdLine: string;
  readonly exeSha256: string | undefined;
  readonly cgroupId: string;
  readonly cgroupPath: string | undefined;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly doubts: readonly string[];
}

interface Numbered {
  readonly sequence: number;
  readonly timeMs: number;
}

export interface DecisionRecord extends Numbered {
  readonly kind: "decision";
  readonly requestId: string;
  readonly event: TrailDecision["event"];
  readonly endpoint: string | undefined;
  readonly method: string;
  /** Canonical form; when there was none, the target as received. */
  readonly target: string;
  readonly isCanonical: boolean;
  readonly status: number;
  readonly reason: string;
  readonly verdict: Verdict | undefined;
  readonly mode: string;
  readonly auditDeny: boolean;
  readonly endorsed: boolean;
  readonly epoch: number;
  readonly caller: RecordedCaller | undefined;
  readonly modules: readonly Pick<ModuleOutcome, "name" | "kind" | "reason" | "rule" | "failed" | "applied">[];
  /** Texts were cut, because the whole would not have fitted into a record. */
  readonly shortened: boolean;
}

/** What was found wrong with the segment before, when the agent started. */
export interface Recovery {
  readonly kind: "torn" | "damaged";
  readonly segment: number;
  /** Where the last whole record ends. */
  readonly offset: number;
  /** Behind that; moved to a file of their own when the segment was torn. */
  readonly bytes: number;
  /** Hex, of those bytes. */
  readonly sha256: string;
}

/** First in each segment. */
export interface HeadRecord extends Numbered {
  readonly kind: "head";
  readonly segment: number;
  readonly version: string;
  /** The oldest segment kept, and its first sequence: what is missing before them was removed by the agent itself. */
  readonly keptSegment: number;
  readonly keptSequence: number;
  readonly recovery: Recovery | undefined;
}

export interface StartRecord extends Numbered {
  readonly kind: "start";
  readonly version: string;
  /** The agent before this one ended in order: nothing of it is missing. */
  readonly afterStop: boolean;
}

export interface StopRecord extends Numbered {
  readonly kind: "stop";
}

/** Decisions that are not in the trail because it could not be written. */
export interface GapRecord extends Numbered {
  readonly kind: "gap";
  readonly lost: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly cause: string;
}

export type TrailRecord = DecisionRecord | HeadRecord | StartRecord | StopRecord | GapRecord;
