// The pin folder in bpffs: makes it, pins into it, reads what an earlier agent left there, and empties it. Only root may enter it.
// What is found is looked at before it is handed out; what is not as expected is never used, only cleared away.

import { chmodSync, closeSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statfsSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { TRUSTED } from "../../core/file-trust.ts";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import {
  describeMapMismatch,
  FIRST_RECORDS,
  MAP_NAMES,
  type MapDescriptors,
  type MapName,
  PROGRAMS,
  type ProgramName,
  recordVersionOf,
} from "./layout.ts";

const BPFFS_MAGIC = 0xcafe4a11;
const FOLDER_MODE = 0o700;
const STAGING = "staging";
const REPLACED = "replaced";
/** More than any agent of ours leaves; what a stranger put there must not keep us busy. */
const MAX_FOLDERS = 64;

export type Links = ReadonlyMap<ProgramName, number>;

/** What an earlier agent left in one folder. All descriptors are the caller's to close. */
export interface Leftover {
  readonly folder: string;
  readonly links: Links;
  readonly maps: ReadonlyMap<MapName, number>;
  /** The map of records of record version 1, which this agent can read but not go on with. */
  readonly firstRecords: number | undefined;
  /** What is not as this agent would have left it; empty: all of it can be used. */
  readonly strange: readonly string[];
}

/** Makes the folder if need be and proves that it is bpffs and root's alone. */
export function openPinFolder(path: string): Result<void, RedirectorError> {
  const fail = (found: string) => err<RedirectorError>({ kind: "pin-failed", message: `cannot pin below "${path}": ${found}` });
  try {
    const type = statfsSync(dirname(path)).type;
    if (type !== BPFFS_MAGIC)
      return fail(
        `found file system type 0x${type.toString(16)} at "${dirname(path)}", want bpffs; mount it with: mount -t bpf bpf /sys/fs/bpf`,
      );
    if (isOursBut(lstatSync(path, { throwIfNoEntry: false }))) chmodSync(path, FOLDER_MODE);
    const there = lstatSync(path, { throwIfNoEntry: false });
    // Where everybody may make folders, somebody else may have been first: put aside, so that ours can be made.
    if (there !== undefined && !isOurs(there)) renameSync(path, `${path}-not-ours-${Date.now()}`);
    mkdirSync(path, { mode: FOLDER_MODE, recursive: true });
    return isOurs(lstatSync(path)) ? ok(undefined) : fail("it is not a folder of root's with mode 0700");
  } catch (cause) {
    return fail(describeError(cause));
  }
}

type FoundThere = { readonly uid: number; readonly mode: number; isDirectory(): boolean };

function isOurs(found: FoundThere): boolean {
  return found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o777) === FOLDER_MODE;
}

/** Somebody let others look into it, but not write. What is pinned in it is still in effect: put aside, nobody would take it over. */
function isOursBut(found: FoundThere | undefined): boolean {
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & TRUSTED) === 0 && !isOurs(found);
}

/** Everything below the pin folder, each folder opened and compared with what should be there. */
export function readLeftovers(kernel: KernelObjects, path: string, cgroupId: bigint): readonly Leftover[] {
  return listFolder(path)
    .slice(0, MAX_FOLDERS)
    .map((name) => readLeftover(kernel, path, name, cgroupId));
}

function readLeftover(kernel: KernelObjects, path: string, folder: string, cgroupId: bigint): Leftover {
  const links = new Map<ProgramName, number>();
  const maps = new Map<MapName, number>();
  const place = join(path, folder);
  for (const { name } of PROGRAMS) {
    const fd = kernel.openPin(join(place, linkPin(name)), "link");
    if (fd !== undefined) links.set(name, fd);
  }
  for (const name of MAP_NAMES) {
    const fd = kernel.openPin(join(place, mapPin(name)), "map");
    if (fd !== undefined) maps.set(name, fd);
  }
  return examine(kernel, folder, cgroupId, { links, maps });
}

/** Keeps what is as it should be, and closes the rest. */
export function examine(
  kernel: KernelObjects,
  folder: string,
  cgroupId: bigint,
  found: { readonly links: ReadonlyMap<ProgramName, number>; readonly maps: ReadonlyMap<MapName, number> },
): Leftover {
  const strange: string[] = [];
  const links = new Map<ProgramName, number>();
  const maps = new Map<MapName, number>();
  const isFirst = recordVersionOf(folder) === 1;
  let firstRecords: number | undefined;
  for (const { name, attachType } of PROGRAMS) {
    const fd = found.links.get(name);
    const info = fd === undefined ? undefined : kernel.linkInfo(fd);
    if (fd === undefined) continue;
    // Detached, of another cgroup, or no link of ours at all: a new one takes its place.
    if (info?.onCgroup === true && info.cgroupId === cgroupId && info.attachType === attachType) links.set(name, fd);
    else closeSync(fd);
  }
  for (const name of MAP_NAMES) {
    const fd = found.maps.get(name);
    const mismatch = fd === undefined ? `map "${name}" is missing` : describeMapMismatch(kernel, fd, name);
    if (fd !== undefined && mismatch === undefined) maps.set(name, fd);
    else if (fd !== undefined && isFirst && name === "records" && describeMapMismatch(kernel, fd, name, FIRST_RECORDS) === undefined)
      firstRecords = fd;
    else if (fd !== undefined) closeSync(fd);
    if (mismatch !== undefined) strange.push(mismatch);
  }
  return { folder, links, maps, firstRecords, strange };
}

/** Ids of all links that are pinned below the pin folder. */
export function pinnedLinks(kernel: KernelObjects, path: string): ReadonlySet<number> {
  const found = new Set<number>();
  for (const folder of listFolder(path).slice(0, MAX_FOLDERS))
    for (const { name } of PROGRAMS) {
      const fd = kernel.openPin(join(path, folder, linkPin(name)), "link");
      if (fd === undefined) continue;
      const id = kernel.linkInfo(fd)?.id;
      if (id !== undefined) found.add(id);
      closeSync(fd);
    }
  return found;
}

/** Pins a whole new set and gives it its name in one step; what had that name is put aside for {@link removeFolder}. */
export function pinSet(
  kernel: KernelObjects,
  path: string,
  folder: string,
  links: Links,
  maps: MapDescriptors,
): Result<void, RedirectorError> {
  const staging = join(path, STAGING);
  try {
    removeFolder(path, STAGING);
    mkdirSync(staging, { mode: 0o700 });
    for (const name of MAP_NAMES) {
      const pinned = kernel.pin(maps[name], join(staging, mapPin(name)));
      if (!pinned.ok) return pinned;
    }
    for (const [name, fd] of links) {
      const pinned = kernel.pin(fd, join(staging, linkPin(name)));
      if (!pinned.ok) return pinned;
    }
    if (listFolder(path).includes(folder)) {
      removeFolder(path, REPLACED);
      renameSync(join(path, folder), join(path, REPLACED));
    }
    renameSync(staging, join(path, folder));
    return ok(undefined);
  } catch (cause) {
    return err({ kind: "pin-failed", message: `cannot pin below "${path}": ${describeError(cause)}` });
  }
}

/** Pins one thing where another, or nothing, may be. */
export function repin(kernel: KernelObjects, place: string, fd: number): Result<void, RedirectorError> {
  try {
    mkdirSync(dirname(place), { recursive: true, mode: 0o700 });
    if (lstatSync(place, { throwIfNoEntry: false }) !== undefined) unlinkSync(place);
  } catch (cause) {
    return err({ kind: "pin-failed", message: `cannot pin "${place}": ${describeError(cause)}` });
  }
  return kernel.pin(fd, place);
}

/** Unpins what is in a folder, who begins redirects first, and removes it. What is not there is removed. */
export function removeFolder(path: string, folder: string): void {
  const place = join(path, folder);
  const order = [...PROGRAMS].reverse().map(({ name }) => linkPin(name));
  const found = listFolder(place);
  for (const name of [...order.filter((pin) => found.includes(pin)), ...found.filter((pin) => !order.includes(pin as never))]) {
    const there = lstatSync(join(place, name), { throwIfNoEntry: false });
    if (there?.isDirectory() === true) removeFolder(place, name);
    else if (there !== undefined) unlinkSync(join(place, name));
  }
  const there = lstatSync(place, { throwIfNoEntry: false });
  if (there?.isDirectory() === true) rmdirSync(place);
  else if (there !== undefined) unlinkSync(place);
}

/** Removes everything but one folder; false when something could not be removed. */
export function removeOthers(path: string, keep: string | undefined): boolean {
  let clean = true;
  for (const folder of listFolder(path)) {
    if (folder === keep) continue;
    try {
      removeFolder(path, folder);
    } catch {
      clean = false;
    }
  }
  return clean;
}

/** Whether an agent left anything pinned. */
export function hasPins(path: string): boolean {
  return listFolder(path).length > 0;
}

function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

export function linkPin(name: ProgramName): string {
  return `link_${name}`;
}

export function mapPin(name: MapName): string {
  return `map_${name}`;
}
