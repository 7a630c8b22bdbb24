// The binding of libbpf, and the few libc calls that the redirector needs. Makes every foreign call of this folder and turns each
// failure into a typed error with the errno name and text. Knows nothing about what the programs and maps mean.

import { closeSync } from "node:fs";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { loadKoffi } from "../native/koffi.ts";
import {
  AF_INET,
  errnoName,
  lastErrno,
  openLibc,
  type Pointer,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../native/libc.ts";

type LibraryHandle = ReturnType<ReturnType<typeof loadKoffi>["load"]>;
type ErrorKind = RedirectorError["kind"];

/** Where the kernel shows its types. */
export const KERNEL_BTF = "/sys/kernel/btf/vmlinux";

const BPF_ANY = 0n;
const VERIFIER_LOG_BYTES = 256 * 1024;
const VERIFIER_LOG_LINES = 6;
const LIBBPF_WARNING_LINES = 8;
const LIBBPF_WARN = 0;
/** libbpf's own errors start here; below are errnos. */
const LIBBPF_ERRNO_START = 4000;

const SO_SNDTIMEO = 21;
/** How long a connection to the listener may take to be made. */
const CONNECT_MS = 200;
const SO_COOKIE = 57;
const CLOCK_MONOTONIC = 1;
const SO_NETNS_COOKIE = 71;

interface Functions {
  readonly libbpf_set_print: (callback: Pointer | null) => unknown;
  readonly libbpf_strerror: (code: number, text: Uint8Array, size: number) => number;
  readonly libbpf_num_possible_cpus: () => number;
  readonly bpf_object__open_file: (path: string, options: null) => Pointer | null;
  readonly bpf_object__load: (object: Pointer) => number;
  readonly bpf_object__close: (object: Pointer) => void;
  readonly bpf_object__next_program: (object: Pointer, previous: Pointer | null) => Pointer | null;
  readonly bpf_object__find_program_by_name: (object: Pointer, name: string) => Pointer | null;
  readonly bpf_object__find_map_fd_by_name: (object: Pointer, name: string) => number;
  readonly bpf_program__set_log_buf: (program: Pointer, buffer: Pointer, size: number) => number;
  readonly bpf_program__fd: (program: Pointer) => number;
  readonly btf__parse: (path: string, split: null) => Pointer | null;
  readonly btf__free: (btf: Pointer) => void;
  readonly bpf_object__kversion: (object: Pointer) => number;
  readonly bpf_object__find_map_by_name: (object: Pointer, name: string) => Pointer | null;
  readonly bpf_map__reuse_fd: (map: Pointer, fd: number) => number;
  readonly bpf_map_lookup_elem: (fd: number, key: Uint8Array, value: Uint8Array) => number;
  readonly bpf_map_lookup_and_delete_elem: (fd: number, key: Uint8Array, value: Uint8Array) => number;
  readonly bpf_map_update_elem: (fd: number, key: Uint8Array, value: Uint8Array, flags: bigint) => number;
  readonly bpf_map_delete_elem: (fd: number, key: Uint8Array) => number;
}

const LIBBPF_DECLARATIONS = [
  "void *libbpf_set_print(void *callback)",
  "int libbpf_strerror(int code, void *text, size_t size)",
  "int libbpf_num_possible_cpus()",
  "void *bpf_object__open_file(const char *path, void *options)",
  "int bpf_object__load(void *object)",
  "void bpf_object__close(void *object)",
  "void *bpf_object__next_program(void *object, void *previous)",
  "void *bpf_object__find_program_by_name(void *object, const char *name)",
  "int bpf_object__find_map_fd_by_name(void *object, const char *name)",
  "int bpf_program__set_log_buf(void *program, void *buffer, size_t size)",
  "int bpf_program__fd(void *program)",
  "void *btf__parse(const char *path, void *split)",
  "void btf__free(void *btf)",
  "uint32_t bpf_object__kversion(void *object)",
  "void *bpf_object__find_map_by_name(void *object, const char *name)",
  "int bpf_map__reuse_fd(void *map, int fd)",
  "int bpf_map_lookup_elem(int fd, const void *key, void *value)",
  "int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)",
  "int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)",
  "int bpf_map_delete_elem(int fd, const void *key)",
] as const;

/** A BPF object loaded into the kernel. Closing it frees programs and maps that nothing else holds. */
export interface LoadedObject {
  readonly pointer: Pointer;
  readonly path: string;
  /** LAYOUT_VERSION << 8 | RECORD_VERSION of redirect.h, as it was built. */
  readonly layout: number;
}

/** By map name the descriptor to use instead of making one; undefined: make all. */
export type ReuseMaps = (layout: number) => Readonly<Record<string, number>> | undefined;

const EAGAIN = 11;
const LOAD_TRIES = 5;

export class Libbpf {
  readonly #functions: Functions;
  readonly #text = new Uint8Array(256);

  private constructor(functions: Functions) {
    this.#functions = functions;
  }

  static #opened: Libbpf | undefined;

  /** Opens libbpf.so.1 once per process; `libbpf-missing` when the system has none. */
  static open(): Result<Libbpf, RedirectorError> {
    if (Libbpf.#opened !== undefined) return ok(Libbpf.#opened);
    const libbpf = openLibrary("libbpf.so.1");
    if (libbpf === undefined) {
      return err({ kind: "libbpf-missing", message: `cannot load "libbpf.so.1": not found; install the package libbpf1` });
    }
    const functions: Record<string, unknown> = {};
    try {
      for (const declaration of LIBBPF_DECLARATIONS) functions[nameOf(declaration)] = libbpf.func(declaration);
    } catch (cause) {
      return err({ kind: "libbpf-missing", message: `cannot use "libbpf.so.1": ${cause}; want version 1.0 or newer` });
    }
    Libbpf.#opened = new Libbpf(functions as unknown as Functions);
    return ok(Libbpf.#opened);
  }

  /**
   * Loads an object file into the kernel. libbpf stays silent; after a failure the load is tried once more with its warnings
   * and the verifier's log captured, so that the error can name the cause.
   * @param reuse - maps that are there already, for the layout that the object has; they are used in place of new ones
   */
  load(path: string, reuse: ReuseMaps = () => undefined): Result<LoadedObject, RedirectorError> {
    this.#functions.libbpf_set_print(null);
    let loaded = this.#tryLoad(path, reuse);
    // The verifier gives up when a signal interrupts it.
    for (let tries = 1; tries < LOAD_TRIES && !loaded.ok && loaded.error.errno === EAGAIN; tries += 1) loaded = this.#tryLoad(path, reuse);
    return loaded;
  }

  #tryLoad(path: string, reuse: ReuseMaps): Result<LoadedObject, RedirectorError> {
    const call = this.#functions;
    const object = call.bpf_object__open_file(path, null);
    if (object === null) {
      const errno = lastErrno();
      return err(this.#failure("object-unreadable", `cannot read eBPF object "${path}"`, errno, this.#diagnose(path)));
    }
    const layout = call.bpf_object__kversion(object);
    for (const [name, fd] of Object.entries(reuse(layout) ?? {})) {
      const map = call.bpf_object__find_map_by_name(object, name);
      const reused = map === null ? -ENOENT : call.bpf_map__reuse_fd(map, fd);
      if (reused === 0) continue;
      call.bpf_object__close(object);
      return err(this.#failure("map-failed", `cannot go on with map "${name}" in "${path}"`, -reused, []));
    }
    const code = call.bpf_object__load(object);
    if (code === 0) return ok({ pointer: object, path, layout });
    call.bpf_object__close(object);
    return err(this.#failure("load-failed", `cannot load eBPF object "${path}" into the kernel`, -code, this.#diagnose(path)));
  }

  close(object: LoadedObject): void {
    this.#functions.bpf_object__close(object.pointer);
  }

  /** Whether this libbpf can read the kernel's types: a newer kernel may write them in a form that it does not know. Takes some milliseconds. */
  readKernelBtf(): Result<void, RedirectorError> {
    const found = this.#functions.btf__parse(KERNEL_BTF, null);
    if (found === null)
      return err(this.#failure("load-failed", `cannot read the kernel's BTF at "${KERNEL_BTF}"`, loadKoffi().errno(), []));
    this.#functions.btf__free(found);
    return DONE;
  }

  /** The descriptor of a map; it lives as long as the object. */
  findMap(object: LoadedObject, name: string): Result<number, RedirectorError> {
    const fd = this.#functions.bpf_object__find_map_fd_by_name(object.pointer, name);
    if (fd >= 0) return ok(fd);
    return err(this.#failure("map-failed", `cannot find map "${name}" in "${object.path}"`, -fd, []));
  }

  /** The descriptor of a program; it lives as long as the object. */
  findProgram(object: LoadedObject, name: string): Result<number, RedirectorError> {
    const found = this.#functions.bpf_object__find_program_by_name(object.pointer, name);
    if (found !== null) return ok(this.#functions.bpf_program__fd(found));
    return err({ kind: "attach-failed", message: `cannot find eBPF program "${name}": "${object.path}" has no such program` });
  }

  possibleCpus(): Result<number, RedirectorError> {
    const count = this.#functions.libbpf_num_possible_cpus();
    return count > 0 ? ok(count) : err(this.#failure("map-failed", "cannot count possible processors", -count, []));
  }

  /** Reads an entry into `value`. */
  lookup(fd: number, key: Uint8Array, value: Uint8Array, what: string): Result<void, RedirectorError> {
    return this.#checked(this.#functions.bpf_map_lookup_elem(fd, key, value), "read", what);
  }

  update(fd: number, key: Uint8Array, value: Uint8Array, what: string): Result<void, RedirectorError> {
    return this.#checked(this.#functions.bpf_map_update_elem(fd, key, value, BPF_ANY), "write", what);
  }

  /** Removes an entry; one that is not there counts as removed. */
  remove(fd: number, key: Uint8Array, what: string): Result<void, RedirectorError> {
    const code = this.#functions.bpf_map_delete_elem(fd, key);
    return this.#checked(code === -ENOENT ? 0 : code, "remove", what);
  }

  /** Reads an entry into `value`; false when there is none. Allocates nothing unless it fails. */
  read(fd: number, key: Uint8Array, value: Uint8Array, what: string): boolean | RedirectorError {
    const code = this.#functions.bpf_map_lookup_elem(fd, key, value);
    if (code === 0) return true;
    if (code === -ENOENT) return false;
    return this.#failure("map-failed", `cannot read ${what}`, -code, []);
  }

  /** Reads and removes an entry in one step; false when there is none. Allocates nothing unless it fails. */
  take(fd: number, key: Uint8Array, value: Uint8Array, what: string): boolean | RedirectorError {
    const code = this.#functions.bpf_map_lookup_and_delete_elem(fd, key, value);
    if (code === 0) return true;
    if (code === -ENOENT) return false;
    return this.#failure("map-failed", `cannot take ${what}`, -code, []);
  }

  /**
   * Makes a UDP socket, shows its cookie to `announce`, and connects it to the discard port of loopback: no packet is sent,
   * but the connect hooks of the process's cgroup run.
   */
  connectProbe(announce: (cookie: bigint) => Result<void, RedirectorError>): Result<void, RedirectorError> {
    const libc = openLibc();
    const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return err(this.#failure("self-exempt-failed", "cannot make a probe socket", lastErrno(), []));
    try {
      const cookie = new BigUint64Array(1);
      const size = new Uint32Array([cookie.byteLength]);
      if (libc.getsockopt(fd, SOL_SOCKET, SO_COOKIE, new Uint8Array(cookie.buffer), new Uint8Array(size.buffer)) < 0) {
        return err(this.#failure("self-exempt-failed", "cannot read the cookie of the probe socket", lastErrno(), []));
      }
      const announced = announce(cookie[0] ?? 0n);
      if (!announced.ok) return announced;
      // The answer does not matter: what counts is what the hook wrote down, which the caller checks.
      libc.connect(fd, DISCARD_PORT_OF_LOOPBACK, DISCARD_PORT_OF_LOOPBACK.byteLength);
      return ok(undefined);
    } finally {
      closeSync(fd);
    }
  }

  /** A TCP connection to 127.0.0.1, for the caller to close. It waits no longer than {@link CONNECT_MS} for a full backlog. */
  connectLoopback(port: number): Result<number, RedirectorError> {
    const libc = openLibc();
    const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return err(this.#failure("attach-failed", "cannot make a socket", lastErrno(), []));
    const limit = new BigInt64Array([0n, BigInt(CONNECT_MS) * 1_000n]);
    libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, new Uint8Array(limit.buffer), limit.byteLength);
    const address = new Uint8Array([AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    if (libc.connect(fd, address, address.byteLength) === 0) return ok(fd);
    const errno = lastErrno();
    closeSync(fd);
    return err(this.#failure("attach-failed", `cannot connect to the listener at "127.0.0.1:${port}"`, errno, []));
  }

  /** The clock of the kernel programs (bpf_ktime_get_ns). Bun's own counts from the start of the process. */
  monotonicNs(): bigint {
    const time = new BigUint64Array(2);
    openLibc().clock_gettime(CLOCK_MONOTONIC, new Uint8Array(time.buffer));
    return (time[0] ?? 0n) * 1_000_000_000n + (time[1] ?? 0n);
  }

  /** The cookie of the network namespace that sockets of this process are made in. */
  networkNamespaceCookie(): Result<bigint, RedirectorError> {
    const libc = openLibc();
    const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return err(this.#failure("self-exempt-failed", "cannot make a socket", lastErrno(), []));
    const cookie = new BigUint64Array(1);
    const size = new Uint32Array([cookie.byteLength]);
    const code = libc.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, new Uint8Array(cookie.buffer), new Uint8Array(size.buffer));
    const errno = lastErrno();
    closeSync(fd);
    if (code === 0) return ok(cookie[0] ?? 0n);
    return err(this.#failure("self-exempt-failed", "cannot read the cookie of the network namespace", errno, []));
  }

  #checked(code: number, verb: string, what: string): Result<void, RedirectorError> {
    if (code === 0) return DONE;
    return err(this.#failure("map-failed", `cannot ${verb} ${what}`, -code, []));
  }

  /** An error of a foreign call, in the words of all others. */
  describeFailure(kind: ErrorKind, action: string, errno: number): RedirectorError {
    return this.#failure(kind, action, errno, []);
  }

  #failure(kind: ErrorKind, action: string, errno: number, details: readonly string[]): RedirectorError {
    const lines = details.length === 0 ? "" : `\n${details.map((line) => `  ${line}`).join("\n")}`;
    return { kind, message: `${action}: ${this.#describe(errno)}${lines}`, errno };
  }

  #describe(errno: number): string {
    this.#text.fill(0);
    this.#functions.libbpf_strerror(errno, this.#text, this.#text.byteLength);
    const text = textOf(this.#text);
    const name = errno < LIBBPF_ERRNO_START ? errnoName(errno) : "libbpf";
    return `${text} (${name ?? errno})`;
  }

  /** Opens and loads once more, listening: libbpf's warnings, then the last lines the verifier said. */
  #diagnose(path: string): string[] {
    const koffi = loadKoffi();
    const call = this.#functions;
    const warnings: string[] = [];
    const log = koffi.alloc("char", VERIFIER_LOG_BYTES) as Pointer;
    const callback = koffi.register(
      (level: number, format: Pointer, list: Pointer): number => {
        if (level !== LIBBPF_WARN) return 0;
        const text = new Uint8Array(1024);
        openLibc().vsnprintf(text, text.byteLength, format, list);
        warnings.push(...splitLines(textOf(text)));
        return 0;
      },
      koffi.pointer(koffi.proto("int", ["int", "void *", "void *"])),
    );
    call.libbpf_set_print(callback);
    try {
      const object = call.bpf_object__open_file(path, null);
      if (object === null) return warnings.slice(-LIBBPF_WARNING_LINES);
      let program = call.bpf_object__next_program(object, null);
      while (program !== null) {
        call.bpf_program__set_log_buf(program, log, VERIFIER_LOG_BYTES);
        program = call.bpf_object__next_program(object, program);
      }
      call.bpf_object__load(object);
      call.bpf_object__close(object);
      const verifier = splitLines(koffi.decode.string(log));
      return [...warnings.slice(-LIBBPF_WARNING_LINES), ...verifier.slice(-VERIFIER_LOG_LINES)];
    } finally {
      call.libbpf_set_print(null);
      koffi.unregister(callback);
      koffi.free(log);
    }
  }
}

/** Undefined when it can be read. */
export function describeBtfError(read: Result<void, RedirectorError>): string | undefined {
  return read.ok ? undefined : `${read.error.message}; install a newer libbpf1, or boot a kernel whose types it can read`;
}

const DONE: Result<void, RedirectorError> = ok(undefined);
const ENOENT = 2;

/** struct sockaddr_in of 127.0.0.1:9. The family is in host order, which is little-endian on every processor we build for. */
const DISCARD_PORT_OF_LOOPBACK = new Uint8Array([AF_INET, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

/** Undefined when the system has no library of that name. */
export function openLibrary(soname: string): LibraryHandle | undefined {
  const koffi = loadKoffi();
  try {
    return koffi.load(soname);
  } catch {
    return undefined;
  }
}

export function nameOf(declaration: string): string {
  const name = /(\w+)\(/.exec(declaration)?.[1];
  if (name === undefined) throw new Error(`internal error: no function name in "${declaration}"`);
  return name;
}

/** C text up to its NUL. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function splitLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
}
