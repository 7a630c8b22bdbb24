// Asks the kernel which programs are in effect at a cgroup, in the order in which they run. Reads only.

import { closeSync } from "node:fs";
import type { HookFacts } from "../../core/doctor/check-programs.ts";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { loadKoffi } from "../native/koffi.ts";
import { openCgroup } from "./cgroup.ts";

/** Hooks of ours: attach type of the kernel (enum bpf_attach_type), and our program's name as the kernel keeps it. */
const HOOKS = [
  { hook: "sockops", attachType: 3, ours: "redirect_sockop" },
  { hook: "connect4", attachType: 10, ours: "redirect_connec" },
  { hook: "connect6", attachType: 11, ours: "redirect_connec" },
  { hook: "getpeername4", attachType: 29, ours: "redirect_getpee" },
  { hook: "getpeername6", attachType: 30, ours: "redirect_getpee" },
] as const;

/** Also those of the folders above, which run here too. */
const QUERY_EFFECTIVE = 1;
const MAX_PROGRAMS = 64;
/** struct bpf_prog_info up to and with the name; the kernel fills as much as it is given room for. */
const INFO_BYTES = 80;
const NAME_OFFSET = 64;

interface Functions {
  readonly query: (cgroup: number, type: number, flags: number, attached: Uint32Array, ids: Uint32Array, count: Uint32Array) => number;
  readonly open: (id: number) => number;
  readonly describe: (fd: number, info: Uint8Array, length: Uint32Array) => number;
}

/** Programs at each of our hooks. Needs root. */
export function readAttachedPrograms(cgroupPath: string): Result<readonly HookFacts[], RedirectorError> {
  const cgroup = openCgroup(cgroupPath);
  if (!cgroup.ok) return cgroup;
  try {
    const functions = bindFunctions();
    const found: HookFacts[] = [];
    for (const { hook, attachType, ours } of HOOKS) {
      const ids = new Uint32Array(MAX_PROGRAMS);
      const count = Uint32Array.of(MAX_PROGRAMS);
      const code = functions.query(cgroup.value, attachType, QUERY_EFFECTIVE, new Uint32Array(1), ids, count);
      if (code !== 0)
        return err({
          kind: "attach-failed",
          message: `cannot ask for the ${hook} programs of "${cgroupPath}": error ${-code}`,
          errno: -code,
        });
      const programs = [...ids.subarray(0, count[0])].map((id) => ({ id, name: readName(functions, id) }));
      found.push({ hook, ours, programs });
    }
    return ok(found);
  } catch (error) {
    return err({ kind: "libbpf-missing", message: `cannot ask libbpf.so.1: ${error instanceof Error ? error.message : String(error)}` });
  } finally {
    closeSync(cgroup.value);
  }
}

function bindFunctions(): Functions {
  const libbpf = loadKoffi().load("libbpf.so.1");
  return {
    query: libbpf.func("int bpf_prog_query(int fd, int type, uint32_t flags, void *attached, void *ids, void *count)"),
    open: libbpf.func("int bpf_prog_get_fd_by_id(uint32_t id)"),
    describe: libbpf.func("int bpf_obj_get_info_by_fd(int fd, void *info, void *length)"),
  };
}

/** Empty when it went away meanwhile. */
function readName({ open, describe }: Functions, id: number): string {
  const descriptor = open(id);
  if (descriptor < 0) return "";
  try {
    const info = new Uint8Array(INFO_BYTES);
    if (describe(descriptor, info, Uint32Array.of(INFO_BYTES)) !== 0) return "";
    const name = info.subarray(NAME_OFFSET);
    return Buffer.from(name.subarray(0, Math.max(0, name.indexOf(0)))).toString("latin1");
  } finally {
    closeSync(descriptor);
  }
}
