// Programs of ours that are in effect although they are not in today's pin folder: it had another name, was switched off, or something
// else holds them. Decides which of them concern this agent, and brings them into the pin folder, where a start takes them over as if
// they had always been there. Must never touch what belongs to a running agent or to another network namespace.

import { closeSync, existsSync, fstatSync, mkdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { findPins, type Pin, unpin } from "./find-pins.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import { beginsRedirect, MAP_NAMES, type MapName, type ProgramName, recordVersionOf } from "./layout.ts";
import type { Libbpf } from "./libbpf.ts";
import { findOwnSets, type OwnAttachment, type OwnSet, takeOff } from "./own-objects.ts";
import { examine, type Leftover, linkPin, mapPin } from "./pins.ts";
import type { SettingsOwner } from "./settings.ts";

/** Whose redirect is looked for. */
export interface Scope {
  /** Undefined: there is no such cgroup. */
  readonly cgroupFd: number | undefined;
  readonly listenerPort: number;
}

/** Clock ticks of /proc/PID/stat. */
const NS_PER_TICK = 10_000_000n;
const START_TIME_FIELD = 19;
const COMMAND_NAME = "azure-proxy-age";

/**
 * Sets with attachments on this cgroup, or that send this network namespace to this port; only attachments that concern us are in them.
 * @param known - ids of links that are accounted for already
 * @returns an error when one belongs to an agent that runs, or when the kernel does not let us look
 */
export function findElsewhere(
  libbpf: Libbpf,
  kernel: KernelObjects,
  scope: Scope,
  known: ReadonlySet<number>,
): Result<readonly OwnSet[], RedirectorError> {
  const sets = findOwnSets(libbpf, kernel, scope.cgroupFd);
  if (!sets.ok) return sets;
  const namespace = libbpf.networkNamespaceCookie();
  if (!namespace.ok) return namespace;
  const cgroupId = idOf(scope.cgroupFd);
  const found = sets.value.flatMap((set) => {
    const isOurPlace = set.owner?.networkNamespaceCookie === namespace.value && set.owner.listenerPort === scope.listenerPort;
    const attachments = set.attachments.filter(
      (at) => at.cgroupId !== 0n && (at.cgroupId === cgroupId || isOurPlace) && (at.linkId === undefined || !known.has(at.linkId)),
    );
    return attachments.length === 0 ? [] : [{ ...set, attachments }];
  });
  const running = found.map(({ owner }) => owner).find((owner) => owner !== undefined && isRunning(owner));
  if (running === undefined) return ok(found);
  return err({
    kind: "attach-failed",
    message: `another azure-proxy-agent runs as process ${running.exemptProcessId} and its redirect is in effect; stop it first`,
  });
}

/**
 * Pins what is in effect on this cgroup, and pinned elsewhere or not at all, into the pin folder. Nothing is taken off by it.
 * @param known - ids of links that are in the pin folder already
 * @returns whether there was anything
 */
export function gatherElsewhere(
  libbpf: Libbpf,
  kernel: KernelObjects,
  scope: Scope,
  pinFolder: string,
  known: ReadonlySet<number>,
): Result<boolean, RedirectorError> {
  const found = findElsewhere(libbpf, kernel, scope, known);
  if (!found.ok) return found;
  const cgroupId = idOf(scope.cgroupFd);
  const sets = found.value.filter(({ attachments }) => attachments.some((at) => at.linkId !== undefined && at.cgroupId === cgroupId));
  if (sets.length === 0) return ok(false);
  const pins = findPins(kernel);
  for (const set of sets) {
    const own = pins.filter((pin) => isPinOf(pin, set));
    const moved = pinInto(kernel, pinFolder, set, cgroupId, own);
    if (!moved.ok) return moved;
    unpin(own);
  }
  return ok(true);
}

function pinInto(
  kernel: KernelObjects,
  pinFolder: string,
  set: OwnSet,
  cgroupId: bigint,
  pins: readonly Pin[],
): Result<void, RedirectorError> {
  const place = join(pinFolder, folderFor(pinFolder, set, pins));
  try {
    mkdirSync(place, { mode: 0o700 });
  } catch (cause) {
    return err({ kind: "pin-failed", message: `cannot make "${place}": ${describeError(cause)}` });
  }
  const { links, maps } = openSet(kernel, set, cgroupId);
  try {
    for (const [name, fd] of maps) {
      const pinned = kernel.pin(fd, join(place, mapPin(name)));
      if (!pinned.ok) return pinned;
    }
    for (const [name, fd] of links) {
      const pinned = kernel.pin(fd, join(place, linkPin(name)));
      if (!pinned.ok) return pinned;
    }
    return ok(undefined);
  } finally {
    for (const fd of [...links.values(), ...maps.values()]) closeSync(fd);
  }
}

/** Where its pins were, the folder's name says which layout it is. Without that name its maps are not gone on with. */
function folderFor(pinFolder: string, { maps }: OwnSet, pins: readonly Pin[]): string {
  const named = pins.map(({ path }) => basename(dirname(path))).find((name) => recordVersionOf(name) !== undefined);
  const origins = maps.find(({ name }) => name === "origins")?.id ?? 0;
  return named !== undefined && !existsSync(join(pinFolder, named)) ? named : `found-${origins}`;
}

/** Descriptors of a set's links on this cgroup and of its maps, for the caller to close. */
function openSet(
  kernel: KernelObjects,
  { attachments, maps }: OwnSet,
  cgroupId: bigint,
): { readonly links: Map<ProgramName, number>; readonly maps: Map<MapName, number> } {
  const links = new Map<ProgramName, number>();
  for (const { name, linkId, cgroupId: at } of attachments) {
    const fd = linkId === undefined || at !== cgroupId || links.has(name) ? undefined : kernel.openLink(linkId);
    if (fd !== undefined) links.set(name, fd);
  }
  const opened = new Map<MapName, number>();
  for (const name of MAP_NAMES) {
    const id = maps.find((map) => map.name === name)?.id;
    const fd = id === undefined ? undefined : kernel.openMap(id);
    if (fd !== undefined) opened.set(name, fd);
  }
  return { links, maps: opened };
}

/** A set in the form in which pins are found: for where there is no folder to pin it into. */
export function leftoverOf(kernel: KernelObjects, set: OwnSet, cgroupId: bigint): Leftover {
  return examine(kernel, "", cgroupId, openSet(kernel, set, cgroupId));
}

/** Takes off what concerns us beside `known`, those that begin redirects first, and unpins it. @returns what could not be taken off */
export function takeOffElsewhere(
  libbpf: Libbpf,
  kernel: KernelObjects,
  scope: Scope,
  known: ReadonlySet<number>,
): Result<{ readonly off: readonly OwnAttachment[]; readonly left: readonly OwnAttachment[] }, RedirectorError> {
  const found = findElsewhere(libbpf, kernel, scope, known);
  if (!found.ok) return found;
  const all = found.value.flatMap(({ attachments }) => attachments);
  const ordered = [...all.filter(({ name }) => beginsRedirect(name)), ...all.filter(({ name }) => !beginsRedirect(name))];
  const left = ordered.filter((attachment) => !takeOff(kernel, attachment, scope.cgroupFd));
  if (all.length === 0) return ok({ off: [], left });
  const goneLinks = new Set(ordered.filter((at) => !left.includes(at)).map(({ linkId }) => linkId));
  const pins = findPins(kernel);
  // Of a set of which nothing is in use any more the maps go, too.
  const unused = found.value.filter(({ attachments }) => attachments.every((at) => !left.includes(at)));
  const still = findOwnSets(libbpf, kernel, scope.cgroupFd);
  const inUse = new Set(
    (still.ok ? still.value : [])
      .filter((set) => set.attachments.some((at) => at.cgroupId !== 0n))
      .flatMap(({ maps }) => maps.map(({ id }) => id)),
  );
  unpin(
    pins.filter(
      (pin) =>
        (pin.kind === "link" && goneLinks.has(pin.id)) ||
        (pin.kind === "map" && !inUse.has(pin.id) && unused.some(({ maps }) => maps.some(({ id }) => id === pin.id))),
    ),
  );
  return ok({ off: ordered.filter((at) => !left.includes(at)), left });
}

/** Whether a pin holds something of this set. */
export function isPinOf({ kind, id }: Pin, { attachments, maps, programs }: OwnSet): boolean {
  if (kind === "link") return attachments.some(({ linkId }) => linkId === id);
  return kind === "map" ? maps.some((map) => map.id === id) : programs.some((program) => program.id === id);
}

/** Whether the agent that programs exempt still runs, and is not this process. */
function isRunning({ exemptProcessId, exemptStartNs }: SettingsOwner): boolean {
  if (exemptProcessId === 0 || exemptProcessId === process.pid) return false;
  try {
    const stat = readFileSync(`/proc/${exemptProcessId}/stat`, "latin1");
    // The name is in brackets and may hold anything; what follows it is numbers.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (exemptStartNs !== 0n) return BigInt(fields[START_TIME_FIELD] ?? -1) === exemptStartNs / NS_PER_TICK;
    return stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")) === COMMAND_NAME;
  } catch {
    return false;
  }
}

function idOf(cgroupFd: number | undefined): bigint {
  return cgroupFd === undefined ? 0n : fstatSync(cgroupFd, { bigint: true }).ino;
}
