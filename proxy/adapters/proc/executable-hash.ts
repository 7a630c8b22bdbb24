// SHA-256 of the file that a process runs. The file is reached through the process, never through a path, and must be the
// one that was verified to be the pinned executable. Each content is read once, by another process and in shares of the users: what
// one user's programs cost, in size, number or time, costs no other user a hash and delays no request.

import { closeSync, openSync } from "node:fs";
import type { ExecutableId } from "../../core/request/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { makeFairSlots } from "../../core/tally/fair-slots.ts";
import type { RunningExecutable } from "./executable.ts";
import { type FileHash, type HashProcess, makeHashProcess } from "./hash-process.ts";
import { sameNumbers } from "./inode.ts";
import { type Lane, makeLane } from "./lane.ts";
import { type FileStamp, O_CLOEXEC, O_PATH, stampOf } from "./libc.ts";
import type { ProcessHandle } from "./process.ts";

export interface HashOptions {
  /** Wall clock, milliseconds since 1970: compared with the change times of files. */
  readonly nowMs: () => number;
  /** Starts a process that hashes files ({@link serveHashes}); a word for whom is added. */
  readonly command: readonly string[];
  /** Larger files have no hash. Default 512 MiB. */
  readonly maxFileBytes?: number;
  /** For everything from waiting for a place to the last byte. Default 5000. */
  readonly limitMs?: number;
  /** How long a process may have nothing to do. Default 10 s. */
  readonly idleMs?: number;
  /** Hashes remembered, in places that users share; of the user with the most, that of the smallest file gives way. Default 512. */
  readonly maxKnown?: number;
}

export interface HashQuestion {
  readonly process: ProcessHandle;
  /** Of the caller: whose share it takes. */
  readonly userId: number;
  /** As {@link readExecutable} found it. */
  readonly executable: RunningExecutable;
  readonly pinned: ExecutableId;
}

/** Lower-case hex, or why it is unknown. */
export type HashExecutable = (question: HashQuestion) => Promise<Result<string, string>>;

/** For whom a process hashes: root's has work of root's only, and is not made to wait for processors either. */
export type HashSide = "root" | "others";

const MAX_FILE_BYTES = 512 * 1024 * 1024;
const LIMIT_MS = 5_000;
const IDLE_MS = 10_000;
const MAX_WAITING = 256;
/** Files that are read side by side, by each process. */
const PLACES = 8;
const MAX_KNOWN = 512;
/** Two changes within one tick of the kernel's clock leave one time: what changed just now is read again next time. */
const SETTLED_NS = 2_000_000_000n;

interface Known {
  readonly hash: string;
  readonly sizeBytes: number;
}

interface Side {
  readonly lane: Lane;
  readonly process: HashProcess;
}

export function makeExecutableHashes(options: HashOptions): HashExecutable {
  const { nowMs, command, maxFileBytes = MAX_FILE_BYTES, limitMs = LIMIT_MS, idleMs = IDLE_MS, maxKnown = MAX_KNOWN } = options;
  const side = (name: HashSide, perUser: number): Side => ({
    lane: makeLane({ places: PLACES, limitMs, maxWaiting: MAX_WAITING, perUser }),
    process: makeHashProcess({ command: [...command, name], idleMs }),
  });
  // One file of a user at a time: what it hashes in turn never stands before another user's.
  const sides: Readonly<Record<HashSide, Side>> = { root: side("root", PLACES), others: side("others", 1) };
  const known = makeFairSlots<Known>(maxKnown, ({ sizeBytes }) => sizeBytes);
  /** Being read now, by user and content: no call waits in the queue of another user. */
  const reading = new Map<string, Promise<Result<string, string>>>();

  return async ({ process, userId, executable, pinned }) => {
    const descriptor = openRunning(process);
    if (descriptor === undefined) return err(`cannot open the executable of process ${process.pid}`);
    const stamp = stampOf(descriptor);
    const doubt =
      stamp === undefined || !sameNumbers(stamp, executable.numbers)
        ? `the executable of process ${process.pid} changed before it was hashed`
        : stamp.sizeBytes > BigInt(maxFileBytes)
          ? `the executable of process ${process.pid} is larger than ${maxFileBytes} bytes and so has no hash: found ${stamp.sizeBytes} bytes`
          : undefined;
    if (stamp === undefined || doubt !== undefined) {
      closeSync(descriptor);
      return err(doubt ?? "");
    }
    const key = [pinned.device, pinned.inode, pinned.inodeGeneration, ...Object.values(stamp)].join(":");
    const before = known.get(key);
    const readingKey = `${userId} ${key}`;
    const running = reading.get(readingKey);
    if (before !== undefined || running !== undefined) {
      closeSync(descriptor);
      return before === undefined ? (running ?? err("")) : ok(before.hash);
    }
    const fresh = start(descriptor, stamp, userId).then((result) => {
      closeSync(descriptor);
      reading.delete(readingKey);
      if (result.ok && result.value.settled && known.get(key) === undefined)
        known.add(key, String(userId), { hash: result.value.hash, sizeBytes: Number(stamp.sizeBytes) });
      return result.ok ? ok(result.value.hash) : result;
    });
    reading.set(readingKey, fresh);
    return fresh;
  };

  /** The descriptor must stay open until the promise is fulfilled. */
  async function start(
    descriptor: number,
    stamp: FileStamp,
    userId: number,
  ): Promise<Result<{ readonly hash: string; readonly settled: boolean }, string>> {
    const settled = stamp.changedNs + SETTLED_NS < BigInt(Math.trunc(nowMs())) * 1_000_000n;
    const { lane, process } = sides[userId === 0 ? "root" : "others"];
    let giveUp: (() => void) | undefined;
    let leave: ((found: Result<FileHash, string>) => void) | undefined;
    const hashed = await lane.run<Result<FileHash, string>>(userId, (done) => {
      leave = done;
      giveUp = process.start(descriptor, Number(stamp.sizeBytes), done);
    });
    if (!hashed.ok) {
      // Its process is ended with the last file that it reads, so the place is free.
      giveUp?.();
      leave?.(err("given up"));
      return err(
        hashed.error === "late"
          ? `the executable could not be hashed within ${limitMs} ms`
          : "the executable could not be hashed: too many of this user wait, or one hangs",
      );
    }
    if (!hashed.value.ok) return hashed.value;
    const { lengthBytes, sha256 } = hashed.value.value;
    const after = stampOf(descriptor);
    const same = after !== undefined && BigInt(lengthBytes) === stamp.sizeBytes && sameStamp(after, stamp);
    return same ? ok({ hash: sha256, settled }) : err("the executable changed while it was hashed");
  }
}

function openRunning(process: ProcessHandle): number | undefined {
  try {
    return openSync(`${process.folder}/exe`, O_PATH | O_CLOEXEC);
  } catch {
    return undefined;
  }
}

function sameStamp(one: FileStamp, other: FileStamp): boolean {
  return (
    sameNumbers(one, other) && one.sizeBytes === other.sizeBytes && one.modifiedNs === other.modifiedNs && one.changedNs === other.changedNs
  );
}
