// Which programs and maps there are, and how big their parts must be: the agent's picture of redirect.bpf.c. What is found pinned
// in the kernel is compared with it before anything of it is used.

import type { KernelObjects } from "./kernel-objects.ts";

/** In the order of attaching: who publishes and answers comes first, so that no connect is redirected that cannot be followed up. */
export const PROGRAMS = [
  { name: "redirect_sockops", attachType: 3 },
  { name: "redirect_getpeername4", attachType: 29 },
  { name: "redirect_getpeername6", attachType: 30 },
  { name: "redirect_connect6", attachType: 11 },
  { name: "redirect_connect4", attachType: 10 },
] as const;

export type ProgramName = (typeof PROGRAMS)[number]["name"];

/** Programs that begin a redirect; the others serve connects that were redirected already. */
export function beginsRedirect(name: ProgramName): boolean {
  return name === "redirect_connect4" || name === "redirect_connect6";
}

export const RECORD_BYTES = 104;
export const GUARDED_KEY_BYTES = 8;
export const SETTINGS_BYTES = 40;
export const MAX_GUARDED = 16;
export const MAX_THROTTLED = 64;

const HASH = 1;
const ARRAY = 2;
const PERCPU_ARRAY = 6;
const LRU_HASH = 9;
const SK_STORAGE = 24;
const NO_PREALLOC = 1;

export interface MapShape {
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** `records`, `pending` and `origins` are for the kernel programs alone; they are here so that they can be handed on. */
export const MAPS = {
  guarded: { type: HASH, keyBytes: GUARDED_KEY_BYTES, valueBytes: 4, maxEntries: MAX_GUARDED, flags: 0 },
  settings: { type: ARRAY, keyBytes: 4, valueBytes: SETTINGS_BYTES, maxEntries: 1, flags: 0 },
  counters: { type: PERCPU_ARRAY, keyBytes: 4, valueBytes: 8, maxEntries: 11, flags: 0 },
  records: { type: HASH, keyBytes: 32, valueBytes: RECORD_BYTES, maxEntries: 16_384, flags: NO_PREALLOC },
  pending: { type: ARRAY, keyBytes: 4, valueBytes: 8, maxEntries: 1026, flags: 0 },
  throttled: { type: LRU_HASH, keyBytes: 4, valueBytes: 8, maxEntries: MAX_THROTTLED, flags: 0 },
  queue: { type: ARRAY, keyBytes: 4, valueBytes: 8, maxEntries: 2, flags: 0 },
  refused_until: { type: LRU_HASH, keyBytes: 4, valueBytes: 8, maxEntries: 1024, flags: 0 },
  origins: { type: SK_STORAGE, keyBytes: 4, valueBytes: 144, maxEntries: 0, flags: NO_PREALLOC },
  accepted: { type: SK_STORAGE, keyBytes: 4, valueBytes: RECORD_BYTES, maxEntries: 0, flags: NO_PREALLOC },
} as const satisfies Record<string, MapShape>;

/** Of record version 1: published under namespace, source address and source port of a connection that was not accepted yet. */
export const FIRST_RECORDS: MapShape = { type: HASH, keyBytes: 16, valueBytes: RECORD_BYTES, maxEntries: 16_384, flags: NO_PREALLOC };

export type MapName = keyof typeof MAPS;
export const MAP_NAMES = Object.keys(MAPS) as readonly MapName[];
export type MapDescriptors = Readonly<Record<MapName, number>>;

/** Undefined when the map is what its name says; else what is different, in words. */
export function describeMapMismatch(kernel: KernelObjects, fd: number, name: MapName, shape: MapShape = MAPS[name]): string | undefined {
  const info = kernel.mapInfo(fd);
  if (info === undefined) return `map "${name}" cannot be read`;
  const want = { name, ...shape };
  for (const part of ["name", "type", "keyBytes", "valueBytes", "maxEntries", "flags"] as const)
    if (info[part] !== want[part]) return `map "${name}" has ${part} ${info[part]}, want ${want[part]}`;
  return undefined;
}

/** Of the object's layout number: `layout-1-1`. bpffs takes no dots. */
export function layoutFolder(layout: number): string {
  return `layout-${layout >> 8}-${layout & 0xff}`;
}

/** The record version that a folder's name promises; undefined when it is no layout's name. */
export function recordVersionOf(folder: string): number | undefined {
  const found = /^layout-\d{1,8}-(\d{1,3})$/.exec(folder)?.[1];
  return found === undefined ? undefined : Number(found);
}
