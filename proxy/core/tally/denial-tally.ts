// Counts what rules deny, per caller, target and reason, in bounded memory whatever callers do. An evicted counter is
// counted in `other`, so the total is always exact; users share the entries fairly, so that one who varies its requests cannot evict
// those of others. Never holds a query value: those may be secrets.

import type { Endpoint } from "../request/endpoint.ts";
import { splitQuery } from "../request/request-target.ts";
import { cutText, type DenialStatus } from "../status/status.ts";
import { redactSecrets } from "../text/redact.ts";
import { type Evicted, makeFairSlots } from "./fair-slots.ts";

/** Who asked where, and why it was denied. */
interface DenialCause {
  readonly endpoint: Endpoint;
  readonly ruleSetId: string;
  readonly reason: string;
  readonly rule: string;
  readonly userName: string | undefined;
  readonly exePath: string | undefined;
}

/** One request that rules denied, or would have denied. */
export interface Denial extends DenialCause {
  /** Canonical; only the first two count. Empty when the target has no canonical form. */
  readonly segments: readonly string[];
  readonly method: string;
  /** As received. */
  readonly target: string;
  readonly processId: number;
  /** Milliseconds since 1970; undefined when unknown. */
  readonly atMs: number | undefined;
}

export interface DenialEntry extends DenialCause {
  /** First two canonical segments, e.g. `/metadata/instance`. */
  readonly path: string;
  /** Seen for certain. */
  readonly count: number;
  /** At most this many more, from before the entry had its place; those are in `other`. */
  readonly missed: number;
  readonly firstSeenMs: number | undefined;
  readonly lastSeenMs: number | undefined;
  readonly example: DenialExample;
}

export interface DenialExample {
  readonly method: string;
  /** Path, and names of query parameters without their values. */
  readonly target: string;
  readonly processId: number;
}

export interface DenialTally {
  /** @param times - how many such requests this one stands for */
  count(denial: Denial, times?: number): void;
  /** Counts denials of which nothing more is known. */
  countOther(times: number): void;
  /** Most first. */
  entries(): readonly DenialEntry[];
  /** All that were counted: the entries' counts and {@link other}. */
  total(): number;
  /** Counted, but not by an entry: of those that had to give way, and those of which nothing was known. */
  other(): number;
}

export const MAX_DENIAL_ENTRIES = 256;
const MAX_SEGMENT_CHARACTERS = 64;
const MAX_EXAMPLE_CHARACTERS = 256;
/** Of each text in the status. */
const MAX_SHOWN_CHARACTERS = 256;
/** Users whose lost counts are remembered one by one. */
const MAX_FORGOTTEN_USERS = 1024;

type Slot = { -readonly [Member in keyof DenialEntry]: DenialEntry[Member] };

export function makeDenialTally(maxEntries = MAX_DENIAL_ENTRIES): DenialTally {
  const slots = makeFairSlots<Slot>(maxEntries, ({ count, missed }) => count + missed);
  // INVARIANT: a key of this user without a slot was never counted more often than this (at least `forgottenByAll`).
  const forgotten = new Map<string, number>();
  let forgottenByAll = 0;
  let total = 0;
  let other = 0;

  function forget({ user, entry }: Evicted<Slot>): void {
    other += entry.count;
    if (!forgotten.has(user) && forgotten.size >= MAX_FORGOTTEN_USERS) {
      forgottenByAll = Math.max(forgottenByAll, ...forgotten.values());
      forgotten.clear();
    }
    forgotten.set(user, Math.max(entry.count + entry.missed, forgotten.get(user) ?? 0));
  }

  return {
    count(denial, times = 1) {
      total += times;
      const path = `/${denial.segments
        .slice(0, 2)
        .map((segment) => cutText(segment, MAX_SEGMENT_CHARACTERS))
        .join("/")}`;
      const { endpoint, ruleSetId, reason, rule, userName, exePath, atMs } = denial;
      const key = JSON.stringify([endpoint, ruleSetId, reason, rule, userName, exePath, path]);
      const known = slots.get(key);
      if (known !== undefined) {
        known.count += times;
        known.lastSeenMs = atMs ?? known.lastSeenMs;
        return;
      }
      const user = userName ?? "";
      const slot: Slot = {
        ...{ endpoint, ruleSetId, reason, rule, userName, exePath, path, count: times, missed: 0 },
        firstSeenMs: atMs,
        lastSeenMs: atMs,
        example: { method: denial.method, target: withoutValues(denial.target), processId: denial.processId },
      };
      const evicted = slots.add(key, user, slot);
      if (evicted !== undefined) forget(evicted);
      slot.missed = Math.max(forgotten.get(user) ?? 0, forgottenByAll);
    },
    countOther(times) {
      total += times;
      other += times;
    },
    entries: () => [...slots.entries()].map(([, slot]) => ({ ...slot })).sort((a, b) => b.count - a.count),
    total: () => total,
    other: () => other,
  };
}

/** The target for people: values may be secrets or long, names show what was requested. */
export function withoutValues(target: string): string {
  const { path, query } = splitQuery(target.slice(0, 16 * MAX_EXAMPLE_CHARACTERS));
  const names = query
    .split("&")
    .map((pair) => pair.split("=", 1)[0] ?? "")
    .filter((name) => name !== "");
  const text = names.length === 0 ? path : `${path}?${names.join("&")}`;
  return cutText(redactSecrets(text), MAX_EXAMPLE_CHARACTERS);
}

/**
 * A tally as the status shows it: so many entries with short texts, everything else in `other`.
 * @param since - when counting began; undefined when unknown
 */
export function renderDenials(tally: DenialTally, since: Date | undefined, maxEntries: number): DenialStatus {
  const shown = tally.entries().slice(0, maxEntries);
  const text = (value: string | undefined) => cutText(value ?? "", MAX_SHOWN_CHARACTERS);
  const time = (ms: number | undefined) => (ms === undefined ? "" : new Date(ms).toISOString());
  return {
    since: since?.toISOString() ?? "",
    total: tally.total(),
    other: tally.total() - shown.reduce((sum, { count }) => sum + count, 0),
    entries: shown.map((entry) => ({
      endpoint: entry.endpoint,
      ruleSetId: text(entry.ruleSetId),
      reason: text(entry.reason),
      rule: text(entry.rule),
      userName: text(entry.userName),
      processFullPath: text(entry.exePath),
      path: text(entry.path),
      count: entry.count,
      missedAtMost: entry.missed,
      firstSeen: time(entry.firstSeenMs),
      lastSeen: time(entry.lastSeenMs),
      exampleMethod: text(entry.example.method),
      exampleUrl: text(entry.example.target),
      exampleProcessId: entry.example.processId,
    })),
  };
}
