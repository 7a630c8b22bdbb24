// Records of the decision trail as CBOR: arrays with the members in fixed places, because a record is written for each request.
// decode-record.ts is the other direction; docs/decision-trail.md has the places.

import { Encoder } from "cbor-x/index-no-eval";
import type { Caller } from "../../core/request/caller.ts";
import { type CanonicalRequest, METHODS } from "../../core/request/canonical-request.ts";
import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { MODES } from "../../core/request/verdict.ts";
import type { GapRecord, HeadRecord, StartRecord, StopRecord, TrailDecision } from "../../core/trail/trail-record.ts";
import { CborWriter, OutOfRoom } from "./cbor-writer.ts";
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
/** A connection's caller sends many requests: its bytes are made once. */
const callerBytes = new WeakMap<Caller, Uint8Array>();

/** Longer texts are cut when the whole does not fit. Together they stay far below the limit. */
const SHORT_CHARACTERS = 512;
const SHORT_LIST = 16;

/** In the encoder's own memory, which the next call uses again: no garbage for each record. */
function encode(fields: readonly unknown[]): Uint8Array {
  return encoder.encode(fields, RESET_BUFFER_MODE);
}

const MAX_OPENING_BYTES = 16;
const writer = new CborWriter(MAX_PAYLOAD_BYTES - MAX_OPENING_BYTES);
const openings = new CborWriter(MAX_OPENING_BYTES);
const DECISION_PLACES = 19;

/** How the record of a decision begins: what is known only when it is written. Valid until the next call. */
export function encodeOpening(sequence: number): Uint8Array {
  openings.begin();
  openings.array(DECISION_PLACES);
  openings.number(KIND.decision);
  openings.number(sequence);
  return openings.end();
}

/** All of a decision's record behind its {@link encodeOpening}; bytes that are valid until the next call. */
export function encodeDecision(timeMs: number, decision: TrailDecision): Uint8Array {
  const { caller } = decision;
  try {
    return writeDecision(timeMs, decision, caller === undefined ? undefined : bytesOf(caller), false);
  } catch (error) {
    if (!(error instanceof OutOfRoom)) throw error;
  }
  const short = shorten(decision);
  return writeDecision(timeMs, short, short.caller === undefined ? undefined : encodeCaller(short.caller), true);
}

/** One for each request: written by hand, because that takes a quarter of the time. Throws {@link OutOfRoom}. */
function writeDecision(timeMs: number, decision: TrailDecision, caller: Uint8Array | undefined, shortened: boolean): Uint8Array {
  const { request, verdict, modules } = decision;
  writer.begin();
  writer.number(timeMs);
  writer.text(decision.requestId);
  writer.number(EVENTS.indexOf(decision.event));
  if (decision.caller === undefined) writer.none();
  else writer.number(ENDPOINTS.indexOf(decision.caller.endpoint));
  writeWord(METHODS, decision.method);
  if (request === undefined) writer.text(decision.target);
  else writer.raw(requestBytes(decision.target, request));
  writer.number(decision.status);
  // Left out where it is the verdict's, which is nearly always.
  if (verdict !== undefined && verdict.reason === decision.reason) writer.none();
  else writer.text(decision.reason);
  if (verdict === undefined) writer.none();
  else {
    writer.array(4);
    writer.number(VERDICTS.indexOf(verdict.kind));
    writer.text(verdict.reason);
    writer.text(verdict.rule);
    writer.text(verdict.ruleSetId);
  }
  writeWord(MODES, decision.mode);
  writer.flag(decision.auditDeny);
  writer.flag(decision.endorsed);
  writer.number(decision.epoch);
  writer.array(modules.length);
  for (const { name, kind, reason, rule, failed, applied } of modules) {
    writer.array(6);
    writer.text(name);
    writer.number(MODULE_KINDS.indexOf(kind));
    writer.text(reason);
    writer.text(rule);
    writer.flag(failed);
    writer.flag(applied);
  }
  writer.flag(shortened);
  if (verdict === undefined) writer.none();
  else writer.bytes(policyIdBytes(verdict.policyId));
  if (caller === undefined) writer.none();
  else writer.bytes(caller);
  return writer.end();
}

/** Programs repeat the same few requests: their bytes are made once. */
const knownRequests = new Map<string, Uint8Array>();
const MAX_KNOWN = 64;
const MAX_KNOWN_CHARACTERS = 512;

/** The canonical request follows from the target alone. */
function requestBytes(target: string, { segments, trailingSlash, query }: CanonicalRequest): Uint8Array {
  const known = knownRequests.get(target);
  if (known !== undefined) return known;
  // A copy: the encoder uses its memory again.
  const made = Uint8Array.from(encode([segments, trailingSlash, query.map(({ name, value }) => [name, value])]));
  if (target.length > MAX_KNOWN_CHARACTERS) return made;
  if (knownRequests.size >= MAX_KNOWN) knownRequests.clear();
  knownRequests.set(target, made);
  return made;
}

/** A word that everybody knows by its number, or as it is. */
function writeWord(words: readonly string[], word: string): void {
  const index = words.indexOf(word);
  if (index < 0) writer.text(word);
  else writer.number(index);
}

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
