// SHA-256 of the file that a process runs. The file is reached through the process, never through a path, and must be the
// one that was proven to be the pinned executable. Each content is read once, in small pieces, beside the requests: a file
// system that hangs costs a hash, never a request of somebody else.

import { createHash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { open } from "node:fs/promises";
import type { ExecutableId } from "../../core/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { RunningExecutable } from "./executable.ts";
import { sameNumbers } from "./inode.ts";
import { type LaneOptions, makeLane } from "./lane.ts";
import { type FileStamp, O_CLOEXEC, O_PATH, stampOf } from "./libc.ts";
import type { ProcessHandle } from "./process.ts";

export interface HashOptions {
  /** Wall clock, milliseconds since 1970: compared with the change times of files. */
  readonly nowMs: () => number;
  /** Larger files have no hash. Default 512 MiB. */
  readonly maxFileBytes?: number;
  /** For everything from waiting for a place to the last byte. Default 5000. */
  readonly limitMs?: number;
}

export interface HashQuestion {
  readonly process: ProcessHandle;
  /** As {@link readExecutable} found it. */
  readonly executable: RunningExecutable;
  readonly pinned: ExecutableId;
  /** The file is also reachable by its path. Others are read one at a time, so that they do not hold up these. */
  readonly reachable: boolean;
}

/** Lower-case hex, or why it is unknown. */
export type HashExecutable = (question: HashQuestion) => Promise<Result<string, string>>;

const MAX_FILE_BYTES = 512 * 1024 * 1024;
const LIMIT_MS = 5_000;
const MAX_WAITING = 256;
/** Hashing one piece holds the event loop for a fraction of a millisecond. */
const PIECE_BYTES = 256 * 1024;
const MAX_KNOWN = 256;
/** Two changes within one tick of the kernel's clock leave one time: what changed just now is read again next time. */
const SETTLED_NS = 2_000_000_000n;
/** Without O_NONBLOCK, opening a file with a lease on it would wait for the lease's holder. */
const OPEN_TO_READ = constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC;

interface Abort {
  aborted: boolean;
}

export function makeExecutableHashes(options: HashOptions): HashExecutable {
  const { nowMs, maxFileBytes = MAX_FILE_BYTES, limitMs = LIMIT_MS } = options;
  const lane = (places: number): LaneOptions => ({ places, limitMs, maxWaiting: MAX_WAITING });
  const lanes = { reachable: makeLane(lane(2)), other: makeLane(lane(1)) };
  const known = new Map<string, string>();
  /** Being read now, and what comes of it. A file that hangs stays here, so that it is not read a second time. */
  const reading = new Map<string, Promise<Result<string, string>>>();

  return async ({ process, executable, pinned, reachable }) => {
    const descriptor = openRunning(process);
    if (descriptor === undefined) return err(`cannot open the executable of process ${process.pid}`);
    const stamp = stampOf(descriptor);
    const trouble =
      stamp === undefined || !sameNumbers(stamp, executable.numbers)
        ? `the executable of process ${process.pid} changed before it was hashed`
        : stamp.sizeBytes > BigInt(maxFileBytes)
          ? `the executable of process ${process.pid} is too large to be hashed: found ${stamp.sizeBytes} bytes, want at most ${maxFileBytes}`
          : undefined;
    if (stamp === undefined || trouble !== undefined) {
      closeSync(descriptor);
      return err(trouble ?? "");
    }
    const key = [pinned.device, pinned.inode, pinned.inodeGeneration, ...Object.values(stamp)].join(":");
    const before = known.get(key);
    const running = reading.get(key);
    if (before !== undefined || running !== undefined) {
      closeSync(descriptor);
      return before === undefined ? (running ?? err("")) : ok(before);
    }
    const fresh = start(descriptor, stamp, key, reachable ? "reachable" : "other");
    reading.set(key, fresh);
    return fresh;
  };

  /** Owns the descriptor from here on. */
  async function start(descriptor: number, stamp: FileStamp, key: string, by: keyof typeof lanes): Promise<Result<string, string>> {
    const settled = stamp.changedNs + SETTLED_NS < BigInt(Math.trunc(nowMs())) * 1_000_000n;
    const abort: Abort = { aborted: false };
    let started = false;
    const leave = () => {
      closeSync(descriptor);
      reading.delete(key);
    };
    const hashed = await lanes[by].run<Result<string, string>>((done) => {
      started = true;
      void readHash(descriptor, stamp, abort)
        .catch((cause: unknown) => err(`cannot read the executable: ${cause instanceof Error ? cause.message : String(cause)}`))
        .then((result) => {
          leave();
          done(result);
        });
    });
    if (!started) leave();
    if (!hashed.ok) {
      abort.aborted = true;
      return err(`the executable could not be hashed within ${limitMs} ms`);
    }
    if (hashed.value.ok && settled) remember(key, hashed.value.value);
    return hashed.value;
  }

  function remember(key: string, hash: string): void {
    for (const oldest of known.keys()) {
      if (known.size < MAX_KNOWN) break;
      known.delete(oldest);
    }
    known.set(key, hash);
  }
}

function openRunning(process: ProcessHandle): number | undefined {
  try {
    return openSync(`${process.folder}/exe`, O_PATH | O_CLOEXEC);
  } catch {
    return undefined;
  }
}

/** Opens the very file behind the descriptor and reads it to its end. What changed meanwhile has no hash. */
async function readHash(descriptor: number, stamp: FileStamp, abort: Abort): Promise<Result<string, string>> {
  const file = await open(`/proc/self/fd/${descriptor}`, OPEN_TO_READ);
  try {
    const hash = createHash("sha256");
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    let length = 0n;
    while (length <= stamp.sizeBytes) {
      if (abort.aborted) return err("given up");
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, null);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      length += BigInt(bytesRead);
    }
    const after = stampOf(file.fd);
    const same = after !== undefined && length === stamp.sizeBytes && sameStamp(after, stamp);
    return same ? ok(hash.digest("hex")) : err("the executable changed while it was hashed");
  } finally {
    await file.close();
  }
}

function sameStamp(one: FileStamp, other: FileStamp): boolean {
  return (
    sameNumbers(one, other) && one.sizeBytes === other.sizeBytes && one.modifiedNs === other.modifiedNs && one.changedNs === other.changedNs
  );
}
