// Everything of ours that the kernel has, for people: programs, links, maps and pins, on which cgroup, since when. Changes nothing.

import { closeSync, type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { RedirectorError } from "../../core/ports.ts";
import { ok, type Result } from "../../core/result.ts";
import { findCgroupRoot, openCgroup } from "./cgroup.ts";
import { isPinOf } from "./elsewhere.ts";
import { findPins } from "./find-pins.ts";
import { KernelObjects } from "./kernel-objects.ts";
import { Libbpf } from "./libbpf.ts";
import { findOwnSets, type OwnSet } from "./own-objects.ts";

export interface ListedSet {
  readonly programs: readonly {
    readonly name: string;
    readonly id: number;
    readonly loadedAt: Date;
    /** Where it hangs; empty: something holds it, and it is attached to nothing. */
    readonly attachments: readonly { readonly linkId: number | undefined; readonly cgroup: string }[];
  }[];
  readonly maps: readonly { readonly name: string; readonly id: number }[];
  readonly pins: readonly string[];
  /** Where the programs send connections; undefined when their settings have another form. */
  readonly listenerPort: number | undefined;
  readonly isThisNetworkNamespace: boolean | undefined;
}

/** More folders than this are not looked through for the path of a cgroup. */
const MAX_CGROUPS = 50_000;

/** @param cgroupPath - also looked at for programs without a link. Needs root. */
export function listObjects(cgroupPath: string | undefined): Result<readonly ListedSet[], RedirectorError> {
  const libbpf = Libbpf.open();
  if (!libbpf.ok) return libbpf;
  const kernel = KernelObjects.open(libbpf.value);
  if (!kernel.ok) return kernel;
  const cgroup = cgroupPath === undefined ? undefined : openCgroup(cgroupPath);
  const cgroupFd = cgroup?.ok === true ? cgroup.value : undefined;
  const sets = findOwnSets(libbpf.value, kernel.value, cgroupFd);
  if (cgroupFd !== undefined) closeSync(cgroupFd);
  if (!sets.ok) return sets;
  if (sets.value.length === 0) return ok([]);
  const namespace = libbpf.value.networkNamespaceCookie();
  const paths = cgroupPaths(new Set(sets.value.flatMap(({ attachments }) => attachments.map(({ cgroupId }) => cgroupId))));
  const pins = findPins(kernel.value);
  const bootMs = Date.now() - Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000;
  return ok(
    sets.value.map((set) => ({
      programs: set.programs.map(({ ours, id, loadedNs }) => ({
        name: ours,
        id,
        loadedAt: new Date(bootMs + Number(loadedNs / 1_000_000n)),
        attachments: attachmentsOf(set, id, paths),
      })),
      maps: set.maps.map(({ name, id }) => ({ name, id })),
      pins: pins.filter((pin) => isPinOf(pin, set)).map(({ path }) => path),
      listenerPort: set.owner?.listenerPort,
      isThisNetworkNamespace: set.owner === undefined || !namespace.ok ? undefined : set.owner.networkNamespaceCookie === namespace.value,
    })),
  );
}

function attachmentsOf({ attachments }: OwnSet, programId: number, paths: ReadonlyMap<bigint, string>) {
  return attachments
    .filter((at) => at.programId === programId && at.cgroupId !== 0n)
    .map(({ linkId, cgroupId }) => ({ linkId, cgroup: paths.get(cgroupId) ?? `with id ${cgroupId}, not found` }));
}

/** A cgroup's id is the inode of its folder. */
function cgroupPaths(wanted: ReadonlySet<bigint>): ReadonlyMap<bigint, string> {
  const found = new Map<bigint, string>();
  const root = findCgroupRoot();
  const open = root.ok ? [root.value] : [];
  for (let looked = 0; looked < MAX_CGROUPS && found.size < wanted.size; looked += 1) {
    const folder = open.shift();
    if (folder === undefined) break;
    const { id, below } = lookAt(folder);
    if (id !== undefined && wanted.has(id)) found.set(id, folder);
    open.push(...below);
  }
  return found;
}

function lookAt(folder: string): { readonly id: bigint | undefined; readonly below: readonly string[] } {
  try {
    const entries: Dirent[] = readdirSync(folder, { withFileTypes: true });
    const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
    return { id: statSync(folder, { bigint: true }).ino, below };
  } catch {
    // Ended while we looked.
    return { id: undefined, below: [] };
  }
}
