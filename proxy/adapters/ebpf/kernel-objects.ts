// Calls for what the kernel keeps by descriptor: links, pins, and what it says about them. Beside libbpf.ts, which loads objects
// and reads maps. Turns each failure into a typed error; knows nothing about what programs and maps mean.

import { closeSync, readlinkSync } from "node:fs";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { loadKoffi } from "../native/koffi.ts";
import type { Pointer } from "../native/libc.ts";
import { type Libbpf, nameOf, openLibrary } from "./libbpf.ts";

interface Functions {
  readonly bpf_link_create: (programFd: number, targetFd: number, attachType: number, options: null) => number;
  readonly bpf_link_update: (linkFd: number, programFd: number, options: null) => number;
  readonly bpf_link_detach: (linkFd: number) => number;
  readonly bpf_obj_pin: (fd: number, path: string) => number;
  readonly bpf_obj_get: (path: string) => number;
  readonly bpf_obj_get_info_by_fd: (fd: number, info: Uint8Array, length: Uint8Array) => number;
  readonly bpf_prog_get_fd_by_id: (id: number) => number;
  readonly bpf_link_get_fd_by_id: (id: number) => number;
  readonly bpf_map_get_fd_by_id: (id: number) => number;
  readonly bpf_link_get_next_id: (id: number, next: Uint8Array) => number;
  readonly bpf_prog_get_next_id: (id: number, next: Uint8Array) => number;
  readonly bpf_prog_detach2: (programFd: number, targetFd: number, attachType: number) => number;
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
  "int bpf_link_get_fd_by_id(uint32_t id)",
  "int bpf_map_get_fd_by_id(uint32_t id)",
  "int bpf_link_get_next_id(uint32_t id, void *next)",
  "int bpf_prog_get_next_id(uint32_t id, void *next)",
  "int bpf_prog_detach2(int programFd, int targetFd, int attachType)",
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

export interface ProgramInfo {
  readonly id: number;
  readonly type: number;
  /** At most 15 characters. */
  readonly name: string;
  /** Nanoseconds since boot, suspended time included. */
  readonly loadedNs: bigint;
  readonly loadedByUid: number;
  readonly mapIds: readonly number[];
}

/** How programs hang on one cgroup at one hook, without what its parents add. */
export interface OwnAttachments {
  readonly programIds: readonly number[];
  /** No flag: the cgroup takes one program at this hook, and nobody may attach another here or below. */
  readonly single: boolean;
  /** Whoever attaches below replaces what runs there. */
  readonly overridable: boolean;
}

const INFO_BYTES = 256;
/** More than the verifier lets a program use. */
const MAX_MAP_IDS = 64;
/** A kernel with more objects than this is not walked to the end. */
const MAX_OBJECTS = 65_536;
const ENOENT = 2;
const FLAG_OVERRIDE = 1;
const FLAG_MULTI = 2;
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
    const opened = this.openAnyPin(path);
    if (opened === undefined || opened.kind === kind) return opened?.fd;
    closeSync(opened.fd);
    return undefined;
  }

  /** A descriptor for what is pinned there, and what it is; undefined when it is nothing of eBPF. The caller closes it. */
  openAnyPin(path: string): { readonly kind: "map" | "link" | "program"; readonly fd: number } | undefined {
    const fd = this.#functions.bpf_obj_get(path);
    if (fd < 0) return undefined;
    // "anon_inode:bpf-map", "anon_inode:bpf_link", some kernels with brackets.
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    if (target.includes("bpf-map")) return { kind: "map", fd };
    if (/bpf[-_]link/.test(target)) return { kind: "link", fd };
    if (target.includes("bpf-prog")) return { kind: "program", fd };
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

  /** A descriptor for the link of this id; undefined when it went away. The caller closes it. */
  openLink(id: number): number | undefined {
    const fd = this.#functions.bpf_link_get_fd_by_id(id);
    return fd < 0 ? undefined : fd;
  }

  /** A descriptor for the map of this id; undefined when it went away. The caller closes it. */
  openMap(id: number): number | undefined {
    const fd = this.#functions.bpf_map_get_fd_by_id(id);
    return fd < 0 ? undefined : fd;
  }

  /** Ids of all links or programs of the machine. Fails without the right to look at all of them. */
  ids(kind: "link" | "program"): Result<readonly number[], RedirectorError> {
    const next = new Uint32Array(1);
    const bytes = new Uint8Array(next.buffer);
    const step = kind === "link" ? this.#functions.bpf_link_get_next_id : this.#functions.bpf_prog_get_next_id;
    const found: number[] = [];
    for (;;) {
      const code = step(found.at(-1) ?? 0, bytes);
      if (code === -ENOENT) return ok(found);
      if (code !== 0) return err(this.#libbpf.describeFailure("query-failed", `cannot list the eBPF ${kind}s of this kernel`, -code));
      if (found.length >= MAX_OBJECTS)
        return err({ kind: "query-failed", message: `cannot list the eBPF ${kind}s of this kernel: found more than ${MAX_OBJECTS}` });
      found.push(next[0] ?? 0);
    }
  }

  programInfo(fd: number): ProgramInfo | undefined {
    const koffi = loadKoffi();
    const ids: Pointer = koffi.alloc("uint32_t", MAX_MAP_IDS);
    try {
      const asked = this.#ask(fd, (view) => {
        view.setUint32(52, MAX_MAP_IDS, true);
        view.setBigUint64(56, koffi.address(ids), true);
      });
      if (!asked) return undefined;
      const view = this.#view;
      const count = Math.min(view.getUint32(52, true), MAX_MAP_IDS);
      return {
        type: view.getUint32(0, true),
        id: view.getUint32(4, true),
        loadedNs: view.getBigUint64(40, true),
        loadedByUid: view.getUint32(48, true),
        name: textOf(this.#info.subarray(64, 80)),
        mapIds: count === 0 ? [] : [...(koffi.decode(ids, "uint32_t", count) as Iterable<number>)],
      };
    } finally {
      koffi.free(ids);
    }
  }

  /** Takes off a program that was attached without a link. */
  detachProgram(programFd: number, cgroupFd: number, attachType: number): void {
    this.#functions.bpf_prog_detach2(programFd, cgroupFd, attachType);
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
    const found = this.#query(cgroupFd, attachType, QUERY_EFFECTIVE);
    return found.ok ? ok(found.value.ids) : found;
  }

  /** Programs that hang on this very cgroup, with a link or without. */
  ownAttachments(cgroupFd: number, attachType: number): Result<OwnAttachments, RedirectorError> {
    const found = this.#query(cgroupFd, attachType, 0);
    if (!found.ok) return found;
    const { ids, flags } = found.value;
    const single = ids.length > 0 && (flags & (FLAG_OVERRIDE | FLAG_MULTI)) === 0;
    return ok({ programIds: ids, single, overridable: ids.length > 0 && (flags & FLAG_OVERRIDE) !== 0 });
  }

  #query(
    cgroupFd: number,
    attachType: number,
    queryFlags: number,
  ): Result<{ readonly ids: readonly number[]; readonly flags: number }, RedirectorError> {
    const flags = new Uint32Array(1);
    const ids = new Uint32Array(MAX_PROGRAMS);
    const count = new Uint32Array([MAX_PROGRAMS]);
    const code = this.#functions.bpf_prog_query(
      cgroupFd,
      attachType,
      queryFlags,
      new Uint8Array(flags.buffer),
      new Uint8Array(ids.buffer),
      new Uint8Array(count.buffer),
    );
    if (code !== 0) return err(this.#libbpf.describeFailure("query-failed", "cannot query which programs are in effect", -code));
    return ok({ ids: [...ids.subarray(0, count[0])], flags: flags[0] ?? 0 });
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

  #ask(fd: number, prepare: (view: DataView) => void = () => {}): boolean {
    this.#info.fill(0);
    prepare(this.#view);
    const length = new Uint32Array([INFO_BYTES]);
    return this.#functions.bpf_obj_get_info_by_fd(fd, this.#info, new Uint8Array(length.buffer)) === 0;
  }
}

const DONE: Result<void, RedirectorError> = ok(undefined);

/** C text up to its NUL. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, Math.max(0, bytes.indexOf(0)))).toString("latin1");
}
