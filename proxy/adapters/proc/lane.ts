// A narrow way for calls that may hang in the kernel or in a name service: few at a time, each with a time limit. A call that
// outlives its limit cannot be stopped; it keeps its place, so that hanging calls never take more helper threads than that.
// Users share the places and the queue: no user holds more than its share of places, one place is root's alone, and what one
// user queues never stands before another user's next call.

import { err, ok, type Result } from "../../core/result.ts";

export type LaneFailure =
  /** The call did not return in time; it may still be running. */
  | "late"
  /** Every place that this user may have is held by a call that hangs, or too many wait. */
  | "busy";

export interface LaneOptions {
  readonly places: number;
  readonly limitMs: number;
  /** Calls that may wait for a place. When all of these are taken, the newest call of the user with the most gives way. */
  readonly maxWaiting: number;
  /** Places that one user other than root may hold. Default: half of what root does not keep, at least 1. */
  readonly perUser?: number;
}

export interface Lane {
  /**
   * Starts a call as soon as there is a place for its user.
   * @param userId - on whose behalf; 0 goes before all others
   * @param start - must call its argument exactly once, whenever the call returns
   * @param tooLate - gets the value of a call that returned after its limit, to release what it holds
   */
  run<Value>(
    userId: number,
    start: (done: (value: Value) => void) => void,
    tooLate?: (value: Value) => void,
  ): Promise<Result<Value, LaneFailure>>;
}

const ROOT = 0;
/** A timer that is this late shows a stall, not a slow call. A call gets its limit again after each, so many times. */
const STALL_MS = 10;
const MAX_STALLS = 5;

interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

interface User {
  readonly id: number;
  held: number;
  hanging: number;
  readonly waiting: Waiting[];
}

/** Waiting for a place counts towards a call's limit. */
export function makeLane(options: LaneOptions): Lane {
  const { places, limitMs, maxWaiting } = options;
  /** Neither root nor the others together can hold the last place of the other side; with a single place there are no sides. */
  const perSide = Math.max(1, places - 1);
  const perUser = options.perUser ?? Math.max(1, Math.floor(perSide / 2));
  /** Those with a call that runs or waits; who was served goes to the end. */
  const users = new Map<number, User>();
  const others = { held: 0, hanging: 0 };
  let held = 0;
  let waiting = 0;
  let starting = false;

  function userOf(id: number): User {
    const known = users.get(id) ?? { id, held: 0, hanging: 0, waiting: [] };
    users.set(id, known);
    return known;
  }

  function forget(user: User): void {
    if (user.held === 0 && user.waiting.length === 0) users.delete(user.id);
  }

  function mayStart(user: User): boolean {
    if (held >= places) return false;
    return user.id === ROOT ? user.held < perSide : others.held < perSide && user.held < perUser;
  }

  /** No place that this user may have will become free before a call that hangs returns. */
  function isStuck(user: User): boolean {
    if (user.id === ROOT) return user.hanging >= perSide;
    return user.hanging >= perUser || others.hanging >= perSide;
  }

  /** Behind all who wait. */
  function moveToEnd(user: User): void {
    users.delete(user.id);
    users.set(user.id, user);
  }

  function take(user: User): void {
    moveToEnd(user);
    held += 1;
    user.held += 1;
    if (user.id !== ROOT) others.held += 1;
  }

  function leave(user: User): void {
    held -= 1;
    user.held -= 1;
    if (user.id !== ROOT) others.held -= 1;
    moveToEnd(user);
    forget(user);
    startNext();
  }

  function startNext(): void {
    // A call that returns at once comes back here: the loop below goes on with its place, so that no stack grows.
    if (starting) return;
    starting = true;
    const root = users.get(ROOT);
    while (root !== undefined && startOne(root));
    // Passed over are only those who hold their share, and these are no more than there are places.
    for (const user of users.values()) {
      if (held >= places || others.held >= perSide) break;
      if (user.id !== ROOT) startOne(user);
    }
    starting = false;
  }

  function startOne(user: User): boolean {
    if (user.waiting.length === 0 || !mayStart(user)) return false;
    waiting -= 1;
    user.waiting.shift()?.start();
    return true;
  }

  function addHanging(user: User, count: 1 | -1): void {
    user.hanging += count;
    if (user.id !== ROOT) others.hanging += count;
  }

  function refuseStuck(): void {
    for (const user of users.values()) {
      if (user.waiting.length === 0 || !isStuck(user)) continue;
      waiting -= user.waiting.length;
      for (const one of user.waiting.splice(0)) one.refuse();
      forget(user);
    }
  }

  /** Whose newest call gives way to one more of `arriving`: root's never does to another's. */
  function fullest(arriving: User): User {
    let found = arriving;
    for (const user of users.values()) {
      if (user.id === ROOT) continue;
      if (user.waiting.length > found.waiting.length || (arriving.id === ROOT && found.id === ROOT && user.waiting.length > 0))
        found = user;
    }
    return found;
  }

  function enqueue(user: User, entry: Waiting): void {
    if (waiting >= maxWaiting) {
      const loser = fullest(user);
      const last = loser === user ? undefined : loser.waiting.pop();
      if (last === undefined) {
        entry.refuse();
        forget(user);
        return;
      }
      waiting -= 1;
      last.refuse();
      forget(loser);
    }
    waiting += 1;
    user.waiting.push(entry);
  }

  return {
    run<Value>(userId: number, start: (done: (value: Value) => void) => void, tooLate?: (value: Value) => void) {
      return new Promise<Result<Value, LaneFailure>>((resolve) => {
        const user = userOf(userId);
        let state: "waiting" | "running" | "hanging" | "over" = "waiting";
        const settle = (result: Result<Value, LaneFailure>) => {
          clearTimeout(timer);
          resolve(result);
        };
        const onReturn = (value: Value) => {
          if (state === "hanging") {
            addHanging(user, -1);
            tooLate?.(value);
          } else {
            settle(ok(value));
          }
          state = "over";
          leave(user);
        };
        const entry: Waiting = {
          start: () => {
            take(user);
            state = "running";
            start(onReturn);
          },
          refuse: () => {
            state = "over";
            settle(err("busy"));
          },
        };
        let stalls = 0;
        const onLimit = () => {
          // The timer itself came late: the process or its loop stood still, and so may what the call brought wait to be delivered.
          const lateMs = performance.now() - armedMs - limitMs;
          if (lateMs > STALL_MS && stalls < MAX_STALLS) {
            stalls += 1;
            arm();
            return;
          }
          if (state === "waiting") {
            user.waiting.splice(user.waiting.indexOf(entry), 1);
            waiting -= 1;
            state = "over";
            forget(user);
          } else {
            addHanging(user, 1);
            state = "hanging";
            refuseStuck();
          }
          resolve(err("late"));
        };
        let armedMs = 0;
        let timer: ReturnType<typeof setTimeout>;
        const arm = () => {
          armedMs = performance.now();
          timer = setTimeout(onLimit, limitMs);
        };
        arm();
        if (mayStart(user)) entry.start();
        else if (isStuck(user)) {
          entry.refuse();
          forget(user);
        } else enqueue(user, entry);
      });
    },
  };
}
