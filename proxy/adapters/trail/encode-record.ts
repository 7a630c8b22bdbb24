// Records of the decision trail as CBOR: arrays with the members in fixed places, because a record is written for each request.
// decode-record.ts is the other direction; docs/decision-trail.md has the places.

import { Encoder } from "cbor-x/index-no-eval";
import type { Caller } from "../../core/caller.ts";
import { METHODS } from "../../core/canonical-request.ts";
import { ENDPOINTS } from "../../core/endpoint.ts";
import type { GapRecord, HeadRecord, StartRecord, StopRecord, TrailDecision } from "../../core/trail/trail-record.ts";
import { MODES } from "../../core/verdict.ts";
import { MAX_PAYLOAD_BYTES } from "./frame.ts";

export const KIND = { decision: 1, head: 2, start: 3, stop: 4, gap: 5 } as const;
export const EVENTS = ["request-forwarded", "request-denied", "request-failed"] as const;
export const VERDICTS = ["allow", "deny"] as const;
export const MODULE_KINDS = ["allow", "deny", "abstain"] as const;

/** The package knows the mode and does not export it: the memory of the call before is used again. */
const RESET_BUFFER_MODE = 1024;
const encoder: { encode(value: unknown, mode: number): Uint8Array } = new Encoder({
  useRecords: false,
  tagUint8Array: false,
  mapsAsObjects: true,
});
/** A connection's caller asks many times: its bytes are made once. */
const callerBytes = new WeakMap<Caller, Uint8Array>();

/** Longer texts are cut when the whole does not fit. Together they stay far below the limit. */
const SHORT_CHARACTERS = 512;
const SHORT_LIST = 16;

/** In the encoder's own memory, which the next call uses again: no garbage for each record. */
function encode(fields: readonly unknown[]): Uint8Array {
  return encoder.encode(fields, RESET_BUFFER_MODE);
}

/** @returns bytes that are valid until the next call */
export function encodeDecision(sequence: number, timeMs: number, decision: TrailDecision): Uint8Array {
  const { caller } = decision;
  const whole = assemble(decisionFields(sequence, timeMs, decision, false), decision, caller === undefined ? undefined : bytesOf(caller));
  if (whole !== undefined) return whole;
  const short = shorten(decision);
  const made = assemble(
    decisionFields(sequence, timeMs, short, true),
    short,
    short.caller === undefined ? undefined : encodeCaller(short.caller),
  );
  if (made === undefined) throw new Error("internal error: a shortened record is too long");
  return made;
}

const scratch = new Uint8Array(MAX_PAYLOAD_BYTES);
const NULL = 0xf6;

/**
 * The array with two more members, policy id and caller, as byte strings. They are put behind it by hand: the encoder takes as long for
 * a byte string as for all the rest. Undefined when it does not fit.
 */
function assemble(fields: readonly unknown[], { verdict }: TrailDecision, caller: Uint8Array | undefined): Uint8Array | undefined {
  const encoded = encode(fields);
  const policyId = verdict === undefined ? undefined : policyIdBytes(verdict.policyId);
  if (encoded.length + (policyId?.length ?? 0) + (caller?.length ?? 0) + 2 * 3 > MAX_PAYLOAD_BYTES) return undefined;
  scratch.set(encoded, 0);
  // INVARIANT: fewer than 22 fields, so that the array's head is one byte that also holds their number.
  scratch[0] = 0x80 | (fields.length + 2);
  return scratch.subarray(0, putBytes(putBytes(encoded.length, policyId), caller));
}

function putBytes(at: number, bytes: Uint8Array | undefined): number {
  if (bytes === undefined) {
    scratch[at] = NULL;
    return at + 1;
  }
  const { length } = bytes;
  let next = at;
  if (length < 24) scratch[next++] = 0x40 | length;
  else {
    scratch[next++] = length < 256 ? 0x58 : 0x59;
    if (length >= 256) scratch[next++] = length >> 8;
    scratch[next++] = length & 0xff;
  }
  scratch.set(bytes, next);
  return next + length;
}

function decisionFields(sequence: number, timeMs: number, decision: TrailDecision, shortened: boolean): readonly unknown[] {
  const { request, verdict, modules } = decision;
  return [
    KIND.decision,
    sequence,
    timeMs,
    decision.requestId,
    EVENTS.indexOf(decision.event),
    decision.caller === undefined ? null : ENDPOINTS.indexOf(decision.caller.endpoint),
    numberOf(METHODS, decision.method),
    request === undefined
      ? decision.target
      : [request.segments, request.trailingSlash, request.query.map(({ name, value }) => [name, value])],
    decision.status,
    verdict !== undefined && verdict.reason === decision.reason ? null : decision.reason,
    verdict === undefined ? null : [VERDICTS.indexOf(verdict.kind), verdict.reason, verdict.rule, verdict.ruleSetId],
    numberOf(MODES, decision.mode),
    decision.auditDeny,
    decision.endorsed,
    decision.epoch,
    modules.length === 0
      ? NOTHING
      : modules.map(({ name, kind, reason, rule, failed, applied }) => [name, MODULE_KINDS.indexOf(kind), reason, rule, failed, applied]),
    shortened,
  ];
}

/** A word that everybody knows by its number, or as it is. */
function numberOf(words: readonly string[], word: string): number | string {
  const index = words.indexOf(word);
  return index < 0 ? word : index;
}

const NOTHING: readonly never[] = [];
let lastPolicyId = "";
let lastPolicyIdBytes: Uint8Array = new Uint8Array(0);

/** Half as long as its digits; the same one nearly always. */
function policyIdBytes(policyId: string): Uint8Array {
  if (policyId !== lastPolicyId) {
    lastPolicyId = policyId;
    lastPolicyIdBytes = Buffer.from(policyId, "hex");
  }
  return lastPolicyIdBytes;
}

function bytesOf(caller: Caller): Uint8Array {
  const known = callerBytes.get(caller);
  if (known !== undefined) return known;
  const made = encodeCaller(caller);
  callerBytes.set(caller, made);
  return made;
}

function encodeCaller({ claims, doubts }: Caller): Uint8Array {
  const encoded = encode([
    claims.userId,
    claims.userName ?? null,
    claims.userGroups,
    claims.runAsElevated,
    claims.processId,
    claims.processFullPath ?? null,
    claims.processCmdLine,
    claims.executableSha256 === undefined ? null : Buffer.from(claims.executableSha256, "hex"),
    String(claims.cgroupId),
    claims.cgroupPath ?? null,
    claims.clientAddress,
    claims.clientPort,
    doubts,
  ]);
  // A copy: the encoder uses its memory again.
  return Uint8Array.from(encoded);
}

function shorten(decision: TrailDecision): TrailDecision {
  const { caller, verdict } = decision;
  const cut = (text: string) => text.slice(0, SHORT_CHARACTERS);
  const cutList = (texts: readonly string[]) => texts.slice(0, SHORT_LIST).map(cut);
  const cutKnown = (text: string | undefined) => (text === undefined ? undefined : cut(text));
  return {
    ...decision,
    method: cut(decision.method),
    target: cut(decision.target),
    request: undefined,
    reason: cut(decision.reason),
    verdict:
      verdict === undefined
        ? undefined
        : { ...verdict, reason: cut(verdict.reason), rule: cut(verdict.rule), ruleSetId: cut(verdict.ruleSetId) },
    modules: decision.modules
      .slice(0, SHORT_LIST)
      .map((each) => ({ ...each, name: cut(each.name), reason: cut(each.reason), rule: cut(each.rule) })),
    caller:
      caller === undefined
        ? undefined
        : {
            ...caller,
            doubts: cutList(caller.doubts),
            claims: {
              ...caller.claims,
              userName: cutKnown(caller.claims.userName),
              userGroups: cutList(caller.claims.userGroups),
              processFullPath: cutKnown(caller.claims.processFullPath),
              processCmdLine: cut(caller.claims.processCmdLine),
              cgroupPath: cutKnown(caller.claims.cgroupPath),
            },
          },
  };
}

/** @returns bytes that are valid until the next call */
export function encodeOwnRecord(record: HeadRecord | StartRecord | StopRecord | GapRecord): Uint8Array {
  const { sequence, timeMs } = record;
  switch (record.kind) {
    case "head": {
      const { segment, version, keptSegment, keptSequence, recovery } = record;
      const found =
        recovery === undefined
          ? null
          : [recovery.kind === "torn" ? 0 : 1, recovery.segment, recovery.offset, recovery.bytes, Buffer.from(recovery.sha256, "hex")];
      return encode([KIND.head, sequence, timeMs, segment, version, keptSegment, keptSequence, found]);
    }
    case "start":
      return encode([KIND.start, sequence, timeMs, record.version, record.afterStop]);
    case "stop":
      return encode([KIND.stop, sequence, timeMs]);
    case "gap":
      return encode([KIND.gap, sequence, timeMs, record.lost, record.firstMs, record.lastMs, record.cause.slice(0, SHORT_CHARACTERS)]);
  }
}
