// A narrow way for calls that may hang in the kernel or in a name service: few at a time, each with a time limit. A call that
// outlives its limit cannot be stopped; it keeps its place, so that hanging calls never take more helper threads than that.

import { err, ok, type Result } from "../../core/result.ts";

export type LaneFailure =
  /** The call did not return in time; it may still be running. */
  | "late"
  /** Every place is held by a call that hangs, or too many wait. */
  | "busy";

export interface LaneOptions {
  readonly places: number;
  readonly limitMs: number;
  /** Calls that may wait for a place. */
  readonly maxWaiting: number;
}

export interface Lane {
  /**
   * Starts a call as soon as there is a place.
   * @param start - must call its argument exactly once, whenever the call returns
   * @param tooLate - gets the value of a call that returned after its limit, to release what it holds
   */
  run<Value>(start: (done: (value: Value) => void) => void, tooLate?: (value: Value) => void): Promise<Result<Value, LaneFailure>>;
}

interface Waiting {
  readonly start: () => void;
  readonly refuse: () => void;
}

/** Waiting for a place counts towards a call's limit. */
export function makeLane(options: LaneOptions): Lane {
  const waiting: Waiting[] = [];
  let held = 0;
  let hanging = 0;

  function leave(): void {
    held -= 1;
    waiting.shift()?.start();
  }

  function refuseAllWhenStuck(): void {
    if (hanging < options.places) return;
    for (const one of waiting.splice(0)) one.refuse();
  }

  return {
    run<Value>(start: (done: (value: Value) => void) => void, tooLate?: (value: Value) => void) {
      return new Promise<Result<Value, LaneFailure>>((resolve) => {
        let state: "waiting" | "running" | "hanging" | "over" = "waiting";
        const settle = (result: Result<Value, LaneFailure>) => {
          clearTimeout(timer);
          resolve(result);
        };
        const onReturn = (value: Value) => {
          if (state === "hanging") {
            hanging -= 1;
            tooLate?.(value);
          } else {
            settle(ok(value));
          }
          state = "over";
          leave();
        };
        const entry: Waiting = {
          start: () => {
            held += 1;
            state = "running";
            start(onReturn);
          },
          refuse: () => {
            state = "over";
            settle(err("busy"));
          },
        };
        const timer = setTimeout(() => {
          if (state === "waiting") {
            waiting.splice(waiting.indexOf(entry), 1);
            state = "over";
          } else {
            hanging += 1;
            state = "hanging";
            refuseAllWhenStuck();
          }
          resolve(err("late"));
        }, options.limitMs);
        if (held < options.places) entry.start();
        else if (hanging >= options.places || waiting.length >= options.maxWaiting) entry.refuse();
        else waiting.push(entry);
      });
    },
  };
}
