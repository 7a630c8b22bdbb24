// Which tests there are and how they run: the one list that the gate and ./scripts/test share. A test file in a folder of neither list
// would never run; test-folders.test.ts looks for such files.

import { Glob } from "bun";

const ROOT = `${import.meta.dir}/..`;

/** Folders whose tests need neither root nor a sandbox. */
export const UNIT_TESTS: readonly string[] = [
  "proxy",
  "policy-wasm",
  "test/cli",
  "host-simulator",
  "test/conformance",
  "test/policy",
  "test/policy-modules",
  "test/monitoring",
  "scripts",
];

/** Folders whose tests need root and a kernel; each file gets a sandbox of its own. */
export const SANDBOX_TESTS: readonly string[] = ["test/e2e"];

/** Files beside which nothing else may run, and what each of them would disturb or be disturbed by. */
export const EXCLUSIVE: ReadonlyMap<string, string> = new Map([
  [
    "test/e2e/attacks/idle-connections.test.ts",
    "sixteen attackers take all processors for seconds, and root is served only as fast as the agent gets one",
  ],
]);

/** The test files of these folders, sorted. */
export function findTestFiles(folders: readonly string[]): readonly string[] {
  return folders.flatMap((folder) => [...new Glob(`${folder}/**/*.test.ts`).scanSync({ cwd: ROOT })].sort());
}
