// The C library as this folder uses it: file calls that never wait for a file system, inode watches, and the account database.
// Nothing outside this folder calls it, and nothing in here decides. 64-bit Linux with glibc.

import { loadKoffi } from "./koffi.ts";

/** A file as statx(2) reports it; not always the numbers of the kernel's own inode (overlayfs, btrfs). */
export interface FileNumbers {
  /** Kernel encoding: major << 20 | minor. */
  readonly device: number;
  /** 0 when the file system does not provide it. */
  readonly inode: bigint;
}

/** Result of a reentrant lookup: 0, or an errno. */
type Returned = number;
export type Done = (returned: Returned | undefined) => void;

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
/** Use cached attributes: a server that hangs (NFS, FUSE) is not queried. */
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_BYTES = 256;
const STATX_INODE_AT = 32;
const STATX_SIZE_AT = 40;
const STATX_CTIME_AT = 96;
const STATX_MTIME_AT = 112;
const STATX_DEVICE_AT = 136;
/** STATX_MTIME, STATX_CTIME, STATX_SIZE. */
const STATX_CONTENT = 0x40 | 0x80 | 0x200;
const SYS_OPENAT2 = 437;
const OPEN_HOW_BYTES = 24;
const RESOLVE_NO_MAGICLINKS = 0x02n;
const RESOLVE_NO_SYMLINKS = 0x04n;
const RESOLVE_CACHED = 0x20n;
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;
const EAGAIN = 11;

/** Memory that stays where it is: a small typed array without an ArrayBuffer of its own may be moved by the engine. */
export function stableBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

function openHow(resolve: bigint): Uint8Array<ArrayBuffer> {
  const bytes = stableBytes(OPEN_HOW_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(O_PATH | O_CLOEXEC), true);
  view.setBigUint64(16, resolve, true);
  return bytes;
}

function bind() {
  const koffi = loadKoffi();
  const libc = koffi.load("libc.so.6");
  return {
    errno: () => koffi.errno(),
    address: (memory: Uint8Array) => BigInt(koffi.address(memory)),
    statx: libc.func("statx", "int", ["int", "str", "int", "uint", "void *"]),
    syscall: libc.func("syscall", "long", ["long", "int", "str", "void *", "size_t"]),
    inotifyInit: libc.func("inotify_init1", "int", ["int"]),
    addWatch: libc.func("inotify_add_watch", "int", ["int", "str", "uint"]),
    removeWatch: libc.func("inotify_rm_watch", "int", ["int", "int"]),
    getpwuid: libc.func("getpwuid_r", "int", ["uint", "void *", "void *", "size_t", "void *"]),
    getgrgid: libc.func("getgrgid_r", "int", ["uint", "void *", "void *", "size_t", "void *"]),
    getgrouplist: libc.func("getgrouplist", "int", ["void *", "uint", "void *", "void *"]),
  };
}

let bound: ReturnType<typeof bind> | undefined;

function libc(): ReturnType<typeof bind> {
  bound ??= bind();
  return bound;
}

const statxBytes = stableBytes(STATX_BYTES);
const statxView = new DataView(statxBytes.buffer);

/**
 * The numbers of an open file, from the kernel's memory only. No field is requested, because device and inode are filled in
 * regardless and an empty mask keeps FUSE from querying its server.
 */
export function numbersOf(descriptor: number): FileNumbers | undefined {
  statxBytes.fill(0);
  if (libc().statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, statxBytes) !== 0) return undefined;
  return numbersInStatx();
}

/** Shows that a file's content may have changed. */
export interface FileStamp extends FileNumbers {
  readonly sizeBytes: bigint;
  readonly modifiedNs: bigint;
  /** Of the inode: set by the kernel's clock at every change; no user can set it. */
  readonly changedNs: bigint;
}

/** The stamp of an open file, as far as the kernel has it in memory; undefined when it has not. */
export function stampOf(descriptor: number): FileStamp | undefined {
  statxBytes.fill(0);
  if (libc().statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_CONTENT, statxBytes) !== 0) return undefined;
  if ((statxView.getUint32(0, true) & STATX_CONTENT) !== STATX_CONTENT) return undefined;
  return {
    ...numbersInStatx(),
    sizeBytes: statxView.getBigUint64(STATX_SIZE_AT, true),
    modifiedNs: timeInStatx(STATX_MTIME_AT),
    changedNs: timeInStatx(STATX_CTIME_AT),
  };
}

function numbersInStatx(): FileNumbers {
  // Multiplied, not shifted: majors from 2048 on would turn negative.
  const device = statxView.getUint32(STATX_DEVICE_AT, true) * 0x100000 + statxView.getUint32(STATX_DEVICE_AT + 4, true);
  return { device, inode: statxView.getBigUint64(STATX_INODE_AT, true) };
}

function timeInStatx(at: number): bigint {
  return statxView.getBigInt64(at, true) * 1_000_000_000n + BigInt(statxView.getUint32(at + 8, true));
}

const cachedHow = openHow(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED);
const waitingHow = openHow(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);

/**
 * Opens a path for comparison only (O_PATH), following no symbolic link, if the kernel has every component in memory.
 * @returns the descriptor, "would-wait" when a file system or automounter would have to be queried, or "absent"
 */
export function openIfCached(path: string): number | "would-wait" | "absent" {
  const descriptor = Number(libc().syscall(SYS_OPENAT2, AT_FDCWD, path, cachedHow, OPEN_HOW_BYTES));
  if (descriptor >= 0) return descriptor;
  return libc().errno() === EAGAIN ? "would-wait" : "absent";
}

/** As {@link openIfCached}, on a helper thread, for as long as it takes. `done` gets undefined when there is no such file. */
export function openWaiting(path: string, done: (descriptor: number | undefined) => void): void {
  libc().syscall.async(SYS_OPENAT2, AT_FDCWD, path, waitingHow, OPEN_HOW_BYTES, (failure: unknown, returned: unknown) => {
    const descriptor = Number(returned);
    done(failure === null && descriptor >= 0 ? descriptor : undefined);
  });
}

const IN_NONBLOCK = 0o4000;
const IN_DELETE_SELF = 0x400;

/** A new inotify instance, or undefined when root's are used up (fs.inotify.max_user_instances). */
export function openInotify(): number | undefined {
  const descriptor = Number(libc().inotifyInit(IN_NONBLOCK | O_CLOEXEC));
  return descriptor < 0 ? undefined : descriptor;
}

/** Watches an inode, on a helper thread: its file system may be queried whether root may read. `done` gets the number of the watch. */
export function startWatch(inotify: number, path: string, done: (watch: number | undefined) => void): void {
  libc().addWatch.async(inotify, path, IN_DELETE_SELF, (failure: unknown, returned: unknown) => {
    const watch = Number(returned);
    done(failure === null && watch >= 0 ? watch : undefined);
  });
}

export function endWatch(inotify: number, watch: number): void {
  libc().removeWatch(inotify, watch);
}

/** Buffers of one lookup. They must stay referenced until `done` runs, because a helper thread writes into them. */
export interface EntryMemory {
  /** struct passwd or struct group. */
  readonly entry: Uint8Array<ArrayBuffer>;
  readonly strings: Uint8Array<ArrayBuffer>;
  /** struct passwd * or NULL. */
  readonly found: Uint8Array<ArrayBuffer>;
}

/** getpwuid_r(3) on a helper thread. */
export function startUserLookup(uid: number, memory: EntryMemory, done: Done): void {
  libc().getpwuid.async(uid, memory.entry, memory.strings, memory.strings.length, memory.found, returnedTo(done));
}

/** getgrgid_r(3) on a helper thread. */
export function startGroupLookup(gid: number, memory: EntryMemory, done: Done): void {
  libc().getgrgid.async(gid, memory.entry, memory.strings, memory.strings.length, memory.found, returnedTo(done));
}

/** getgrouplist(3) on a helper thread. `name` ends in NUL; `count` holds the room in `groups`, afterwards the number wanted. */
export function startGroupList(name: Uint8Array, gid: number, groups: Uint32Array, count: Int32Array, done: Done): void {
  libc().getgrouplist.async(name, gid, groups, count, returnedTo(done));
}

/** Where memory lies, to find which bytes of it a C pointer points to. */
export function addressOf(memory: Uint8Array): bigint {
  return libc().address(memory);
}

function returnedTo(done: Done): (failure: unknown, returned: unknown) => void {
  return (failure, returned) => done(failure === null ? Number(returned) : undefined);
}
