// World `policy` (policy-wasm/wit/policy.wit) in a component's memory, by the canonical ABI: the arguments of `evaluate` are written
// as one record, outcomes and results are read back. Offsets follow from the WIT file alone and are the same for every component.

import {
  MAX_LABEL_NAME_BYTES,
  MAX_LABEL_VALUE_BYTES,
  MAX_LABELS,
  MAX_RULE_BYTES,
  type PolicyAnswer,
  type PolicyQuestion,
} from "../modules/policy-question.ts";
import type { Method } from "../request/canonical-request.ts";
import type { Endpoint } from "../request/endpoint.ts";
import { GuestFault, type GuestMemory } from "./guest-memory.ts";

// The parameters of `evaluate`, spilled into memory: request (48 bytes), caller (96), option<outcome> (32).
const ARGUMENTS_BYTES = 176;
const ARGUMENTS_ALIGN = 8;
const ENDPOINT = 0;
const METHOD = 1;
const SEGMENTS = 4;
const TRAILING_SLASH = 12;
const QUERY = 16;
const HEADERS = 24;
const UPTIME_SECONDS = 32;
const UNIX_SECONDS = 40;
const PROCESS_ID = 48;
const USER_ID = 52;
const ELEVATED = 56;
const USER_NAME = 60;
const USER_GROUPS = 72;
const EXECUTABLE_PATH = 80;
const PROCESS_NAME = 92;
const EXECUTABLE_SHA256 = 104;
const CGROUP_ID = 120;
const CGROUP_PATH = 128;
const SO_FAR = 144;
const SO_FAR_OUTCOME = 148;

// record outcome.
const OUTCOME_BYTES = 28;
const KIND = 0;
const REASON = 4;
const RULE = 12;
const LABELS = 20;

/** result<_, string> */
const SETTLED_BYTES = 12;
const MAX_ERROR_BYTES = 64 * 1024;

/** A text, or a list: pointer and length. */
const SLICE_BYTES = 8;
/** Two texts. */
const PAIR_BYTES = 16;

const ENDPOINT_CASES: Readonly<Record<Endpoint, number>> = { wireserver: 0, hostga: 1, imds: 2 };
const METHOD_CASES: Readonly<Record<Method, number>> = { GET: 0, HEAD: 1, POST: 2, PUT: 3, DELETE: 4, OPTIONS: 5, PATCH: 6 };
const KINDS = ["allow", "deny", "abstain"] as const;
const NO_LABELS: PolicyAnswer["labels"] = [];

/** Writes a question; returns the pointer that `evaluate` is called with. */
export function lowerQuestion(memory: GuestMemory, question: PolicyQuestion): number {
  const { request, claims, headers, soFar } = question;
  const at = memory.allocate(ARGUMENTS_ALIGN, ARGUMENTS_BYTES);
  memory.writeByte(at + ENDPOINT, caseOf(ENDPOINT_CASES, request.endpoint));
  memory.writeByte(at + METHOD, caseOf(METHOD_CASES, request.method));
  writeTexts(memory, at + SEGMENTS, request.segments);
  memory.writeByte(at + TRAILING_SLASH, request.trailingSlash ? 1 : 0);
  writeFields(memory, at + QUERY, request.query);
  writeFields(memory, at + HEADERS, headers);
  memory.writeWholeNumber(at + UPTIME_SECONDS, question.uptimeSeconds);
  memory.writeWholeNumber(at + UNIX_SECONDS, question.unixSeconds);

  memory.writeWord(at + PROCESS_ID, claims.processId);
  memory.writeWord(at + USER_ID, claims.userId);
  memory.writeByte(at + ELEVATED, claims.runAsElevated ? 1 : 0);
  memory.writeOptionalText(at + USER_NAME, claims.userName);
  writeTexts(memory, at + USER_GROUPS, claims.userGroups);
  memory.writeOptionalText(at + EXECUTABLE_PATH, claims.processFullPath);
  memory.writeOptionalText(at + PROCESS_NAME, claims.processName);
  memory.writeOptionalText(at + EXECUTABLE_SHA256, claims.executableSha256);
  memory.writeLong(at + CGROUP_ID, claims.cgroupId);
  memory.writeOptionalText(at + CGROUP_PATH, claims.cgroupPath);

  memory.writeByte(at + SO_FAR, soFar === undefined ? 0 : 1);
  if (soFar !== undefined) writeOutcome(memory, at + SO_FAR_OUTCOME, soFar);
  return at;
}

function writeOutcome(memory: GuestMemory, at: number, outcome: PolicyAnswer): void {
  memory.writeByte(at + KIND, KINDS.indexOf(outcome.kind));
  memory.writeText(at + REASON, outcome.reason);
  memory.writeText(at + RULE, outcome.rule);
  const { labels } = outcome;
  const list = writeList(memory, at + LABELS, labels.length, PAIR_BYTES);
  for (const [i, [name, value]] of labels.entries()) {
    memory.writeText(list + i * PAIR_BYTES, name);
    memory.writeText(list + i * PAIR_BYTES + SLICE_BYTES, value);
  }
}

function writeTexts(memory: GuestMemory, at: number, texts: readonly string[]): void {
  const list = writeList(memory, at, texts.length, SLICE_BYTES);
  for (let i = 0; i < texts.length; i++) memory.writeText(list + i * SLICE_BYTES, texts[i] ?? "");
}

function writeFields(memory: GuestMemory, at: number, fields: readonly { readonly name: string; readonly value: string }[]): void {
  const list = writeList(memory, at, fields.length, PAIR_BYTES);
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field === undefined) continue;
    memory.writeText(list + i * PAIR_BYTES, field.name);
    memory.writeText(list + i * PAIR_BYTES + SLICE_BYTES, field.value);
  }
}

function writeList(memory: GuestMemory, at: number, length: number, elementBytes: number): number {
  const list = memory.allocate(4, length * elementBytes);
  memory.writeWord(at, list);
  memory.writeWord(at + 4, length);
  return list;
}

/** A value that the world has no case for must not silently become another one. */
function caseOf<Name extends string>(cases: Readonly<Record<Name, number>>, name: Name): number {
  const found = cases[name];
  if (found === undefined) throw new GuestFault(`internal error: the policy world has no case "${name}"`);
  return found;
}

/**
 * Reads what `evaluate` answered.
 * @param maxReasonBytes - at most the world's own limit
 */
export function liftOutcome(memory: GuestMemory, pointer: unknown, maxReasonBytes: number): PolicyAnswer {
  const at = memory.checkRecord(pointer, OUTCOME_BYTES);
  const kind = KINDS[memory.readByte(at + KIND)];
  if (kind === undefined) throw new GuestFault(`kind: found case ${memory.readByte(at + KIND)}, want 0 to ${KINDS.length - 1}`);
  const reason = memory.readText(at + REASON, maxReasonBytes, "reason");
  if (!isPrintableAscii(reason)) throw new GuestFault("reason: want printable ASCII, at least one character");
  const rule = memory.readText(at + RULE, MAX_RULE_BYTES, "rule");
  return { kind, reason, rule, labels: readLabels(memory, at + LABELS) };
}

function isPrintableAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return text !== "";
}

function readLabels(memory: GuestMemory, at: number): PolicyAnswer["labels"] {
  const count = memory.readWord(at + 4);
  if (count > MAX_LABELS) throw new GuestFault(`labels: found ${count}, want at most ${MAX_LABELS}`);
  const list = memory.checkRecord(memory.readWord(at), count * PAIR_BYTES);
  if (count === 0) return NO_LABELS;
  return Array.from({ length: count }, (_, i) => [
    memory.readText(list + i * PAIR_BYTES, MAX_LABEL_NAME_BYTES, "name of a label"),
    memory.readText(list + i * PAIR_BYTES + SLICE_BYTES, MAX_LABEL_VALUE_BYTES, "value of a label"),
  ]);
}

/** Reads a `result<_, string>`: undefined for success, else the error's text. */
export function liftSettled(memory: GuestMemory, pointer: unknown): string | undefined {
  const at = memory.checkRecord(pointer, SETTLED_BYTES);
  const tag = memory.readByte(at);
  if (tag > 1) throw new GuestFault(`result: found case ${tag}, want 0 or 1`);
  return tag === 0 ? undefined : memory.readText(at + 4, MAX_ERROR_BYTES, "error text");
}
