import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXCLUSIVE, findTestFiles, SANDBOX_TESTS, UNIT_TESTS } from "./test-folders.ts";
import { type Job, type Outcome, renderSlowest, runJobs, sumOutcomes, testJobs, unitTestJobs } from "./test-runner.ts";

function job(name: string, script: string, more: Partial<Job> = {}): Job {
  return { name, command: ["sh", "-c", script], counts: "tests", exclusive: false, ...more };
}

async function run(jobs: readonly Job[], { lanes = 2, jobLimitMs = 60_000, show = "all" as "all" | "failed" } = {}) {
  const printed: string[] = [];
  const outcomes = await runJobs(jobs, { lanes, jobLimitMs, show, print: (line) => void printed.push(line) });
  return { printed: printed.join("\n"), outcomes, sum: sumOutcomes(outcomes) };
}

describe("runJobs", () => {
  test("adds up what bun's summaries say", async () => {
    const { sum } = await run([job("a", "echo ' 12 pass'; echo ' 0 fail'"), job("b", "echo ' 3 pass'; echo ' 2 fail'; exit 1")]);
    expect(sum).toEqual({ passed: 15, failed: 2 });
  });

  test.each([
    ["ran nothing", "true"],
    ["died before its summary", "echo working; exit 1"],
    ["died of a signal", "kill -KILL $$"],
    ["died after its summary, with no test that failed", "echo ' 5 pass'; echo ' 0 fail'; exit 3"],
    ["ended well without a test", "echo ' 0 pass'; echo ' 0 fail'"],
  ])("a runner that %s has failed", async (_, script) => {
    expect((await run([job("a", script)])).sum.failed).toBe(1);
  });

  test("one that does not end is ended, and has failed whatever it printed", async () => {
    const { sum, printed } = await run([job("a", "echo ' 5 pass'; echo ' 0 fail'; exec sleep 600")], { jobLimitMs: 300 });
    expect(sum).toEqual({ passed: 5, failed: 1 });
    expect(printed).toContain("did not end within 0.3 s");
  });

  test("what a failing job printed is shown whole, in order; of the others one line each", async () => {
    const { printed } = await run([
      job("bad", "echo one; echo two >&2; echo three; echo ' 0 pass'; echo ' 1 fail'; exit 1"),
      job("good", "echo secret; echo ' 1 pass'; echo ' 0 fail'"),
    ]);
    expect(printed).toContain("one\ntwo\nthree\n");
    expect(printed).toMatch(/[0-9.]+ s \(cpu +[0-9.]+ s\) {2}good: 1 passed, 0 failed/);
    expect(printed).not.toContain("secret");
  });

  test("only failures are shown when that is asked", async () => {
    const jobs = [job("bad", "echo why; exit 1"), job("good", "echo ' 1 pass'; echo ' 0 fail'")];
    const { printed } = await run(jobs, { show: "failed" });
    expect(printed).toContain("why");
    expect(printed).not.toContain("good");
  });

  test("what a job left running keeps nobody waiting", async () => {
    const { sum, outcomes } = await run([job("a", "sleep 600 & echo $!; echo ' 1 pass'; echo ' 0 fail'")]);
    process.kill(Number(outcomes[0]?.output.split("\n")[0]));
    expect(sum).toEqual({ passed: 1, failed: 0 });
  });

  test("a job that counts as one test passes or fails by its exit code", async () => {
    const { sum } = await run([job("a", "exit 0", { counts: "itself" }), job("b", "echo ' 9 pass'; exit 1", { counts: "itself" })]);
    expect(sum).toEqual({ passed: 1, failed: 1 });
  });

  test("so many run at a time as there are lanes, and nothing beside an exclusive one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "apa-lanes-"));
    try {
      const [other, alone] = [join(folder, "other"), join(folder, "alone")];
      // Each of the two ends only when the other has begun; the exclusive one fails when one of them still runs.
      const waits = (own: string, wanted: string) =>
        `touch ${own}; until [ -e ${wanted} ]; do sleep 0.01; done; echo ' 1 pass'; echo ' 0 fail'`;
      const { sum, outcomes } = await run([
        job("alone", `[ -e ${other} ] && [ -e ${alone} ] && echo ' 1 pass'; echo ' 0 fail'`, { exclusive: true }),
        job("a", waits(other, alone)),
        job("b", waits(alone, other)),
      ]);
      expect(sum).toEqual({ passed: 3, failed: 0 });
      expect(outcomes.at(-1)?.name).toBe("alone");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("renderSlowest", () => {
  test("gives the ten slowest, slowest first", () => {
    const outcomes = Array.from(
      { length: 12 },
      (_, i): Outcome => ({
        name: `file-${i}`,
        passed: 1,
        failed: 0,
        seconds: i,
        cpuSeconds: 0,
        output: "",
      }),
    );
    const lines = renderSlowest(outcomes).split("\n").slice(1);
    expect(lines).toHaveLength(10);
    expect(lines[0]).toContain("file-11");
    expect(lines[9]).toContain("file-2:");
  });
});

describe("testJobs", () => {
  test("has one job for each test file; those of the sandbox folders run in a sandbox", () => {
    const jobs = testJobs([...SANDBOX_TESTS, ...UNIT_TESTS]);
    expect(jobs.map(({ name }) => name)).toEqual(findTestFiles([...SANDBOX_TESTS, ...UNIT_TESTS]) as string[]);
    expect(new Set(jobs.map(({ name }) => name)).size).toBe(jobs.length);
    for (const { name, command } of jobs) expect([name, command[0] === "scripts/sandbox"]).toEqual([name, name.startsWith("test/e2e/")]);
    expect(unitTestJobs().some(({ command }) => command[0] === "scripts/sandbox")).toBe(false);
  });

  test("the exclusive files are there, and each says why", () => {
    for (const [file, why] of EXCLUSIVE) {
      expect([file, existsSync(join(import.meta.dir, "..", file))]).toEqual([file, true]);
      expect(why.length).toBeGreaterThan(20);
    }
  });
});
