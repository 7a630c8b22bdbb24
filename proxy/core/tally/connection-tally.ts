// Who requested what and how it ended, over the last four hours, in bounded memory whatever callers do. Users share the entries
// fairly; evicted entries stay counted as that user's rest, and beyond so many rests as a common one.

import { type ConnectionSummary, cutText } from "../status/status.ts";
import { type Evicted, makeFairSlots } from "./fair-slots.ts";
import { bucketAt, WindowCount } from "./window-count.ts";

/** One finished request. Everything but the endpoint may be the caller's choice. */
export interface CountedRequest {
  /** Who shares room with whom: the user id as text. */
  readonly user: string;
  readonly userName: string;
  readonly userGroups: readonly string[];
  readonly processFullPath: string;
  /** Secrets are redacted already. */
  readonly processCmdLine: string;
  readonly ip: string;
  readonly port: number;
  readonly responseStatus: string;
}

export interface ConnectionTally {
  count(request: CountedRequest): void;
  /** Most first; rests last. */
  entries(): readonly ConnectionSummary[];
}

export const MAX_SUMMARY_ENTRIES = 256;
/** Rests of single users, each for one endpoint and status. */
const MAX_USER_RESTS = 128;
/** Rests of everybody: there are three endpoints and a handful of statuses, but statuses are the host's choice. */
const MAX_COMMON_RESTS = 64;
const MAX_TEXT_CHARACTERS = 256;
const MAX_PATH_CHARACTERS = 1024;
const MAX_GROUPS = 32;
/** Stands for programs, users or statuses that are counted together. */
const OTHER = "other";

type Entry = Omit<ConnectionSummary, "count"> & { readonly counted: WindowCount };

/** @param nowMs - wall clock; read only when something is counted or read */
export function makeConnectionTally(nowMs: () => number, maxEntries = MAX_SUMMARY_ENTRIES): ConnectionTally {
  const slots = makeFairSlots<Entry>(maxEntries, ({ counted }) => counted.held);
  const userRests = new Map<string, Entry>();
  const commonRests = new Map<string, Entry>();
  let cleanedBucket = 0;

  function keepCounting({ user, entry }: Evicted<Entry>): void {
    restFor(user, entry).counted.addAll(entry.counted);
  }

  function restFor(user: string, { userName, userGroups, ip, port, responseStatus }: Entry): Entry {
    const place = `${ip}:${port} ${responseStatus}`;
    const own = `${user} ${place}`;
    const rest = userRests.get(own);
    if (rest !== undefined) return rest;
    const words = { processCmdLine: OTHER, processFullPath: OTHER };
    if (userRests.size < MAX_USER_RESTS) return put(userRests, own, { userName, userGroups, ip, port, responseStatus, ...words });
    const everybody = { userName: OTHER, userGroups: [], ...words };
    const common = commonRests.get(place) ?? commonRests.get("");
    if (common !== undefined) return common;
    if (commonRests.size < MAX_COMMON_RESTS) return put(commonRests, place, { ...everybody, ip, port, responseStatus });
    return put(commonRests, "", { ...everybody, ip: "", port: 0, responseStatus: OTHER });
  }

  /** Removes what lies more than four hours back: once in a quarter of an hour, and when the tally is read. */
  function forgetOld(bucket: number): void {
    cleanedBucket = bucket;
    for (const [key, { counted }] of slots.entries()) if (counted.total(bucket) === 0) slots.delete(key);
    for (const rests of [userRests, commonRests])
      for (const [key, { counted }] of rests) if (counted.total(bucket) === 0) rests.delete(key);
  }

  return {
    count(request) {
      const bucket = bucketAt(nowMs());
      if (bucket !== cleanedBucket) forgetOld(bucket);
      const { user, ip, port, responseStatus, userName } = request;
      const processCmdLine = cutText(request.processCmdLine, MAX_TEXT_CHARACTERS);
      const processFullPath = cutText(request.processFullPath, MAX_PATH_CHARACTERS);
      // NUL is in none of them: paths and arguments end at it.
      const key = `${user}\0${ip}:${port}\0${responseStatus}\0${processFullPath}\0${processCmdLine}`;
      let entry = slots.get(key);
      if (entry === undefined) {
        const userGroups = request.userGroups.slice(0, MAX_GROUPS);
        entry = { userName, ip, port, processCmdLine, responseStatus, userGroups, processFullPath, counted: new WindowCount() };
        const evicted = slots.add(key, user, entry);
        if (evicted !== undefined) keepCounting(evicted);
      }
      entry.counted.add(bucket, 1);
    },
    entries() {
      forgetOld(bucketAt(nowMs()));
      const shown = (entries: Iterable<Entry>) =>
        [...entries].map(({ counted, ...entry }) => ({ ...entry, count: counted.held })).sort((a, b) => b.count - a.count);
      return [...shown([...slots.entries()].map(([, entry]) => entry)), ...shown(userRests.values()), ...shown(commonRests.values())];
    },
  };
}

function put(rests: Map<string, Entry>, key: string, words: Omit<Entry, "counted">): Entry {
  const entry = { ...words, counted: new WindowCount() };
  rests.set(key, entry);
  return entry;
}
