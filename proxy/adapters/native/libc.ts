// The C library: every function of it that this program calls through koffi is declared here, once, and found when it is first called.
// Decides nothing; what an argument means is the caller's business. 64-bit Linux with glibc.

import { err, ok, type Result } from "../../core/result.ts";
import { loadKoffi } from "./koffi.ts";

/** A pointer into C memory. */
export type Pointer = bigint;

/** A call that can also run on a helper thread; `done` gets the failure to call it, or null and what it returned. */
export interface SlowCall<Arguments extends readonly unknown[]> {
  (...call: Arguments): number;
  async(...call: readonly [...Arguments, (failure: unknown, returned: unknown) => void]): void;
}

type Entry = readonly [id: number, entry: Uint8Array, strings: Uint8Array, stringBytes: number, found: Uint8Array];

/** Names and arguments as in the manual pages; sections 2 and 3. */
export interface Libc {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Uint8Array, length: number) => number;
  readonly connect: (fd: number, address: Uint8Array, length: number) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number;
  readonly getsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number;
  readonly getsockname: (fd: number, address: Uint8Array, length: Uint8Array) => number;
  readonly sendto: (fd: number, text: Uint8Array, size: number, flags: number, address: Uint8Array, length: number) => number;
  readonly fcntl: (fd: number, command: number, type: "int", value: number) => number;
  readonly flock: (fd: number, operation: number) => number;
  readonly clock_gettime: (clock: number, time: Uint8Array) => number;
  readonly vsnprintf: (text: Uint8Array, size: number, format: Pointer, list: Pointer) => number;
  readonly setenv: (name: string, value: string, overwrite: number) => number;
  readonly malloc_trim: (pad: number) => number;
  readonly madvise: (address: bigint, length: bigint, advice: number) => number;
  readonly statx: (fd: number, path: string, flags: number, mask: number, found: Uint8Array) => number;
  /** As openat2(2) needs it, which glibc does not have. */
  readonly syscall: SlowCall<[number: number, folder: number, path: string, how: Uint8Array, size: number]>;
  readonly inotify_init1: (flags: number) => number;
  readonly inotify_add_watch: SlowCall<[inotify: number, path: string, mask: number]>;
  readonly inotify_rm_watch: (inotify: number, watch: number) => number;
  readonly getpwuid_r: SlowCall<Entry>;
  readonly getgrgid_r: SlowCall<Entry>;
  readonly getgrouplist: SlowCall<[name: Uint8Array, gid: number, groups: Uint32Array, count: Int32Array]>;
}

const DECLARATIONS: Readonly<Record<keyof Libc, string>> = {
  socket: "int socket(int family, int type, int protocol)",
  bind: "int bind(int fd, const void *address, uint32_t length)",
  connect: "int connect(int fd, const void *address, uint32_t length)",
  listen: "int listen(int fd, int backlog)",
  setsockopt: "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
  getsockopt: "int getsockopt(int fd, int level, int name, void *value, void *length)",
  getsockname: "int getsockname(int fd, void *address, void *length)",
  sendto: "long sendto(int fd, const void *text, size_t size, int flags, const void *address, uint32_t length)",
  fcntl: "int fcntl(int fd, int command, ...)",
  flock: "int flock(int fd, int operation)",
  clock_gettime: "int clock_gettime(int clock, void *time)",
  // A va_list is passed as a pointer on x86-64 and arm64 alike, so handing one through needs no knowledge of its layout.
  vsnprintf: "int vsnprintf(void *text, size_t size, const void *format, void *list)",
  setenv: "int setenv(const char *name, const char *value, int overwrite)",
  malloc_trim: "int malloc_trim(size_t pad)",
  madvise: "int madvise(uintptr_t address, size_t length, int advice)",
  statx: "int statx(int fd, const char *path, int flags, uint32_t mask, void *found)",
  syscall: "long syscall(long number, int folder, const char *path, void *how, size_t size)",
  inotify_init1: "int inotify_init1(int flags)",
  inotify_add_watch: "int inotify_add_watch(int inotify, const char *path, uint32_t mask)",
  inotify_rm_watch: "int inotify_rm_watch(int inotify, int watch)",
  getpwuid_r: "int getpwuid_r(uint32_t uid, void *entry, void *strings, size_t stringBytes, void *found)",
  getgrgid_r: "int getgrgid_r(uint32_t gid, void *entry, void *strings, size_t stringBytes, void *found)",
  getgrouplist: "int getgrouplist(void *name, uint32_t gid, void *groups, void *count)",
};

export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;

const LOCK_EXCLUSIVE_NO_WAIT = 2 | 4;

let opened: Libc | undefined;

export function openLibc(): Libc {
  opened ??= bindOnUse();
  return opened;
}

function bindOnUse(): Libc {
  const library = loadKoffi().load("libc.so.6");
  const functions = {};
  for (const [name, declaration] of Object.entries(DECLARATIONS)) {
    const get = () => {
      const value: unknown = library.func(declaration);
      Object.defineProperty(functions, name, { value });
      return value;
    };
    Object.defineProperty(functions, name, { configurable: true, get });
  }
  return functions as Libc;
}

/** Number of the last failed call on this thread. */
export function lastErrno(): number {
  return loadKoffi().errno();
}

/** Its name, such as `EADDRINUSE`; undefined for a number that has none. */
export function errnoName(errno: number): string | undefined {
  return Object.entries(loadKoffi().os.errno).find(([, value]) => value === errno)?.[0];
}

/** Name of the last failed call's error, for people. */
export function lastErrorName(): string {
  const errno = lastErrno();
  return errnoName(errno) ?? `errno ${errno}`;
}

/**
 * Locks what the descriptor is open on for this process alone, without waiting; the lock ends with the descriptor.
 * @returns the name of the error when it cannot: `EAGAIN` when another process has the lock
 */
export function tryLock(descriptor: number): Result<void, string> {
  return openLibc().flock(descriptor, LOCK_EXCLUSIVE_NO_WAIT) === 0 ? ok(undefined) : err(lastErrorName());
}
