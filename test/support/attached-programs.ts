// Asks the kernel which eBPF programs hang on a cgroup. Reads only.

import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

/** Attach types of Linux are numbered from 0; those a kernel does not know, or that belong to no cgroup, answer EINVAL. */
const ATTACH_TYPES = 64;
const MAX_PROGRAMS = 64;

/** From enum bpf_attach_type of the kernel. */
export const ATTACH_TYPE = { sockOps: 3, connect4: 10, connect6: 11, getpeername4: 29, getpeername6: 30 } as const;

export interface AttachedProgram {
  readonly id: number;
  readonly attachType: number;
}

/** Programs attached to the cgroup itself, of all kinds, in the order of their attach types. */
export function attachedPrograms(cgroupPath: string): readonly AttachedProgram[] {
  const libbpf = dlopen("libbpf.so.1", {
    bpf_prog_query: { args: ["i32", "i32", "u32", "ptr", "ptr", "ptr"], returns: "i32" },
  });
  const cgroup = openSync(cgroupPath, "r");
  const flags = new Uint32Array(1);
  const ids = new Uint32Array(MAX_PROGRAMS);
  const count = new Uint32Array(1);
  try {
    const found: AttachedProgram[] = [];
    for (let attachType = 0; attachType < ATTACH_TYPES; attachType++) {
      count[0] = MAX_PROGRAMS;
      const answer = libbpf.symbols.bpf_prog_query(cgroup, attachType, 0, ptr(flags), ptr(ids), ptr(count));
      if (answer === 0) for (const id of ids.subarray(0, count[0])) found.push({ id, attachType });
    }
    return found;
  } finally {
    closeSync(cgroup);
    libbpf.close();
  }
}

/** True while the kernel still holds a program of this id. */
export function isProgramLoaded(id: number): boolean {
  const libbpf = dlopen("libbpf.so.1", { bpf_prog_get_fd_by_id: { args: ["u32"], returns: "i32" } });
  try {
    const descriptor = libbpf.symbols.bpf_prog_get_fd_by_id(id);
    if (descriptor < 0) return false;
    closeSync(descriptor);
    return true;
  } finally {
    libbpf.close();
  }
}

/** What stays attached, after what the kernel still has to do for links that were closed: it detaches some of them a little later. */
export function programsLeft(cgroupPath: string, limitMs = 20_000): readonly AttachedProgram[] {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const left = attachedPrograms(cgroupPath);
    if (left.length === 0 || performance.now() > endMs) return left;
    Bun.sleepSync(10);
  }
}
