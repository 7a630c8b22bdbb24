// The order in which callers are identified. A user has so many identifications at once; further ones wait in that user's own queue, so
// that a flood of one user's connections never delays another user's. A connection that ends while it waits costs nothing.

import type { Caller } from "../../core/request/caller.ts";

export interface IdentifyTurns {
  /**
   * Runs `start` when it is this user's turn.
   * @param isWanted - called when the turn comes
   * @returns undefined when it was no longer wanted by then
   */
  run(uid: number, isWanted: () => boolean, start: () => Promise<Caller>): Promise<Caller | undefined>;
}

/** Enough for one user to keep the helper threads busy. */
const AT_ONCE = 8;
const ROOT = 0;

interface Waiting {
  readonly isWanted: () => boolean;
  readonly start: () => Promise<Caller>;
  readonly resolve: (caller: Caller | undefined | Promise<Caller>) => void;
}

interface Line {
  running: number;
  readonly waiting: Waiting[];
}

export function makeIdentifyTurns(): IdentifyTurns {
  const lines = new Map<number, Line>();

  function begin(uid: number, line: Line, start: () => Promise<Caller>): Promise<Caller> {
    line.running++;
    const started = start();
    const ended = () => {
      line.running--;
      beginNext(uid, line);
    };
    started.then(ended, ended);
    return started;
  }

  function beginNext(uid: number, line: Line): void {
    for (let next = line.waiting.shift(); next !== undefined; next = line.waiting.shift()) {
      if (next.isWanted()) {
        next.resolve(begin(uid, line, next.start));
        return;
      }
      next.resolve(undefined);
    }
    if (line.running === 0) lines.delete(uid);
  }

  return {
    run(uid, isWanted, start) {
      // The VM's own agents are root: they never wait.
      if (uid === ROOT) return start();
      const line = lines.get(uid) ?? { running: 0, waiting: [] };
      lines.set(uid, line);
      if (line.running < AT_ONCE) return begin(uid, line, start);
      return new Promise((resolve) => {
        line.waiting.push({ isWanted, start, resolve });
      });
    },
  };
}
