// Calls for what the kernel keeps by descriptor: links, pins, and what it says about them. Beside libbpf.ts, which loads objects
// and reads maps. Turns each failure into a typed error; knows nothing about what programs and maps mean.

import { closeSync, readlinkSync } from "node:fs";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type Libbpf, nameOf, openLibrary } from "./libbpf.ts";

interface Functions {
  readonly bpf_link_create: (programFd: number, targetFd: number, attachType: number, options: null) => number;
  readonly bpf_link_update: (linkFd: number, programFd: number, options: null) => number;
  readonly bpf_link_detach: (linkFd: number) => number;
  readonly bpf_obj_pin: (fd: number, path: string) => number;
  readonly bpf_obj_get: (path: string) => number;
  readonly bpf_obj_get_info_by_fd: (fd: number, info: Uint8Array, length: Uint8Array) => number;
  readonly bpf_prog_get_fd_by_id: (id: number) => number;
  readonly bpf_prog_query: (
    targetFd: number,
    attachType: number,
    flags: number,
    attachFlags: Uint8Array,
    ids: Uint8Array,
    count: Uint8Array,
  ) => number;
  readonly bpf_map_get_next_key: (fd: number, key: Uint8Array | null, next: Uint8Array) => number;
}

const DECLARATIONS = [
  "int bpf_link_create(int programFd, int targetFd, int attachType, const void *options)",
  "int bpf_link_update(int linkFd, int programFd, const void *options)",
  "int bpf_link_detach(int linkFd)",
  "int bpf_obj_pin(int fd, const char *path)",
  "int bpf_obj_get(const char *path)",
  "int bpf_obj_get_info_by_fd(int fd, void *info, void *length)",
  "int bpf_prog_get_fd_by_id(uint32_t id)",
  "int bpf_prog_query(int targetFd, int attachType, uint32_t flags, void *attachFlags, void *ids, void *count)",
  "int bpf_map_get_next_key(int fd, const void *key, void *next)",
] as const;

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** Of the kind that hangs a program on a cgroup. */
  readonly onCgroup: boolean;
  /** 0 once it was detached. */
  readonly cgroupId: bigint;
  readonly attachType: number;
}

export interface MapInfo {
  readonly id: number;
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

const INFO_BYTES = 256;
const LINK_TYPE_CGROUP = 3;
const QUERY_EFFECTIVE = 1;
const MAX_PROGRAMS = 64;

export class KernelObjects {
  readonly #functions: Functions;
  readonly #libbpf: Libbpf;
  // Reused by every question; each answer is copied out of it.
  readonly #info = new Uint8Array(INFO_BYTES);
  readonly #view = new DataView(this.#info.buffer);

  private constructor(functions: Functions, libbpf: Libbpf) {
    this.#functions = functions;
    this.#libbpf = libbpf;
  }

  static open(libbpf: Libbpf): Result<KernelObjects, RedirectorError> {
    const functions: Record<string, unknown> = {};
    try {
      const library = openLibrary("libbpf.so.1");
      for (const declaration of DECLARATIONS) functions[nameOf(declaration)] = library?.func(declaration);
    } catch (cause) {
      return err({ kind: "libbpf-missing", message: `cannot use "libbpf.so.1": ${cause}; want version 1.0 or newer` });
    }
    return ok(new KernelObjects(functions as unknown as Functions, libbpf));
  }

  /** Hangs a program on a cgroup; it stays there while the descriptor or a pin of it lives. */
  attach(programFd: number, cgroupFd: number, attachType: number, what: string): Result<number, RedirectorError> {
    const fd = this.#functions.bpf_link_create(programFd, cgroupFd, attachType, null);
    return fd >= 0 ? ok(fd) : err(this.#libbpf.describeFailure("attach-failed", `cannot attach ${what}`, -fd));
  }

  /** Puts another program in the place of the link's, in one step. */
  replaceProgram(linkFd: number, programFd: number, what: string): Result<void, RedirectorError> {
    const code = this.#functions.bpf_link_update(linkFd, programFd, null);
    return code === 0 ? DONE : err(this.#libbpf.describeFailure("attach-failed", `cannot replace the program of ${what}`, -code));
  }

  /** Takes the link off, whoever else holds it. What is off already stays off. */
  detach(linkFd: number): void {
    this.#functions.bpf_link_detach(linkFd);
  }

  pin(fd: number, path: string): Result<void, RedirectorError> {
    const code = this.#functions.bpf_obj_pin(fd, path);
    return code === 0 ? DONE : err(this.#libbpf.describeFailure("pin-failed", `cannot pin "${path}"`, -code));
  }

  /** A descriptor for what is pinned there, of the wanted kind; undefined when there is no such thing. The caller closes it. */
  openPin(path: string, kind: "map" | "link"): number | undefined {
    const fd = this.#functions.bpf_obj_get(path);
    if (fd < 0) return undefined;
    // "anon_inode:bpf-map", "anon_inode:bpf_link", some kernels with brackets.
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    if (kind === "map" ? target.includes("bpf-map") : /bpf[-_]link/.test(target)) return fd;
    closeSync(fd);
    return undefined;
  }

  linkInfo(fd: number): LinkInfo | undefined {
    if (!this.#ask(fd)) return undefined;
    const view = this.#view;
    return {
      onCgroup: view.getUint32(0, true) === LINK_TYPE_CGROUP,
      id: view.getUint32(4, true),
      programId: view.getUint32(8, true),
      cgroupId: view.getBigUint64(16, true),
      attachType: view.getUint32(24, true),
    };
  }

  mapInfo(fd: number): MapInfo | undefined {
    if (!this.#ask(fd)) return undefined;
    const view = this.#view;
    const name = this.#info.subarray(24, 40);
    return {
      type: view.getUint32(0, true),
      id: view.getUint32(4, true),
      keyBytes: view.getUint32(8, true),
      valueBytes: view.getUint32(12, true),
      maxEntries: view.getUint32(16, true),
      flags: view.getUint32(20, true),
      name: textOf(name),
    };
  }

  programId(fd: number): number | undefined {
    return this.#ask(fd) ? this.#view.getUint32(4, true) : undefined;
  }

  /** A descriptor for the program of this id; undefined when it went away. The caller closes it. */
  openProgram(id: number): number | undefined {
    const fd = this.#functions.bpf_prog_get_fd_by_id(id);
    return fd < 0 ? undefined : fd;
  }

  /** Name of a program as the kernel keeps it, at most 15 characters; empty when it went away. Needs the right to look at all of them. */
  programName(id: number): string {
    const fd = this.#functions.bpf_prog_get_fd_by_id(id);
    if (fd < 0) return "";
    const name = this.#ask(fd) ? textOf(this.#info.subarray(64, 80)) : "";
    closeSync(fd);
    return name;
  }

  /** Ids of the programs that run for a process of this cgroup, in the order in which they run. */
  effectivePrograms(cgroupFd: number, attachType: number): Result<readonly number[], RedirectorError> {
    const flags = new Uint8Array(4);
    const ids = new Uint32Array(MAX_PROGRAMS);
    const count = new Uint32Array([MAX_PROGRAMS]);
    const code = this.#functions.bpf_prog_query(
      cgroupFd,
      attachType,
      QUERY_EFFECTIVE,
      flags,
      new Uint8Array(ids.buffer),
      new Uint8Array(count.buffer),
    );
    if (code !== 0) return err(this.#libbpf.describeFailure("attach-failed", "cannot ask which programs are in effect", -code));
    return ok([...ids.subarray(0, count[0])]);
  }

  /** All keys of a small map. */
  keys(fd: number, keyBytes: number, limit: number): readonly Uint8Array[] {
    const found: Uint8Array[] = [];
    let previous: Uint8Array | null = null;
    while (found.length < limit) {
      const next: Uint8Array = new Uint8Array(keyBytes);
      if (this.#functions.bpf_map_get_next_key(fd, previous, next) !== 0) break;
      found.push(next);
      previous = next;
    }
    return found;
  }

  #ask(fd: number): boolean {
    this.#info.fill(0);
    const length = new Uint32Array([INFO_BYTES]);
    return this.#functions.bpf_obj_get_info_by_fd(fd, this.#info, new Uint8Array(length.buffer)) === 0;
  }
}

const DONE: Result<void, RedirectorError> = ok(undefined);

/** C text up to its NUL. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, Math.max(0, bytes.indexOf(0)))).toString("latin1");
}
