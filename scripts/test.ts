// Runs the fast gate and then the tests that need root and a kernel, inside the sandbox. Adds up what passed and failed and
// ends with the line "N passed, N failed".

import { Glob } from "bun";
import { SANDBOX_TESTS, UNIT_TESTS } from "./test-folders.ts";

const ROOT = `${import.meta.dir}/..`;

interface Count {
  readonly passed: number;
  readonly failed: number;
}

async function runTests(title: string, prefix: readonly string[], files: readonly string[]): Promise<Count> {
  console.log(`== ${title}`);
  const run = Bun.spawn([...prefix, process.execPath, "test", "--only-failures", "--timeout", "30000", ...files], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text(), run.exited]);
  const text = `${out}${err}`;
  const passed = Number(/^\s*([0-9]+) pass$/m.exec(text)?.[1] ?? 0);
  const failed = Number(/^\s*([0-9]+) fail$/m.exec(text)?.[1] ?? 0);
  if (code !== 0 || failed > 0) process.stdout.write(text);
  console.log(`   ${passed} passed, ${failed} failed`);
  // A runner that died, or ran nothing, has failed whatever it printed.
  const broken = (code !== 0 && failed === 0) || passed + failed === 0;
  return { passed, failed: failed + (broken ? 1 : 0) };
}

async function runCheck(): Promise<Count> {
  console.log("== gate (format, lint, types, arrows, docs)");
  const run = Bun.spawn([process.execPath, "scripts/check.ts", "--without-tests"], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  return (await run.exited) === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** The demo checks what it shows; here it counts as one test. Its words are only of interest when it fails. */
async function runDemo(): Promise<Count> {
  console.log("== demo");
  const run = Bun.spawn(["scripts/sandbox", process.execPath, "test/demo/main.ts"], {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text(), run.exited]);
  if (code !== 0) process.stdout.write(`${out}${err}`);
  const count = code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  console.log(`   ${count.passed} passed, ${count.failed} failed`);
  return count;
}

const e2e = SANDBOX_TESTS.flatMap((folder) => [...new Glob(`${folder}/**/*.test.ts`).scanSync({ cwd: ROOT })]).sort();
const counts = [await runCheck(), await runTests("unit, law and conformance tests", [], UNIT_TESTS)];
// Each file gets a sandbox of its own, so that one that fails badly cannot disturb the next.
for (const file of e2e) counts.push(await runTests(file, ["scripts/sandbox"], [file]));
counts.push(await runDemo());

const passed = counts.reduce((sum, count) => sum + count.passed, 0);
const failed = counts.reduce((sum, count) => sum + count.failed, 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
