// Reads what encode-record.ts wrote, from untrusted bytes: undefined for everything that is no record of ours, never an
// exception.

import { Decoder } from "cbor-x/index-no-eval";
import { METHODS, renderCanonical } from "../../core/request/canonical-request.ts";
import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { MODES, type Verdict } from "../../core/request/verdict.ts";
import type { DecisionRecord, RecordedCaller, Recovery, TrailRecord } from "../../core/trail/trail-record.ts";
import { EVENTS, KIND, MODULE_KINDS, VERDICTS } from "./encode-record.ts";
import { isWellFormedCbor } from "./well-formed-cbor.ts";

const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });

export function decodeRecord(payload: Uint8Array): TrailRecord | undefined {
  try {
    const fields = readArray(payload);
    if (fields === undefined) return undefined;
    const places = new Places(fields);
    const kind = places.count();
    const record = decodeKind(kind, places);
    places.end();
    return record;
  } catch (error) {
    if (error instanceof NotOurs) return undefined;
    throw error;
  }
}

/** Inside this file only: the way out of a record that is none. */
class NotOurs extends Error {}

function decodeKind(kind: number, places: Places): TrailRecord {
  const numbered = { sequence: places.count(), timeMs: places.time() };
  switch (kind) {
    case KIND.decision:
      return { kind: "decision", ...numbered, ...decodeDecision(places) };
    case KIND.head:
      return {
        kind: "head",
        ...numbered,
        segment: places.count(),
        version: places.text(),
        keptSegment: places.count(),
        keptSequence: places.count(),
        recovery: places.optional(decodeRecovery),
      };
    case KIND.start:
      return { kind: "start", ...numbered, version: places.text(), afterStop: places.flag() };
    case KIND.stop:
      return { kind: "stop", ...numbered };
    case KIND.gap:
      return { kind: "gap", ...numbered, lost: places.count(), firstMs: places.time(), lastMs: places.time(), cause: places.text() };
    default:
      throw new NotOurs();
  }
}

function decodeDecision(places: Places): Omit<DecisionRecord, "kind" | "sequence" | "timeMs"> {
  const requestId = places.text();
  const event = places.word(EVENTS);
  const endpoint = places.optional((value) => new Places([value]).word(ENDPOINTS));
  const method = places.wordOrText(METHODS);
  const [target, isCanonical] = decodeTarget(places.any());
  const status = places.count();
  // Left out where it is the verdict's, which is nearly always.
  const ownReason = places.optionalText();
  const verdict = places.optional(decodeVerdict);
  const reason = ownReason ?? verdict?.reason;
  if (reason === undefined) throw new NotOurs();
  const mode = places.wordOrText(MODES);
  const ends = { auditDeny: places.flag(), endorsed: places.flag(), epoch: places.count() };
  const modules = places.list().map(decodeModule);
  const shortened = places.flag();
  const policyId = places.optional((value) => Buffer.from(new Places([value]).bytes()).toString("hex"));
  const caller = decodeCaller(places.any());
  if ((policyId === undefined) !== (verdict === undefined)) throw new NotOurs();
  const decided = verdict === undefined ? undefined : { ...verdict, policyId: policyId ?? "" };
  return {
    requestId,
    event,
    endpoint,
    method,
    target,
    isCanonical,
    status,
    reason,
    verdict: decided,
    mode,
    ...ends,
    modules,
    shortened,
    caller,
  };
}

function decodeModule(value: unknown): DecisionRecord["modules"][number] {
  const places = new Places(value);
  const outcome = {
    name: places.text(),
    kind: places.word(MODULE_KINDS),
    reason: places.text(),
    rule: places.text(),
    failed: places.flag(),
    applied: places.flag(),
  };
  places.end();
  return outcome;
}

function decodeTarget(value: unknown): readonly [target: string, isCanonical: boolean] {
  if (typeof value === "string") return [value, false];
  const places = new Places(value);
  const segments = places.texts();
  const trailingSlash = places.flag();
  const query = places.list().map((pair) => {
    const each = new Places(pair);
    const found = { name: each.text(), value: each.text() };
    each.end();
    return found;
  });
  places.end();
  return [renderCanonical({ segments, trailingSlash, query }), true];
}

function decodeVerdict(value: unknown): Omit<Verdict, "policyId"> {
  const places = new Places(value);
  const verdict = { kind: places.word(VERDICTS), reason: places.text(), rule: places.text(), ruleSetId: places.text() };
  places.end();
  return verdict;
}

function decodeCaller(value: unknown): RecordedCaller | undefined {
  if (value === null) return undefined;
  const places = new Places(value instanceof Uint8Array ? readArray(value) : undefined);
  const caller = {
    userId: places.count(),
    userName: places.optionalText(),
    userGroups: places.texts(),
    runAsElevated: places.flag(),
    processId: places.count(),
    processFullPath: places.optionalText(),
    processCmdLine: places.text(),
    exeSha256: places.optional((bytes) => Buffer.from(new Places([bytes]).bytes()).toString("hex")),
    cgroupId: places.text(),
    cgroupPath: places.optionalText(),
    clientAddress: places.text(),
    clientPort: places.count(),
    doubts: places.texts(),
  };
  places.end();
  return caller;
}

function decodeRecovery(value: unknown): Recovery {
  const places = new Places(value);
  const recovery = {
    kind: places.word(["torn", "damaged"] as const),
    segment: places.count(),
    offset: places.count(),
    bytes: places.count(),
    sha256: Buffer.from(places.bytes()).toString("hex"),
  };
  places.end();
  return recovery;
}

function readArray(bytes: Uint8Array): unknown {
  if (!isWellFormedCbor(bytes)) return undefined;
  try {
    return decoder.decode(bytes);
  } catch {
    // Well-formed, but with text that is not UTF-8, for example.
    return undefined;
  }
}

/** The places of a record, one after the other, each with the type that belongs there. */
class Places {
  readonly #fields: readonly unknown[];
  #at = 0;

  constructor(fields: unknown) {
    if (!Array.isArray(fields)) throw new NotOurs();
    this.#fields = fields;
  }

  any(): unknown {
    if (this.#at >= this.#fields.length) throw new NotOurs();
    return this.#fields[this.#at++];
  }

  end(): void {
    if (this.#at !== this.#fields.length) throw new NotOurs();
  }

  text(): string {
    return demand(this.any(), (value) => typeof value === "string");
  }

  flag(): boolean {
    return demand(this.any(), (value) => typeof value === "boolean");
  }

  count(): number {
    return demand(this.any(), (value): value is number => Number.isSafeInteger(value) && Number(value) >= 0);
  }

  /** Milliseconds since 1970 that a Date can show. */
  time(): number {
    return demand(this.any(), (value): value is number => typeof value === "number" && Math.abs(value) <= 8.64e15);
  }

  bytes(): Uint8Array {
    return demand(this.any(), (value) => value instanceof Uint8Array);
  }

  list(): readonly unknown[] {
    return demand(this.any(), (value): value is unknown[] => Array.isArray(value));
  }

  texts(): readonly string[] {
    return this.list().map((value) => demand(value, (each) => typeof each === "string"));
  }

  word<Word>(words: readonly Word[]): Word {
    return demand(words[this.count()], (word): word is Word & {} => word !== undefined);
  }

  wordOrText(words: readonly string[]): string {
    const value = this.any();
    return typeof value === "string" ? value : new Places([value]).word(words);
  }

  optional<Value>(decode: (value: unknown) => Value): Value | undefined {
    const value = this.any();
    return value === null ? undefined : decode(value);
  }

  optionalText(): string | undefined {
    return this.optional((value) => new Places([value]).text());
  }
}

function demand<Wanted>(value: unknown, isWanted: (value: unknown) => value is Wanted): Wanted {
  if (!isWanted(value)) throw new NotOurs();
  return value;
}
