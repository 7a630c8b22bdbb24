// Brings the kernel programs into effect: anew, or in the place of those an earlier agent left pinned. In no case is there a moment in
// which a guarded connect is not redirected: what is there goes only after what takes its place is in effect.

import { closeSync, existsSync, fstatSync } from "node:fs";
import { join } from "node:path";
import type { RedirectorError } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Ancestor, Attachment, RedirectorOptions } from "./attachment.ts";
import { describeBlocker, findBlocker } from "./blocker.ts";
import { openCgroup } from "./cgroup.ts";
import { findElsewhere, gatherElsewhere, isPinOf, leftoverOf, takeOffElsewhere } from "./elsewhere.ts";
import { findPins, unpin } from "./find-pins.ts";
import { FirstRecords } from "./first-records.ts";
import { readGuarded, writeGuarded } from "./guarded.ts";
import { KernelObjects } from "./kernel-objects.ts";
import {
  beginsRedirect,
  layoutFolder,
  MAP_NAMES,
  type MapDescriptors,
  type MapName,
  PROGRAMS,
  type ProgramName,
  recordVersionOf,
} from "./layout.ts";
import { describeBtfError, KERNEL_BTF, Libbpf, type LoadedObject } from "./libbpf.ts";
import type { OwnSet } from "./own-objects.ts";
import { type Leftover, linkPin, openPinFolder, pinnedLinks, pinSet, readLeftovers, removeOthers, repin } from "./pins.ts";
import { exemptSelf, writeFirstSettings } from "./settings.ts";

const EPERM = 1;

export function attachPrograms(options: RedirectorOptions): Result<Attachment, RedirectorError> {
  const opened = Libbpf.open();
  if (!opened.ok) return opened;
  const kernel = KernelObjects.open(opened.value);
  if (!kernel.ok) return kernel;
  const cgroup = openCgroup(options.cgroupPath);
  if (!cgroup.ok) return cgroup;
  const work = new Attaching(opened.value, kernel.value, options, cgroup.value);
  const attached = work.run();
  // Pins of an earlier agent stay: better closed than open.
  if (!attached.ok) work.abandon();
  return attached;
}

class Attaching {
  readonly #libbpf: Libbpf;
  readonly #kernel: KernelObjects;
  readonly #options: RedirectorOptions;
  readonly #cgroupFd: number;
  readonly #cgroupId: bigint;
  readonly #links = new Map<ProgramName, number>();
  /** Programs of another layout whose links now hold ours: to be put back when the start fails. */
  readonly #displaced: { readonly link: number; readonly program: number }[] = [];
  #leftovers: readonly Leftover[] = [];
  /** What is taken over without a pin folder of our own: its pins would keep programs that nobody looks after. */
  #unpinned: readonly OwnSet[] = [];
  #object: LoadedObject | undefined;

  constructor(libbpf: Libbpf, kernel: KernelObjects, options: RedirectorOptions, cgroupFd: number) {
    this.#libbpf = libbpf;
    this.#kernel = kernel;
    this.#options = options;
    this.#cgroupFd = cgroupFd;
    this.#cgroupId = fstatSync(cgroupFd, { bigint: true }).ino;
  }

  run(): Result<Attachment, RedirectorError> {
    const options = this.#options;
    const folder = options.pinFolder === "" ? err({ message: "switched off by the config" }) : openPinFolder(options.pinFolder);
    const found = this.#findLeftovers(folder.ok);
    if (!found.ok) return found;
    this.#leftovers = found.value;
    const loaded = this.#load();
    if (!loaded.ok) return loaded;
    const { object, executablesUnpinned, heir } = loaded.value;
    const maps = this.#findMaps(object);
    if (!maps.ok) return maps;
    const programs = this.#findPrograms(object);
    if (!programs.ok) return programs;

    const configured = writeFirstSettings(this.#libbpf, maps.value, options);
    if (!configured.ok) return configured;
    // Before ours take the place of programs that guard: no connect finds a map that is still empty.
    const guarded = this.#inheritGuarded(maps.value, heir);
    if (!guarded.ok) return guarded;
    const attached = this.#attach(programs.value, heir);
    if (!attached.ok) return attached;
    const learned = exemptSelf(this.#libbpf, maps.value, options, options.cgroupPath);
    if (!learned.ok) return learned;

    const name = layoutFolder(object.layout);
    const pinned = folder.ok ? this.#pin(name, maps.value, heir) : folder;
    const others = this.#leftovers.filter((leftover) => leftover !== heir);
    const ancestors = others.map((leftover) => this.#retire(leftover, object.layout & 0xff, learned.value.networkNamespaceCookie));
    for (const { program } of this.#displaced) closeSync(program);
    this.#takeOffOthers(ancestors);
    if (this.#unpinned.length > 0) unpin(findPins(this.#kernel).filter((pin) => this.#unpinned.some((set) => isPinOf(pin, set))));
    if (folder.ok) removeOthers(options.pinFolder, pinned.ok ? name : undefined);
    for (const fd of heir?.maps.values() ?? []) closeSync(fd);
    return ok({
      libbpf: this.#libbpf,
      kernel: this.#kernel,
      object,
      programs: programs.value,
      links: this.#links,
      maps: maps.value,
      cgroupFd: this.#cgroupFd,
      cgroupId: this.#cgroupId,
      cgroupPath: options.cgroupPath,
      listenerPort: options.listenerPort,
      learned: learned.value,
      executablesUnpinned,
      place: options.pinFolder === "" ? "" : join(options.pinFolder, name),
      notPinned: pinned.ok ? undefined : pinned.error.message,
      takeover: heir !== undefined ? "same-layout" : others.some(({ links }) => links.size > 0) ? "other-layout" : "none",
      guarded: guarded.value,
      ancestors: ancestors.filter(({ links, records }) => links.length > 0 || records.kind !== "unreadable"),
    });
  }

  /**
   * What earlier agents left: in the pin folder, and what is in effect without being there. Without the right to list what the kernel
   * has (CAP_SYS_ADMIN, which the unit does not give; its ExecStopPost has it and gathers) it is the pin folder alone.
   */
  #findLeftovers(usesFolder: boolean): Result<readonly Leftover[], RedirectorError> {
    const { pinFolder, listenerPort } = this.#options;
    const scope = { cgroupFd: this.#cgroupFd, listenerPort };
    if (!usesFolder) {
      const sets = findElsewhere(this.#libbpf, this.#kernel, scope, new Set());
      if (!sets.ok) return sets.error.kind === "query-failed" ? ok([]) : sets;
      this.#unpinned = sets.value;
      return ok(sets.value.map((set) => leftoverOf(this.#kernel, set, this.#cgroupId)));
    }
    const known = pinnedLinks(this.#kernel, pinFolder);
    const gathered = gatherElsewhere(this.#libbpf, this.#kernel, scope, pinFolder, known);
    if (!gathered.ok && gathered.error.kind === "attach-failed") return gathered;
    return ok(readLeftovers(this.#kernel, pinFolder, this.#cgroupId));
  }

  /** What is in effect beside ours and what still serves earlier connects: on another cgroup, without a link, or not to be pinned. */
  #takeOffOthers(ancestors: readonly Ancestor[]): void {
    const fds = [...this.#links.values(), ...ancestors.flatMap(({ links }) => links)];
    const known = new Set(fds.flatMap((fd) => this.#kernel.linkInfo(fd)?.id ?? []));
    // What cannot be taken off now is found again by every check, and reported.
    takeOffElsewhere(this.#libbpf, this.#kernel, { cgroupFd: this.#cgroupFd, listenerPort: this.#options.listenerPort }, known);
  }

  abandon(): void {
    for (const { link, program } of this.#displaced) {
      this.#kernel.replaceProgram(link, program, "an earlier agent");
      closeQuietly(program);
    }
    for (const { links, maps, firstRecords } of this.#leftovers)
      for (const fd of [...links.values(), ...maps.values(), firstRecords]) if (fd !== undefined) closeQuietly(fd);
    const inherited = new Set(this.#leftovers.flatMap(({ links }) => [...links.values()]));
    for (const fd of this.#links.values()) if (!inherited.has(fd)) closeQuietly(fd);
    if (this.#object !== undefined) this.#libbpf.close(this.#object);
    closeQuietly(this.#cgroupFd);
  }

  /** Prefers the object that pins executables; without BTF, or where the kernel forbids such reads, takes the plain one. */
  #load(): Result<LoadedFor, RedirectorError> {
    const { objectFile, objectFileWithoutBtf } = this.#options;
    let executablesUnpinned = `the kernel has no BTF at "${KERNEL_BTF}"`;
    if (existsSync(KERNEL_BTF)) {
      const full = this.#loadFile(objectFile);
      if (full.ok) return ok({ ...full.value, executablesUnpinned: undefined });
      if (full.error.kind !== "load-failed") return full;
      executablesUnpinned = describeBtfError(this.#libbpf.readKernelBtf()) ?? full.error.message;
    }
    const plain = this.#loadFile(objectFileWithoutBtf);
    if (plain.ok) return ok({ ...plain.value, executablesUnpinned });
    return err({ ...plain.error, message: `${plain.error.message}\n  tried because: ${executablesUnpinned}` });
  }

  #loadFile(path: string): Result<Omit<LoadedFor, "executablesUnpinned">, RedirectorError> {
    let heir: Leftover | undefined;
    const loaded = this.#libbpf.load(path, (layout) => {
      heir = this.#leftovers.find(({ folder, strange }) => folder === layoutFolder(layout) && strange.length === 0);
      return heir === undefined ? undefined : Object.fromEntries(heir.maps);
    });
    if (!loaded.ok) return loaded;
    this.#object = loaded.value;
    return ok({ object: loaded.value, heir });
  }

  #findMaps(object: LoadedObject): Result<MapDescriptors, RedirectorError> {
    const found = {} as Record<MapName, number>;
    for (const name of MAP_NAMES) {
      const fd = this.#libbpf.findMap(object, name);
      if (!fd.ok) return fd;
      found[name] = fd.value;
    }
    return ok(found);
  }

  #findPrograms(object: LoadedObject): Result<ReadonlyMap<ProgramName, number>, RedirectorError> {
    const found = new Map<ProgramName, number>();
    for (const { name } of PROGRAMS) {
      const fd = this.#libbpf.findProgram(object, name);
      if (!fd.ok) return fd;
      found.set(name, fd.value);
    }
    return ok(found);
  }

  /**
   * Where a link is there its program is replaced in one step; elsewhere the program is attached, beside whatever else there is.
   * Of another layout only those links are used that begin redirects: both kinds at once would redirect a connect twice.
   */
  #attach(programs: ReadonlyMap<ProgramName, number>, heir: Leftover | undefined): Result<void, RedirectorError> {
    for (const { name, attachType } of PROGRAMS) {
      const program = programs.get(name);
      if (program === undefined) throw new Error(`internal error: program "${name}" was not looked for`);
      const what = `eBPF program "${name}" to cgroup "${this.#options.cgroupPath}"`;
      const inherited = heir?.links.get(name) ?? (beginsRedirect(name) ? this.#displace(name) : undefined);
      if (inherited !== undefined && this.#kernel.replaceProgram(inherited, program, what).ok) {
        this.#links.set(name, inherited);
        continue;
      }
      const made = this.#kernel.attach(program, this.#cgroupFd, attachType, what);
      if (!made.ok) return this.#explain(made.error, attachType);
      this.#links.set(name, made.value);
      if (inherited === undefined) continue;
      this.#kernel.detach(inherited);
      closeSync(inherited);
    }
    return ok(undefined);
  }

  /** The kernel says EPERM, whoever is in the way. */
  #explain(error: RedirectorError, attachType: number): Result<never, RedirectorError> {
    const blocker = error.errno === EPERM ? findBlocker(this.#kernel, this.#options.cgroupPath, attachType) : undefined;
    if (blocker === undefined) return err(error);
    const { found, advice } = describeBlocker(blocker);
    return err({ ...error, message: `${error.message}: ${found}; ${advice}` });
  }

  /** The link of another layout that a program of ours can take over; its program is kept until ours have proven themselves. */
  #displace(name: ProgramName): number | undefined {
    for (const { links } of this.#leftovers) {
      const link = links.get(name);
      const info = link === undefined ? undefined : this.#kernel.linkInfo(link);
      const program = info === undefined ? undefined : this.#kernel.openProgram(info.programId);
      if (link === undefined || program === undefined) continue;
      this.#displaced.push({ link, program });
      return link;
    }
    return undefined;
  }

  /** What was guarded stays guarded: who is to be let go is for the host to say. */
  #inheritGuarded(maps: MapDescriptors, heir: Leftover | undefined): Result<ReadonlySet<Endpoint>, RedirectorError> {
    const all = new Set<Endpoint>();
    if (heir !== undefined) {
      const { endpoints, strange } = readGuarded(this.#kernel, maps.guarded);
      for (const endpoint of endpoints) all.add(endpoint);
      for (const key of strange) this.#libbpf.remove(maps.guarded, key, "a guarded endpoint that is none of ours");
    }
    for (const leftover of this.#leftovers) {
      const map = leftover === heir || leftover.links.size === 0 ? undefined : leftover.maps.get("guarded");
      if (map === undefined) continue;
      for (const endpoint of readGuarded(this.#kernel, map).endpoints) {
        const written = writeGuarded(this.#libbpf, maps.guarded, endpoint, true);
        if (!written.ok) return written;
        all.add(endpoint);
      }
    }
    return ok(all);
  }

  #pin(name: string, maps: MapDescriptors, heir: Leftover | undefined): Result<void, RedirectorError> {
    const { pinFolder } = this.#options;
    if (heir === undefined) return pinSet(this.#kernel, pinFolder, name, this.#links, maps);
    for (const [program, fd] of this.#links) {
      if (heir.links.get(program) === fd) continue;
      const pinned = repin(this.#kernel, join(pinFolder, name, linkPin(program)), fd);
      if (!pinned.ok) return pinned;
    }
    return ok(undefined);
  }

  /** Ours begin the redirects from here on; who was redirected before is still served by the programs that did it. */
  #retire({ folder, links, maps, firstRecords }: Leftover, recordVersion: number, networkNamespaceCookie: bigint): Ancestor {
    const rest: number[] = [];
    for (const { name } of [...PROGRAMS].reverse()) {
      const fd = links.get(name);
      if (fd === undefined || this.#links.get(name) === fd) continue;
      if (!beginsRedirect(name)) {
        rest.push(fd);
        continue;
      }
      this.#kernel.detach(fd);
      closeSync(fd);
    }
    const accepted = recordVersionOf(folder) === recordVersion ? maps.get("accepted") : undefined;
    for (const fd of maps.values()) if (fd !== accepted) closeSync(fd);
    if (accepted !== undefined) return { links: rest, records: { kind: "accepted", map: accepted } };
    if (firstRecords === undefined) return { links: rest, records: { kind: "unreadable" } };
    const records = new FirstRecords(firstRecords, networkNamespaceCookie, this.#options.listenerPort);
    return { links: rest, records: { kind: "first", records } };
  }
}

interface LoadedFor {
  readonly object: LoadedObject;
  readonly executablesUnpinned: string | undefined;
  readonly heir: Leftover | undefined;
}

/** Takes everything off and unpins it; connects go direct before anything else ends. */
export function detachAll({ kernel, libbpf, object, links, place, notPinned, cgroupFd }: Attachment, pinFolder: string): void {
  for (const { name } of [...PROGRAMS].reverse()) {
    const fd = links.get(name);
    if (fd !== undefined) kernel.detach(fd);
  }
  closeDescriptors({ libbpf, object, links, cgroupFd });
  if (notPinned !== undefined || place === "") return;
  removeOthers(pinFolder, undefined);
}

/** Lets go of everything without taking it off: what is pinned stays in effect. */
export function closeDescriptors({ libbpf, object, links, cgroupFd }: Pick<Attachment, "libbpf" | "object" | "links" | "cgroupFd">): void {
  for (const fd of links.values()) closeSync(fd);
  links.clear();
  libbpf.close(object);
  closeSync(cgroupFd);
}

/** Ends the service for connects that an earlier layout redirected. */
export function endAncestor(kernel: KernelObjects, { links, records }: Ancestor): void {
  for (const fd of links) {
    kernel.detach(fd);
    closeQuietly(fd);
  }
  if (records.kind === "accepted") closeQuietly(records.map);
  if (records.kind === "first") records.records.close();
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Closed on another way out already.
  }
}
