// Finds this product's programs wherever they hang and whoever holds them: by the kernel's own lists of links and programs, not by a
// pin folder. Proves by hook, name, loader and maps that a program is ours; must never hand out anything that it could not prove.

import { closeSync, fstatSync } from "node:fs";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { KernelObjects, MapInfo, ProgramInfo } from "./kernel-objects.ts";
import { MAPS, type MapName, PROGRAMS, type ProgramName } from "./layout.ts";
import type { Libbpf } from "./libbpf.ts";
import { readOwner, type SettingsOwner } from "./settings.ts";

/** The kernel keeps so many characters of a program's name. */
const NAME_CHARACTERS = 15;
const TYPE_SOCK_ADDR = 18;
const TYPE_SOCK_OPS = 13;
const ATTACH_SOCK_OPS = 3;
const ROOT = 0;

/** Maps that a program of ours uses in every layout. */
const USED_MAPS: Readonly<Record<"connect" | "getpeername" | "sockops", readonly MapName[]>> = {
  connect: ["guarded", "settings", "origins"],
  getpeername: ["origins"],
  sockops: ["records", "settings", "origins"],
};

/** How one program of ours hangs on a cgroup. */
export interface OwnAttachment {
  readonly name: ProgramName;
  readonly attachType: number;
  readonly programId: number;
  /** Undefined: attached to our cgroup without a link. */
  readonly linkId: number | undefined;
  /** 0: attached to no cgroup any more. */
  readonly cgroupId: bigint;
}

/** Programs of ours that share their maps: what one agent loaded. */
export interface OwnSet {
  readonly attachments: readonly OwnAttachment[];
  readonly programs: readonly (ProgramInfo & { readonly ours: ProgramName })[];
  readonly maps: readonly MapInfo[];
  /** What the programs were told about their agent; undefined when the set has no such map. */
  readonly owner: SettingsOwner | undefined;
}

/** Everything of ours in this kernel, by set. Needs root. @param cgroupFd - also looked at for programs without a link */
export function findOwnSets(
  libbpf: Libbpf,
  kernel: KernelObjects,
  cgroupFd: number | undefined,
): Result<readonly OwnSet[], RedirectorError> {
  const programIds = kernel.ids("program");
  if (!programIds.ok) return programIds;
  const maps = new Map<number, MapInfo | undefined>();
  const ours = new Map<number, FoundProgram>();
  for (const id of programIds.value) {
    const found = proveProgram(kernel, id, maps);
    if (found !== undefined) ours.set(id, found);
  }
  if (ours.size === 0) return ok([]);
  const linked = findLinks(kernel, ours);
  if (!linked.ok) return linked;
  const direct = cgroupFd === undefined ? ok([]) : findDirect(kernel, cgroupFd, ours, linked.value);
  if (!direct.ok) return direct;
  const attachments = [...linked.value, ...direct.value];
  const bySet = Map.groupBy(ours.values(), ({ origins }) => origins);
  return ok(
    [...bySet.values()].map((found) => {
      const ids = new Set(found.flatMap(({ info }) => info.mapIds));
      const own = [...ids].flatMap((id) => maps.get(id) ?? []);
      return {
        attachments: attachments.filter(({ programId }) => found.some(({ info }) => info.id === programId)),
        programs: found.map(({ info, names }) => ({ ...info, ours: nameIn(attachments, info.id) ?? names[0] })),
        maps: own,
        owner: readOwnerOf(libbpf, kernel, own),
      };
    }),
  );
}

/** Whether the program that the kernel has under this id is ours. */
export function isOwnProgram(kernel: KernelObjects, id: number): boolean {
  return proveProgram(kernel, id, new Map()) !== undefined;
}

/** Takes an attachment off; true when it is off afterwards, however that came about. */
export function takeOff(kernel: KernelObjects, { linkId, programId, attachType }: OwnAttachment, cgroupFd: number | undefined): boolean {
  if (linkId === undefined) {
    const program = kernel.openProgram(programId);
    if (program === undefined || cgroupFd === undefined) return program === undefined;
    kernel.detachProgram(program, cgroupFd, attachType);
    closeSync(program);
    const left = kernel.ownAttachments(cgroupFd, attachType);
    return left.ok && !left.value.programIds.includes(programId);
  }
  const link = kernel.openLink(linkId);
  if (link === undefined) return true;
  kernel.detach(link);
  const off = (kernel.linkInfo(link)?.cgroupId ?? 0n) === 0n;
  closeSync(link);
  return off;
}

interface FoundProgram {
  readonly info: ProgramInfo;
  /** connect4 and connect6 have one name in the kernel: which of them it is, its hook tells. */
  readonly names: readonly [ProgramName, ...ProgramName[]];
  readonly origins: number;
}

function proveProgram(kernel: KernelObjects, id: number, maps: Map<number, MapInfo | undefined>): FoundProgram | undefined {
  const fd = kernel.openProgram(id);
  if (fd === undefined) return undefined;
  const info = kernel.programInfo(fd);
  closeSync(fd);
  if (info === undefined || info.loadedByUid !== ROOT) return undefined;
  const [first, ...more] = PROGRAMS.filter(
    ({ name, attachType }) =>
      name.slice(0, NAME_CHARACTERS) === info.name && info.type === (attachType === ATTACH_SOCK_OPS ? TYPE_SOCK_OPS : TYPE_SOCK_ADDR),
  ).map(({ name }) => name);
  if (first === undefined) return undefined;
  for (const mapId of info.mapIds) if (!maps.has(mapId)) maps.set(mapId, readMap(kernel, mapId));
  const used = info.mapIds.flatMap((mapId) => maps.get(mapId) ?? []);
  const kind = first.includes("connect") ? "connect" : first.includes("sockops") ? "sockops" : "getpeername";
  if (!USED_MAPS[kind].every((name) => used.some((map) => map.name === name && isOfKind(map, name)))) return undefined;
  const origins = used.find(({ name }) => name === "origins")?.id;
  return origins === undefined ? undefined : { info, names: [first, ...more], origins };
}

/** Sizes change between layouts; type and key never did. The endpoints' map has one form in all of them. */
function isOfKind(map: MapInfo, name: MapName): boolean {
  const shape = MAPS[name];
  if (map.type !== shape.type) return false;
  if (name === "records") return true;
  if (name !== "guarded") return map.keyBytes === shape.keyBytes;
  return map.keyBytes === shape.keyBytes && map.valueBytes === shape.valueBytes && map.maxEntries === shape.maxEntries;
}

function readMap(kernel: KernelObjects, id: number): MapInfo | undefined {
  const fd = kernel.openMap(id);
  if (fd === undefined) return undefined;
  const info = kernel.mapInfo(fd);
  closeSync(fd);
  return info;
}

function findLinks(kernel: KernelObjects, ours: ReadonlyMap<number, FoundProgram>): Result<OwnAttachment[], RedirectorError> {
  const linkIds = kernel.ids("link");
  if (!linkIds.ok) return linkIds;
  const found: OwnAttachment[] = [];
  for (const linkId of linkIds.value) {
    const fd = kernel.openLink(linkId);
    if (fd === undefined) continue;
    const info = kernel.linkInfo(fd);
    closeSync(fd);
    if (info?.onCgroup !== true) continue;
    const name = ours.get(info.programId)?.names.find((candidate) => attachTypeOf(candidate) === info.attachType);
    if (name === undefined) continue;
    found.push({ name, attachType: info.attachType, programId: info.programId, linkId, cgroupId: info.cgroupId });
  }
  return ok(found);
}

function findDirect(
  kernel: KernelObjects,
  cgroupFd: number,
  ours: ReadonlyMap<number, FoundProgram>,
  linked: readonly OwnAttachment[],
): Result<OwnAttachment[], RedirectorError> {
  const cgroupId = fstatSync(cgroupFd, { bigint: true }).ino;
  const found: OwnAttachment[] = [];
  for (const { name, attachType } of PROGRAMS) {
    const there = kernel.ownAttachments(cgroupFd, attachType);
    if (!there.ok) return err(there.error);
    for (const programId of there.value.programIds) {
      if (ours.get(programId)?.names.includes(name) !== true) continue;
      if (linked.some((link) => link.programId === programId && link.attachType === attachType && link.cgroupId === cgroupId)) continue;
      found.push({ name, attachType, programId, linkId: undefined, cgroupId });
    }
  }
  return ok(found);
}

function readOwnerOf(libbpf: Libbpf, kernel: KernelObjects, maps: readonly MapInfo[]): SettingsOwner | undefined {
  const id = maps.find(({ name }) => name === "settings")?.id;
  const fd = id === undefined ? undefined : kernel.openMap(id);
  if (fd === undefined) return undefined;
  const owner = readOwner(libbpf, kernel, fd);
  closeSync(fd);
  return owner;
}

function nameIn(attachments: readonly OwnAttachment[], programId: number): ProgramName | undefined {
  return attachments.find((attachment) => attachment.programId === programId)?.name;
}

function attachTypeOf(name: ProgramName): number | undefined {
  return PROGRAMS.find((program) => program.name === name)?.attachType;
}
