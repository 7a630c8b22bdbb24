// What the seam's fuzzer knows that the agent must find out: which process has which secret. Judges what arrived at the host and what
// the decision trail says about callers; decides nothing about what is tried.

import type { RequestRecord } from "../../host-simulator/host-model.ts";
import { walkTrail } from "../../proxy/tools/audit/read-trail.ts";

/** How the agent says that something about a process was not known within its limits. */

/** One process of the fuzzer. */
export interface SeamProcess {
  readonly index: number;
  readonly uid: number;
  readonly pid: number;
  /** Its own copy of the program: the rules name it, so each process may read one thing that no other may. */
  readonly path: string;
  readonly secret: string;
}

/** Why a request was not who it claims to be, in words; undefined when all is as it must be. */
export function mismatchOf(record: RequestRecord, processes: readonly SeamProcess[]): string | undefined {
  const words = (what: string) => `${record.endpoint} ${record.target} claims ${record.claims}: ${what}`;
  if (record.signature.kind !== "valid") return words(`arrived ${record.signature.kind}`);
  const secret = record.headers.find(([name]) => name.toLowerCase() === "x-seam-secret")?.[1];
  const sender = processes.find((process) => process.secret === secret);
  if (sender === undefined) return words(`was sent by nobody: secret ${secret}`);
  const isRoot = sender.uid === 0;
  if (record.claims !== `{ "isRoot": "${isRoot}"}`) return words(`was sent by user ${sender.uid}`);
  const query = new URLSearchParams(record.target.slice(record.target.indexOf("?")));
  if (query.get("from") !== String(sender.index)) return words(`was sent by process ${sender.index}`);
  if (record.endpoint !== "imds" && !isRoot) return words(`was sent by user ${sender.uid}`);
  if (record.endpoint === "imds" && query.get("seam") !== String(sender.index))
    return words(`asks for what belongs to another process, and was sent by ${sender.index}`);
  return undefined;
}

export interface TrailFindings {
  /** Decisions with a caller. */
  readonly checked: number;
  readonly mismatches: readonly string[];
  /** Why processes were refused what is theirs, and how often. */
  readonly refusals: Readonly<Record<string, number>>;
  /** Requests answered 503, because the machine was too busy to tell in time who asks. */
  readonly late: number;
}

/** Compares user, process and program of every decision with the process that its target names. */
export function checkTrail(folder: string, processes: readonly SeamProcess[]): TrailFindings {
  let [checked, late] = [0, 0];
  const mismatches: string[] = [];
  const refusals: Record<string, number> = {};
  const walked = walkTrail(folder, {
    record: (record) => {
      if (record.kind !== "decision" || record.caller === undefined) return;
      const query = new URLSearchParams(record.target.slice(record.target.indexOf("?")));
      const from = query.get("from");
      const sender = processes.find(({ index }) => String(index) === from);
      const { userId, processId, processFullPath, doubts } = record.caller;
      checked += 1;
      const isSender =
        sender?.uid === userId && sender.pid === processId && (processFullPath === undefined || processFullPath === sender.path);
      if (!isSender)
        mismatches.push(`${record.target} (${record.status}): decided as user ${userId}, process ${processId}, ${processFullPath}`);
      else if (record.reason === "caller-late") late += 1;
      else if (record.event === "request-denied" && query.get("seam") === from) {
        const why = `${record.reason}: ${doubts.join("; ") || "no doubts"}`;
        refusals[why] = (refusals[why] ?? 0) + 1;
      }
    },
    damage: ({ segment }) => mismatches.push(`the trail is damaged in segment ${segment}`),
  });
  if (!walked.ok) mismatches.push(walked.error);
  return { checked, mismatches, refusals, late };
}
