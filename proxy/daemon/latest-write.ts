// Writes asynchronously what only counts in its newest form: one write at a time, and while the disk takes its time only the
// newest content waits. So a disk that hangs costs one helper thread and blocks no request.

import type { Result } from "../core/result.ts";

type Written = Result<void, { readonly message: string }>;

export interface LatestWrite<T> {
  /** @param done - called with the result of this content; not called when a newer one took its place */
  put(content: T, done: (written: Written) => void): void;
  /** Resolves when nothing is left to write. */
  settled(): Promise<void>;
}

/** @param write - must not reject */
export function makeLatestWrite<T>(write: (content: T) => Promise<Written>): LatestWrite<T> {
  let next: { readonly content: T; readonly done: (written: Written) => void } | undefined;
  let work: Promise<void> | undefined;

  async function run(): Promise<void> {
    while (next !== undefined) {
      const { content, done } = next;
      next = undefined;
      done(await write(content));
    }
    work = undefined;
  }

  return {
    put(content, done) {
      next = { content, done };
      work ??= run();
    },
    settled: async () => work,
  };
}
