// Returns memory that an idle agent does not need. Loading the kernel programs, compiling rules and bursts of requests touch code and
// heap that it may never use again; while mapped, the kernel keeps them rather than something of use.

import { readFileSync } from "node:fs";
import { openLibc } from "./libc.ts";

const MADV_DONTNEED = 4;

/** A range of addresses. */
export interface Mapping {
  readonly start: bigint;
  readonly bytes: bigint;
}

/**
 * Unmaps the pages of the program's own code and returns free heap to the kernel. Code that is used again comes back from the
 * page cache by itself, one page fault at a time.
 */
export function releaseIdleMemory(): void {
  Bun.gc(true);
  const libc = openLibc();
  libc.malloc_trim(0);
  const code = findUntouchedCode(readFileSync("/proc/self/smaps", "utf8"), process.execPath);
  unmapCode = () => {
    for (const { start, bytes } of code) libc.madvise(start, bytes, MADV_DONTNEED);
  };
  unmapCode();
}

let unmapCode = (): void => {};

/** Only the code, as {@link releaseIdleMemory} found it last: cheap enough for every poll. Before the first release it does nothing. */
export function releaseIdleCode(): void {
  unmapCode();
}

/**
 * The mappings of a file's code of which no page was ever written to.
 * INVARIANT: only such pages may be dropped, because they are read again from the file: not those of read-only data, which
 * the loader and the runtime write before they protect them, and not code that a debugger has changed.
 */
export function findUntouchedCode(smaps: string, path: string): readonly Mapping[] {
  const found: Mapping[] = [];
  let current: Mapping | undefined;
  for (const line of smaps.split("\n")) {
    // "START-END r-xp OFFSET MAJOR:MINOR INODE   PATH", then a line "Name:   N kB" for each figure.
    const header = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+\s*(.*)$/.exec(line);
    if (header !== null) {
      const start = BigInt(`0x${header[1]}`);
      current = header[3] === "r-xp" && header[4] === path ? { start, bytes: BigInt(`0x${header[2]}`) - start } : undefined;
    } else if (current !== undefined && /^Anonymous:\s+0 kB$/.test(line)) found.push(current);
  }
  return found;
}
