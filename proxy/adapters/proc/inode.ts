// Is this open file the inode that the kernel pinned? stat(2) answers with numbers the file system chooses. The kernel's own are
// shown of an inotify watch, whatever the mounts of the caller are: how many it has is its choice, and reading them is not ours.

import { closeSync, openSync, readSync } from "node:fs";
import type { ExecutableId } from "../../core/request/caller.ts";
import type { Lane } from "./lane.ts";
import { endWatch, type FileNumbers, openInotify, startWatch } from "./libc.ts";

/** Flags of the instance and the one line of its one watch. */
const FDINFO_BYTES = 1024;
/** Of an event without a name: that the watch has ended. */
const EVENT_BYTES = 16;
const DRAIN_EVENTS = 64;

/** The numbers of an open file as the kernel knows them, or undefined when it does not answer in time. */
export type KernelNumbersOf = (descriptor: number, userId: number) => Promise<FileNumbers | undefined>;

/**
 * Reads the kernel's numbers by watching the inode for a moment. The watch takes its place in a lane, because a file system may be queried
 * whether the agent may read. Instances are kept: closing one waits for the whole kernel, for many milliseconds.
 */
export function makeKernelNumbers(lane: Lane): KernelNumbersOf {
  /** One for each call that is under way, so that each has a single watch. */
  const idle: number[] = [];
  return async (descriptor, userId) => {
    const asked = await lane.run<FileNumbers | undefined>(userId, (done) => {
      const inotify = idle.pop() ?? openInotify();
      if (inotify === undefined) {
        done(undefined);
        return;
      }
      startWatch(inotify, `/proc/self/fd/${descriptor}`, (watch) => {
        const numbers = watch === undefined ? undefined : readWatch(inotify, watch);
        if (watch !== undefined) endWatch(inotify, watch);
        drain(inotify);
        idle.push(inotify);
        done(numbers);
      });
    });
    return asked.ok ? asked.value : undefined;
  };
}

/**
 * Compares an open file with the executable pinned at connect. The pinned inode generation is not compared: user space
 * cannot read it without opening the file, which a hostile file system could answer late or never.
 *
 * INVARIANT: the fast way cannot mistake one file for another. A file system reports either the device number of its own
 * superblock or one that the kernel allocated only for this purpose (subvolumes, overlay layers), so equal device numbers mean
 * the pinned superblock; within it the inode number is unique, or is chosen by a server (FUSE, NFS) that could as well
 * change the file's content. When the reported numbers differ the files may still be equal, hence the exact way.
 * What remains: where i_ino itself is not unique within a superblock (btrfs subvolumes, overlay layers on different file
 * systems) an exec between two files with the same number goes unseen; the path proof then names the file that runs now.
 *
 * @param numbers - of `descriptor`, as `numbersOf` gave them
 * @param userId - whose share of the exact way is taken
 */
export async function isPinned(
  descriptor: number,
  numbers: FileNumbers,
  pinned: ExecutableId,
  userId: number,
  kernelNumbersOf: KernelNumbersOf,
): Promise<boolean> {
  if (sameNumbers(numbers, pinned)) return true;
  const exact = await kernelNumbersOf(descriptor, userId);
  return exact !== undefined && exact.device === pinned.device && exact.inode === pinned.inode;
}

/** True when both are known to be the same file. Inode 0 means that the file system does not provide it. */
export function sameNumbers(one: FileNumbers, other: FileNumbers): boolean {
  return one.inode !== 0n && one.inode === other.inode && one.device === other.device;
}

/** The inode behind a watch from the text of /proc/self/fdinfo/N of an inotify instance: all numbers are hexadecimal. */
export function parseWatch(fdinfo: string, watch: number): FileNumbers | undefined {
  const line = new RegExp(`^inotify wd:${watch.toString(16)} ino:([0-9a-f]{1,16}) sdev:([0-9a-f]{1,8}) `, "m").exec(fdinfo);
  return line === null ? undefined : { device: Number.parseInt(line[2] ?? "", 16), inode: BigInt(`0x${line[1]}`) };
}

const fdinfoBytes = Buffer.alloc(FDINFO_BYTES);

/** The file is of this process, and short: one watch. */
function readWatch(inotify: number, watch: number): FileNumbers | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(`/proc/self/fdinfo/${inotify}`, "r");
  } catch {
    return undefined;
  }
  try {
    return parseWatch(fdinfoBytes.toString("latin1", 0, readSync(descriptor, fdinfoBytes)), watch);
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

const events = Buffer.alloc(EVENT_BYTES * DRAIN_EVENTS);

/** Takes off the queue that the watch has ended, so that the queue never fills. */
function drain(inotify: number): void {
  try {
    readSync(inotify, events);
  } catch {
    // Nothing is waiting.
  }
}
