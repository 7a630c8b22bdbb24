// Rate limit for log lines that callers cause. A caller that repeats the same request, or floods the log with ever new
// ones, gets its first lines and then one that counts the rest; other users' lines are not affected. Nothing is dropped
// without being counted in a line, and memory is bounded.

import { type Evicted, makeFairSlots } from "./fair-slots.ts";

/** What a line counts in addition to itself. */
export interface Repeats {
  /** So many equal ones, itself included. */
  readonly repeated?: number;
  /** So many others of the same user and outcome, which have no line. */
  readonly unlisted?: number;
}

export interface LineToWrite {
  /** Whose share of lines it counts in. */
  readonly user: string;
  /** Lines with the same key are equal but for time and ids. */
  readonly key: string;
  /** What lines of a user that floods the log are counted by: few different ones, not for the caller to choose. */
  readonly outcome: string;
  /** Makes what is kept of a line that is left out; what it returns writes it later. */
  readonly keep: () => (repeats: Repeats) => void;
}

export interface LineLimit {
  /** True: write it now. False: it is left out, and {@link LineLimit.settle} reports it later. */
  admit(line: LineToWrite): boolean;
  /**
   * Flushes what was left out in windows that are over.
   * @param all - in those that are not over, too
   * @returns milliseconds until the next flush is due; undefined when nothing waits
   */
  settle(all?: boolean): number | undefined;
}

export const LINE_LIMITS = {
  windowMs: 10_000,
  /** Of equal lines in one window. */
  equal: 10,
  /** Of one user in one window, before its lines are counted by outcome. */
  perUser: 500,
  slots: 512,
  users: 1024,
} as const;

interface Window {
  startedMs: number;
  written: number;
}

interface Slot extends Window {
  readonly byOutcome: boolean;
  leftOut: number;
  write: ((repeats: Repeats) => void) | undefined;
}

/** @param nowMs - monotonic */
export function makeLineLimit(nowMs: () => number, limits = LINE_LIMITS): LineLimit {
  const slots = makeFairSlots<Slot>(limits.slots, ({ leftOut }) => leftOut);
  const users = new Map<string, Window>();

  function isOver({ startedMs }: Window, now: number): boolean {
    return now - startedMs >= limits.windowMs;
  }

  function flush({ byOutcome, leftOut, write }: Slot): void {
    if (leftOut === 0) return;
    // By outcome the requests differ: one of them has its line, the others are only counted.
    write?.(byOutcome ? { unlisted: leftOut - 1 } : { repeated: leftOut });
  }

  function windowOf(user: string, now: number): Window {
    let window = users.get(user);
    if (window === undefined) {
      if (users.size >= limits.users) for (const [name, each] of users) if (isOver(each, now)) users.delete(name);
      // More users at once than are remembered one by one share a window.
      const name = users.size < limits.users ? user : "";
      window = users.get(name) ?? { startedMs: now, written: 0 };
      users.set(name, window);
    }
    if (isOver(window, now)) Object.assign(window, { startedMs: now, written: 0 });
    return window;
  }

  function slotOf(key: string, user: string, byOutcome: boolean, now: number): Slot {
    const known = slots.get(key);
    if (known !== undefined) {
      if (!isOver(known, now)) return known;
      slots.delete(key);
      flush(known);
    }
    const slot: Slot = { byOutcome, startedMs: now, written: 0, leftOut: 0, write: undefined };
    const evicted: Evicted<Slot> | undefined = slots.add(key, user, slot);
    if (evicted !== undefined) flush(evicted.entry);
    return slot;
  }

  return {
    admit({ user, key, outcome, keep }) {
      const now = nowMs();
      const window = windowOf(user, now);
      const byOutcome = window.written >= limits.perUser;
      const slot = slotOf(byOutcome ? `o\0${user}\0${outcome}` : `k\0${user}\0${key}`, user, byOutcome, now);
      if (slot.written < limits.equal) {
        slot.written++;
        window.written++;
        return true;
      }
      slot.leftOut++;
      slot.write ??= keep();
      return false;
    },
    settle(all = false) {
      const now = nowMs();
      let nextMs: number | undefined;
      for (const [key, slot] of slots.entries()) {
        if (all || isOver(slot, now)) {
          slots.delete(key);
          flush(slot);
        } else if (slot.leftOut > 0) {
          nextMs = Math.min(nextMs ?? Number.POSITIVE_INFINITY, slot.startedMs + limits.windowMs - now);
        }
      }
      return nextMs;
    },
  };
}
