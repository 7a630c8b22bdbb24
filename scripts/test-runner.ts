// Runs jobs in processes of their own, some at a time, and counts what passed and failed. Prints one line for each job as it ends, and the whole
// output of a job that failed. What died, ran nothing or did not end has failed, whatever it printed.

import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Subprocess } from "bun";
import { EXCLUSIVE, findTestFiles, SANDBOX_TESTS, UNIT_TESTS } from "./test-folders.ts";

const ROOT = dirname(import.meta.dir);
/** Seconds that jobs took the last time, by name: those that take longest start first. */
const LAST_TIMES = join(ROOT, "build/test-seconds.json");
/** For one test; a heavy one on a busy machine stays far below. Tests that need more say so themselves. */
const TEST_LIMIT_MS = 60_000;
/** For one job: only what hangs takes so long. */
const JOB_LIMIT_MS = 15 * 60_000;
/** Until a job that was told to end is killed: longer than scripts/sandbox waits for its command. */
const END_LIMIT_MS = 15_000;
const SLOWEST_SHOWN = 10;

export interface Job {
  readonly name: string;
  readonly command: readonly string[];
  /** What its output counts: tests, as bun prints them, or the job as one test. */
  readonly counts: "tests" | "itself";
  /** Nothing else runs meanwhile. */
  readonly exclusive: boolean;
}

export interface Outcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  /** Of processors, with those of its child processes that it waited for. */
  readonly cpuSeconds: number;
  /** Standard output and error, as they came. */
  readonly output: string;
}

export interface RunOptions {
  /** How many jobs at a time. */
  readonly lanes: number;
  /** Whose lines are printed. */
  readonly show: "all" | "failed";
  readonly print: (line: string) => void;
  readonly jobLimitMs?: number;
}

/** Tests do not keep a processor busy: they wait for processes, timers and disks. */
export function defaultLanes(): number {
  return Math.ceil(availableParallelism() * 2);
}

/** One job for each test file of the folders; those of {@link SANDBOX_TESTS} in sandboxes. */
export function testJobs(folders: readonly string[]): readonly Job[] {
  return findTestFiles(folders).map((file) => ({
    name: file,
    command: [
      ...(SANDBOX_TESTS.some((folder) => file.startsWith(`${folder}/`)) ? ["scripts/sandbox"] : []),
      process.execPath,
      "test",
      "--only-failures",
      "--timeout",
      String(TEST_LIMIT_MS),
      `./${file}`,
    ],
    counts: "tests",
    exclusive: EXCLUSIVE.has(file),
  }));
}

/** Those of the fast gate. */
export function unitTestJobs(): readonly Job[] {
  return testJobs(UNIT_TESTS);
}

const running = new Set<Subprocess>();

/** A signal that ends this process ends the jobs first: sandboxes clean up then. */
export function endJobsOnSignals(): void {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)
    process.on(signal, () => {
      for (const child of running) child.kill("SIGTERM");
      process.exit(code);
    });
}

/** Runs all jobs: those that may run side by side first, then the exclusive ones, one by one. */
export async function runJobs(jobs: readonly Job[], options: RunOptions): Promise<readonly Outcome[]> {
  const folder = mkdtempSync(join(tmpdir(), "apa-tests-"));
  const outcomes: Outcome[] = [];
  let started = 0;
  const lane = async (queue: Job[]): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const outcome = await runJob(job, join(folder, String(started++)), options.jobLimitMs ?? JOB_LIMIT_MS);
      outcomes.push(outcome);
      if (outcome.failed > 0 || options.show === "all") options.print(renderOutcome(outcome));
      if (outcome.failed > 0) options.print(outcome.output);
    }
  };
  try {
    const sorted = longestFirst(jobs);
    const shared = sorted.filter(({ exclusive }) => !exclusive);
    await Promise.all(Array.from({ length: options.lanes }, () => lane(shared)));
    await lane(sorted.filter(({ exclusive }) => exclusive));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return outcomes;
}

async function runJob(job: Job, logPath: string, limitMs: number): Promise<Outcome> {
  const startedMs = performance.now();
  // A file, not a pipe: what a job leaves running would keep a pipe open, and both streams are to stay in their order.
  const log = openSync(logPath, "wx");
  const child = Bun.spawn([...job.command], { cwd: ROOT, stdin: "ignore", stdout: log, stderr: log });
  closeSync(log);
  running.add(child);
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
  }, limitMs);
  const kill = setTimeout(() => child.kill("SIGKILL"), limitMs + END_LIMIT_MS);
  await child.exited;
  clearTimeout(limit);
  clearTimeout(kill);
  running.delete(child);
  const text = readFileSync(logPath, "utf8");
  rmSync(logPath);
  const output = late ? `${text}\ndid not end within ${limitMs / 1000} s\n` : text;
  return {
    name: job.name,
    ...countOf(job, output, late ? null : child.exitCode),
    seconds: (performance.now() - startedMs) / 1000,
    cpuSeconds: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6,
    output,
  };
}

/** @param exitCode - null: a signal ended it */
function countOf(job: Job, output: string, exitCode: number | null): Pick<Outcome, "passed" | "failed"> {
  if (job.counts === "itself") return exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const passed = Number(/^\s*([0-9]+) pass$/m.exec(output)?.[1] ?? 0);
  const failed = Number(/^\s*([0-9]+) fail$/m.exec(output)?.[1] ?? 0);
  // Died, or ran nothing.
  const broken = (exitCode !== 0 && failed === 0) || passed + failed === 0;
  return { passed, failed: failed + (broken ? 1 : 0) };
}

export function sumOutcomes(outcomes: readonly Outcome[]): Pick<Outcome, "passed" | "failed"> {
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
  };
}

function renderOutcome({ name, passed, failed, seconds, cpuSeconds }: Outcome): string {
  return `${seconds.toFixed(1).padStart(6)} s (cpu ${cpuSeconds.toFixed(1).padStart(5)} s)  ${name}: ${passed} passed, ${failed} failed`;
}

/** The slowest jobs, slowest first, one a line. */
export function renderSlowest(outcomes: readonly Outcome[]): string {
  const slowest = [...outcomes].sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST_SHOWN);
  return ["slowest:", ...slowest.map(renderOutcome)].join("\n");
}

/** Those that took long the last time start first, so that none of them is left at the end; unknown ones in the order given before all. */
function longestFirst(jobs: readonly Job[]): readonly Job[] {
  const known = readLastTimes();
  const seconds = ({ name }: Job) => known[name] ?? Number.MAX_VALUE;
  return [...jobs].sort((a, b) => seconds(b) - seconds(a));
}

function readLastTimes(): Readonly<Record<string, number>> {
  try {
    return JSON.parse(readFileSync(LAST_TIMES, "utf8"));
  } catch {
    // Only an order: without it, or with one that was cut off, tests run as well.
    return {};
  }
}

/** Remembers for the next run how long jobs took. */
export function writeLastTimes(outcomes: readonly Outcome[]): void {
  const times = { ...readLastTimes(), ...Object.fromEntries(outcomes.map(({ name, seconds }) => [name, Number(seconds.toFixed(2))])) };
  mkdirSync(dirname(LAST_TIMES), { recursive: true });
  writeFileSync(LAST_TIMES, `${JSON.stringify(times, undefined, 1)}\n`);
}
