// The fast gate: build of the policy engine, format and lint, types, arrows, docs, unit tests. Stops at the first failure.
// What needs root or a kernel runs through ./scripts/test.

import { UNIT_TESTS } from "./test-folders.ts";

interface Step {
  readonly name: string;
  readonly command: readonly string[];
}

const bin = (name: string) => `node_modules/.bin/${name}`;

const STEPS: readonly Step[] = [
  { name: "policy engine", command: [process.execPath, "scripts/build-policy.ts"] },
  { name: "format and lint", command: [bin("biome"), "check", "--error-on-warnings", "."] },
  { name: "types", command: [bin("tsc"), "-p", "."] },
  { name: "arrows", command: [process.execPath, "scripts/check-arrows.ts"] },
  { name: "docs", command: [process.execPath, "scripts/check-docs.ts"] },
];

const steps = process.argv.includes("--without-tests")
  ? STEPS
  : [...STEPS, { name: "tests", command: [process.execPath, "test", "--only-failures", ...UNIT_TESTS] }];

for (const { name, command } of steps) {
  const started = performance.now();
  const run = Bun.spawnSync([...command], { cwd: `${import.meta.dir}/..`, stdout: "pipe", stderr: "pipe" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (run.exitCode !== 0) {
    process.stderr.write(run.stdout);
    process.stderr.write(run.stderr);
    console.error(`check: ${name} failed after ${seconds} s`);
    process.exit(1);
  }
  console.log(`check: ${name} ok (${seconds} s)`);
}
