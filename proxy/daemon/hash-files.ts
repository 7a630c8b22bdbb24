// The process that the daemon starts to hash executables of callers: paths on standard input, hashes on standard output, until
// the input ends. It ranks below the daemon: killed first when memory is short, and at low priority when it hashes for users other than root.

import { writeFileSync, writeSync } from "node:fs";
import { setPriority } from "node:os";
import { serveHashes } from "../adapters/proc/hash-service.ts";
import { EXIT } from "../exit-code.ts";

const STRANGERS_NICE = 10;
const KILLED_FIRST = "500";

/** @param argv - for whom: `root`, or `others`, whose files keep no processor from anybody */
export async function hashFilesForDaemon(argv: readonly string[]): Promise<number> {
  if (argv[0] !== "root" && argv[0] !== "others") return EXIT.usage;
  try {
    writeFileSync("/proc/self/oom_score_adj", KILLED_FIRST);
    if (argv[0] === "others") setPriority(STRANGERS_NICE);
  } catch {
    // A sandbox that forbids it: hashes are as right without.
  }
  await serveHashes(Bun.stdin.stream(), (line) => writeSync(1, line), `/proc/${process.ppid}/fd`);
  // Reads that hang would keep it alive.
  process.exit(EXIT.ok);
}
