// Which program of others keeps ours from being attached: the kernel answers a bare EPERM. Reads only. A program that was attached
// without the flag "multi" leaves no room for another at its hook, on its cgroup and, without "override", below it.

import { closeSync } from "node:fs";
import { dirname } from "node:path";
import { openCgroup } from "./cgroup.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import { PROGRAMS } from "./layout.ts";

export interface Blocker {
  readonly programId: number;
  /** Empty when it cannot be read. */
  readonly programName: string;
  /** The cgroup that it hangs on: ours or one above. */
  readonly cgroupPath: string;
  /** As bpftool names it, such as `connect4`. */
  readonly hook: string;
}

/** Undefined when nothing is in the way. */
export function findBlocker(kernel: KernelObjects, cgroupPath: string, attachType: number): Blocker | undefined {
  for (let path = cgroupPath; ; path = dirname(path)) {
    const cgroup = openCgroup(path);
    // Above the root of the hierarchy.
    if (!cgroup.ok) return undefined;
    const found = kernel.ownAttachments(cgroup.value, attachType);
    closeSync(cgroup.value);
    if (found.ok) {
      const { single, overridable, programIds } = found.value;
      const [programId] = programIds;
      if (programId !== undefined && (single || (overridable && path === cgroupPath)))
        return { programId, programName: kernel.programName(programId), cgroupPath: path, hook: hookOf(attachType) };
    }
    if (path === dirname(path)) return undefined;
  }
}

/** What is in the way, and what to do, for people. */
export function describeBlocker({ programId, programName, cgroupPath, hook }: Blocker): {
  readonly found: string;
  readonly advice: string;
} {
  const name = programName === "" ? "" : ` "${programName}"`;
  return {
    found: `program${name} (id ${programId}) is attached to "${cgroupPath}" at ${hook} in a way that lets no other in`,
    advice: `have its owner attach it with the flag "multi" (BPF_F_ALLOW_MULTI), or take it off: bpftool cgroup detach ${cgroupPath} ${hook} id ${programId}`,
  };
}

function hookOf(attachType: number): string {
  const name = PROGRAMS.find((program) => program.attachType === attachType)?.name ?? "";
  const hook = name.slice(name.indexOf("_") + 1);
  return hook === "sockops" ? "sock_ops" : hook;
}
