// Which tests there are: the one list that the gate and ./scripts/test share. A test file in a folder of neither list would never run;
// test-folders.test.ts searches for such files.

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
