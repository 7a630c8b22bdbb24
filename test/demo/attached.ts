// Asks the kernel which eBPF programs hang on the sandbox's cgroup. Reads only.

import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { requireSandbox } from "../support/sandbox.ts";

/** Attach types of Linux are numbered from 0; those a kernel does not know, or that belong to no cgroup, answer EINVAL. */
const ATTACH_TYPES = 64;
const MAX_PROGRAMS = 64;

/** Programs attached to the cgroup itself, of all kinds. */
export function countAttachedPrograms(): number {
  const libbpf = dlopen("libbpf.so.1", {
    bpf_prog_query: { args: ["i32", "i32", "u32", "ptr", "ptr", "ptr"], returns: "i32" },
  });
  const cgroup = openSync(requireSandbox().cgroupPath, "r");
  const flags = new Uint32Array(1);
  const ids = new Uint32Array(MAX_PROGRAMS);
  const count = new Uint32Array(1);
  try {
    let attached = 0;
    for (let type = 0; type < ATTACH_TYPES; type++) {
      count[0] = MAX_PROGRAMS;
      const answer = libbpf.symbols.bpf_prog_query(cgroup, type, 0, ptr(flags), ptr(ids), ptr(count));
      if (answer === 0) attached += count[0] ?? 0;
    }
    return attached;
  } finally {
    closeSync(cgroup);
    libbpf.close();
  }
}
