// Runs the fast gate and all tests, those that need root and a kernel in sandboxes against the built artefact, and the demo. Ends with the
// line "N passed, N failed". With words as arguments, only the test files whose path holds one of them.
//
//   bun scripts/test.ts [--lanes N] [--rounds N] [WORD...]
//     --lanes   how many files run at a time; default: one and a half per processor
//     --rounds  runs the tests so many times, to find those that fail now and then; stops after a round with a failure

import { parseArgs } from "node:util";
import { SANDBOX_TESTS, UNIT_TESTS } from "./test-folders.ts";
import { defaultLanes, endJobsOnSignals, type Job, renderSlowest, runJobs, sumOutcomes, testJobs, writeLastTimes } from "./test-runner.ts";

const EXIT_USAGE = 64;

const GATE: Job = {
  name: "gate (format, lint, types, arrows, docs)",
  command: [process.execPath, "scripts/check.ts", "--without-tests"],
  counts: "itself",
  exclusive: false,
};
/** The demo checks what it shows; here it counts as one test. */
const DEMO: Job = {
  name: "demo",
  command: ["scripts/sandbox", process.execPath, "test/demo/main.ts"],
  counts: "itself",
  exclusive: false,
};

const { values, positionals } = parseArgs({
  options: { lanes: { type: "string", default: String(defaultLanes()) }, rounds: { type: "string", default: "1" } },
  allowPositionals: true,
});
const [lanes, rounds] = [Number(values.lanes), Number(values.rounds)];
const all = [...testJobs([...SANDBOX_TESTS, ...UNIT_TESTS]), DEMO];
const jobs = positionals.length === 0 ? [GATE, ...all] : all.filter(({ name }) => positionals.some((word) => name.includes(word)));
if (jobs.length === 0 || !Number.isInteger(lanes) || lanes < 1 || !Number.isInteger(rounds) || rounds < 1) {
  console.error(
    jobs.length === 0 ? `no test file's path holds ${positionals.join(" or ")}` : "want whole numbers above 0 for --lanes and --rounds",
  );
  process.exit(EXIT_USAGE);
}

endJobsOnSignals();
let [passed, failed] = [0, 0];
for (let round = 1; round <= rounds && failed === 0; round += 1) {
  const startedMs = performance.now();
  const outcomes = await runJobs(jobs, { lanes, show: "all", print: (line) => console.log(line) });
  writeLastTimes(outcomes);
  console.log(renderSlowest(outcomes));
  const cpu = outcomes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  console.log(
    `round ${round}: ${((performance.now() - startedMs) / 1000).toFixed(0)} s, cpu ${cpu.toFixed(0)} s, ${lanes} files at a time`,
  );
  const sum = sumOutcomes(outcomes);
  [passed, failed] = [passed + sum.passed, failed + sum.failed];
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
