// Finds the cgroup2 hierarchy and opens the cgroup that the programs are attached to. cgroup2 may be mounted at
// /sys/fs/cgroup or, on hosts that also use version 1, somewhere below it; nothing here assumes a place.

import { closeSync, openSync, readFileSync, statfsSync } from "node:fs";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";

/** statfs(2) type of a cgroup2 file system. */
const CGROUP2_MAGIC = 0x63677270;

/** Where the root of the cgroup2 hierarchy is mounted in this process's mount namespace. */
export function findCgroupRoot(): Result<string, RedirectorError> {
  return parseCgroupRoot(readFileSync("/proc/self/mountinfo", "utf8"));
}

/**
 * Picks the mount point of the cgroup2 root out of `/proc/self/mountinfo`. A mount of only a part of the hierarchy is no
 * answer: programs attached there would miss every process outside of it.
 */
export function parseCgroupRoot(mountinfo: string): Result<string, RedirectorError> {
  let part: string | undefined;
  for (const line of mountinfo.split("\n")) {
    // "36 25 0:30 ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE OPTIONS"; blanks inside a field are written as \040.
    const [place, file] = line.split(" - ", 2);
    if (place === undefined || !file?.startsWith("cgroup2 ")) continue;
    const [, , , root, point] = place.split(" ");
    if (root === undefined || point === undefined) continue;
    if (root === "/") return ok(unescapeMount(point));
    part ??= unescapeMount(point);
  }
  const found = part === undefined ? "no mount of type cgroup2" : `only a part of it, at "${part}"`;
  return err({
    kind: "cgroup-missing",
    message: `cannot find the cgroup2 hierarchy: found ${found}, want its root; mount it with: mount -t cgroup2 none /sys/fs/cgroup`,
  });
}

/** Opens a cgroup for attaching. The caller closes the descriptor. */
export function openCgroup(path: string): Result<number, RedirectorError> {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    return err({ kind: "cgroup-missing", message: `cannot open cgroup "${path}": ${messageOf(cause)}` });
  }
  const type = statfsSync(path).type;
  if (type === CGROUP2_MAGIC) return ok(fd);
  closeSync(fd);
  return err({
    kind: "cgroup-missing",
    message: `cannot use "${path}" as a cgroup: found file system type 0x${type.toString(16)}, want cgroup2`,
  });
}

function messageOf(cause: unknown): string {
  return describeError(cause);
}

function unescapeMount(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
