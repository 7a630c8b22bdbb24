// Runs the fast gate and all tests, those that need root and a kernel in sandboxes against the built artefact, and the demo. Ends with the
// line "N passed, N failed". With words as arguments, only the test files whose path holds one of them.
//
//   bun scripts/test.ts [--lanes N] [--rounds N] [WORD...]
//     --lanes   how many files run at a time; default: two per processor
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

function refuse(why: string): never {
  console.error(`test: ${why}`);
  process.exit(EXIT_USAGE);
}

function readCommandLine() {
  try {
    return parseArgs({
      options: { lanes: { type: "string", default: String(defaultLanes()) }, rounds: { type: "string", default: "1" } },
      allowPositionals: true,
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function readCount(name: string, text: string): number {
  const count = Number(text);
  return Number.isInteger(count) && count > 0 ? count : refuse(`--${name} is "${text}", want a whole number above 0`);
}

const { values, positionals } = readCommandLine();
const [lanes, rounds] = [readCount("lanes", values.lanes), readCount("rounds", values.rounds)];
const all = [...testJobs([...SANDBOX_TESTS, ...UNIT_TESTS]), DEMO];
const jobs = positionals.length === 0 ? [GATE, ...all] : all.filter(({ name }) => positionals.some((word) => name.includes(word)));
if (jobs.length === 0) refuse(`no test file's path holds ${positionals.map((word) => `"${word}"`).join(" or ")}`);

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
