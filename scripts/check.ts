// The fast gate: build of the policy engine, format and lint, types, arrows, docs, unit tests. Stops at the first failure.
// What needs root or a kernel runs through ./scripts/test.

import { defaultLanes, endJobsOnSignals, renderSlowest, runJobs, sumOutcomes, unitTestJobs, writeLastTimes } from "./test-runner.ts";

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

for (const { name, command } of STEPS) {
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

if (!process.argv.includes("--without-tests")) {
  const started = performance.now();
  endJobsOnSignals();
  const outcomes = await runJobs(unitTestJobs(), { lanes: defaultLanes(), show: "failed", print: (line) => console.log(line) });
  writeLastTimes(outcomes);
  const { passed, failed } = sumOutcomes(outcomes);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (failed > 0) {
    console.error(`check: tests failed after ${seconds} s: ${passed} passed, ${failed} failed`);
    process.exit(1);
  }
  console.log(renderSlowest(outcomes));
  console.log(`check: tests ok (${seconds} s, ${passed} passed)`);
}
