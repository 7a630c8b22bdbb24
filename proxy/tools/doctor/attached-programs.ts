// Says by name which programs are in effect at a cgroup, for people. Reads only.

import { closeSync } from "node:fs";
import { describeBlocker, findBlocker } from "../../adapters/ebpf/blocker.ts";
import { openCgroup } from "../../adapters/ebpf/cgroup.ts";
import { KernelObjects } from "../../adapters/ebpf/kernel-objects.ts";
import { PROGRAMS } from "../../adapters/ebpf/layout.ts";
import { Libbpf } from "../../adapters/ebpf/libbpf.ts";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { HookFacts } from "./check-programs.ts";

/** The kernel keeps so many characters of a program's name. */
const NAME_CHARACTERS = 15;

/** Programs at each of our hooks, in the order in which they run. Needs root. */
export function readAttachedPrograms(cgroupPath: string): Result<readonly HookFacts[], RedirectorError> {
  const libbpf = Libbpf.open();
  if (!libbpf.ok) return libbpf;
  const kernel = KernelObjects.open(libbpf.value);
  if (!kernel.ok) return kernel;
  const cgroup = openCgroup(cgroupPath);
  if (!cgroup.ok) return cgroup;
  try {
    const found: HookFacts[] = [];
    for (const { name, attachType } of PROGRAMS) {
      const ids = kernel.value.effectivePrograms(cgroup.value, attachType);
      if (!ids.ok) return err(ids.error);
      const programs = ids.value.map((id) => ({ id, name: kernel.value.programName(id) }));
      const blocker = findBlocker(kernel.value, cgroupPath, attachType);
      const blocked = blocker === undefined ? undefined : describeBlocker(blocker);
      found.push({ hook: name.slice(name.indexOf("_") + 1), ours: name.slice(0, NAME_CHARACTERS), blocked, programs });
    }
    return ok(found);
  } finally {
    closeSync(cgroup.value);
  }
}
