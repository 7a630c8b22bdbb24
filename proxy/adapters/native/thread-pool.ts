// The size of Bun's pool of helper threads, on which asynchronous file and library calls run. It defaults to the number of
// processors, so on a small machine two account lookups that hang would block every log write of the agent.

import { openLibc } from "./libc.ts";

/** Threads are only started when needed. */
export const POOL_THREADS = 12;

/**
 * Makes room for calls that hang. Must run before the first asynchronous file or library call of the process: Bun reads the
 * variable once, from the C environment, which assigning to `process.env` does not reach. A value set by the operator stays.
 */
export function widenThreadPool(threads: number = POOL_THREADS): void {
  openLibc().setenv("UV_THREADPOOL_SIZE", String(threads), 0);
}
