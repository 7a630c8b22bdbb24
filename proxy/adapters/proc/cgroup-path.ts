// The path of a caller's cgroup. The kernel pinned only its id when the connection was made; what /proc says about the process
// is of now, and only a hint. A path counts when the folder it leads to has the pinned id, which is its inode number and is
// never given out again. Only kernel memory is read; the hint takes a lock of all cgroups, and so is read on a helper thread.

import { statSync } from "node:fs";
import type { AuditRecord } from "../../core/request/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { makeFairSlots } from "../../core/tally/fair-slots.ts";
import type { Lane } from "./lane.ts";
import { readStart } from "./process.ts";

/** The root of the whole hierarchy; a cgroup namespace or a mount of a part of it would show another folder there. */
const ROOT_ID = 1n;
/** A path has at most 4096 bytes; hosts that also use version 1 have a dozen such lines, and the one we want is the last. */
const CGROUP_FILE_BYTES = 64 * 1024;
/** Paths remembered, in places that users share. */
const MAX_KNOWN = 1024;

/** In whose cgroup, and where the hint is. */
export type CgroupQuestion = Pick<AuditRecord, "cgroupId" | "processId" | "threadId" | "realUid">;

/** The path of the cgroup with this id, `/` for the root, or why it is unknown. The process and its thread give the hint. */
export type CgroupPathOf = (question: CgroupQuestion) => Promise<Result<string, string>>;

/**
 * @param root - where the root of the cgroup2 hierarchy is mounted
 * @param lane - for reading hints
 */
export function makeCgroupPaths(root: string, lane: Lane): CgroupPathOf {
  const known = makeFairSlots<string>(MAX_KNOWN, () => 0);
  return async ({ cgroupId, processId, threadId, realUid }) => {
    if (inodeOf(root) !== ROOT_ID) return err(`cgroup paths are unknown: "${root}" is not the root of the whole cgroup2 hierarchy`);
    if (cgroupId === ROOT_ID) return ok("/");
    const key = String(cgroupId);
    const before = known.get(key);
    if (before !== undefined && inodeOf(`${root}${before}`) === cgroupId) return ok(before);
    known.delete(key);
    // A thread may be in another cgroup than its process; the kernel pinned that of the thread.
    for (const file of [`/proc/${processId}/task/${threadId}/cgroup`, `/proc/${processId}/cgroup`]) {
      const path = await readHint(file, realUid, lane);
      if (path === undefined || inodeOf(`${root}${path}`) !== cgroupId) continue;
      // Another caller of the same cgroup may have come here first.
      known.delete(key);
      known.add(key, String(realUid), path);
      return ok(path);
    }
    return err(`cannot tell the path of cgroup ${cgroupId}: process ${processId} has left it, or it is gone`);
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

async function readHint(file: string, userId: number, lane: Lane): Promise<string | undefined> {
  const bytes = Buffer.allocUnsafeSlow(CGROUP_FILE_BYTES);
  const length = await readStart(file, bytes, userId, lane);
  if (!length.ok || length.value === undefined || length.value === bytes.length) return undefined;
  try {
    return parseCgroupPath(utf8.decode(bytes.subarray(0, length.value)));
  } catch {
    return undefined;
  }
}

/**
 * The version 2 path in the text of /proc/PID/cgroup, or undefined when there is none or it leads out of the agent's own view.
 * Names of cgroups hold no line break, so that no cgroup can write a line of its own.
 */
export function parseCgroupPath(text: string): string | undefined {
  const path = text
    .split("\n")
    .find((line) => line.startsWith("0::"))
    ?.slice("0::".length);
  if (path === undefined || !path.startsWith("/")) return undefined;
  const clear = !path
    .slice(1)
    .split("/")
    .some((segment) => segment === "" || segment === "." || segment === "..");
  return clear && !path.includes("\0") ? path : undefined;
}

function inodeOf(folder: string): bigint | undefined {
  try {
    return statSync(folder, { bigint: true, throwIfNoEntry: false })?.ino;
  } catch {
    return undefined;
  }
}
