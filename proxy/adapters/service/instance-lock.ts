// One agent at a time for each key folder and each pin folder: two would take each other's records and drop each other's keys. The
// lock is on the folder itself and ends with the process, however it ends; the kernel names its holder.

import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { tryLock } from "../native/libc.ts";

export interface InstanceLock extends Disposable {
  readonly descriptor: number;
}

export interface LockError {
  readonly kind: "held" | "failed";
  /** Of the holder, as this process's pid namespace numbers it; undefined when unknown. */
  readonly pid: number | undefined;
  readonly message: string;
}

/** Locks an existing folder. Never waits. */
export function lockFolder(path: string): Result<InstanceLock, LockError> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (cause) {
    const reason = describeError(cause);
    return err({ kind: "failed", pid: undefined, message: `cannot lock "${path}": ${reason}` });
  }
  const locked = tryLock(fd);
  if (locked.ok) return ok({ descriptor: fd, [Symbol.dispose]: () => closeSync(fd) });
  const code = locked.error;
  const pid = code === "EAGAIN" ? findHolder(readLocks(), fstatSync(fd, { bigint: true })) : undefined;
  closeSync(fd);
  if (code !== "EAGAIN") return err({ kind: "failed", pid: undefined, message: `cannot lock "${path}": ${code}` });
  const who = pid === undefined ? "another azure-proxy-agent runs" : `another azure-proxy-agent runs as process ${pid}`;
  return err({ kind: "held", pid, message: `cannot start: ${who} and uses "${path}"; stop it first` });
}

/** The process in a line "1: FLOCK  ADVISORY  WRITE 1234 08:01:4711 0 EOF" of /proc/locks. */
export function findHolder(locks: string, { dev, ino }: { readonly dev: bigint; readonly ino: bigint }): number | undefined {
  const hex = (value: bigint) => value.toString(16).padStart(2, "0");
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const place = `${hex(major)}:${hex(minor)}:${ino}`;
  for (const line of locks.split("\n")) {
    const [, kind, , , pid, where] = line.split(/\s+/);
    // A holder outside of this pid namespace shows as 0 or less.
    if (kind === "FLOCK" && where === place && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

function readLocks(): string {
  try {
    return readFileSync("/proc/locks", "latin1");
  } catch {
    return "";
  }
}
