// Is this open file the inode that the kernel pinned? stat(2) answers with numbers the file system chooses; the kernel's own
// are in /proc/self/fdinfo (inode) and mountinfo (device). Only kernel memory is read: no file system is asked.

import type { ExecutableId } from "../../core/caller.ts";
import type { FileNumbers } from "./libc.ts";
import { readStart } from "./process.ts";

const FDINFO_BYTES = 512;
/** A namespace may hold 100 000 mounts; the caller chooses its own. Reading goes no further than this. */
const MOUNTINFO_BYTES = 256 * 1024;
const MOUNTINFO_READS = 256;

const fdinfoBytes = Buffer.alloc(FDINFO_BYTES);
let mountinfoBytes: Buffer | undefined;

/**
 * Compares an open file with the executable pinned at connect. The pinned inode generation is not compared: user space
 * cannot read it without opening the file, which a hostile file system could answer late or never.
 *
 * INVARIANT: the fast way cannot mistake one file for another. A file system reports either the device number of its own
 * superblock or one that the kernel allocated for nobody else (subvolumes, overlay layers), so equal device numbers mean
 * the pinned superblock; within it the inode number is unique, or is chosen by a server (FUSE, NFS) that could as well
 * change the file's content. When the reported numbers differ the files may still be equal, hence the exact way.
 * What remains: where i_ino itself is not unique within a superblock (btrfs subvolumes, overlay layers on different file
 * systems) an exec between two files with the same number goes unseen; the path proof then names the file that runs now.
 *
 * @param numbers - of `descriptor`, as `numbersOf` gave them
 * @param mountinfos - where to look for the mount: of the process, then of the agent
 */
export function isPinned(descriptor: number, numbers: FileNumbers, pinned: ExecutableId, mountinfos: readonly string[]): boolean {
  if (sameNumbers(numbers, { device: pinned.device, inode: pinned.inode })) return true;
  const length = readStart(`/proc/self/fdinfo/${descriptor}`, fdinfoBytes);
  if (length === undefined) return false;
  const info = parseFdinfo(fdinfoBytes.toString("latin1", 0, length));
  if (info === undefined || info.inode !== pinned.inode) return false;
  mountinfoBytes ??= Buffer.alloc(MOUNTINFO_BYTES);
  for (const path of mountinfos) {
    const read = readStart(path, mountinfoBytes, MOUNTINFO_READS);
    const device = read === undefined ? undefined : deviceOfMount(mountinfoBytes.toString("latin1", 0, read), info.mountId);
    if (device !== undefined) return device === pinned.device;
  }
  return false;
}

/** True when both are known to be the same file. Inode 0 is what a file system says that does not tell. */
export function sameNumbers(one: FileNumbers, other: FileNumbers): boolean {
  return one.inode !== 0n && one.inode === other.inode && one.device === other.device;
}

/** The inode and mount of an open file from the text of /proc/self/fdinfo/N (`ino:` is there since Linux 5.14). */
export function parseFdinfo(text: string): { readonly inode: bigint; readonly mountId: number } | undefined {
  const inode = /^ino:\s+(\d{1,20})$/m.exec(text)?.[1];
  const mountId = /^mnt_id:\s+(\d{1,10})$/m.exec(text)?.[1];
  return inode === undefined || mountId === undefined ? undefined : { inode: BigInt(inode), mountId: Number(mountId) };
}

/** Device number (kernel encoding) of a mount from the text of mountinfo, or undefined when the mount is not listed. */
export function deviceOfMount(mountinfo: string, mountId: number): number | undefined {
  const lineStart = `\n${mountinfo}`.indexOf(`\n${mountId} `);
  if (lineStart < 0) return undefined;
  const device = /^\d+ \d+ (\d{1,4}):(\d{1,7}) /.exec(mountinfo.slice(lineStart, lineStart + 64));
  return device === null ? undefined : Number(device[1]) * 0x100000 + Number(device[2]);
}
