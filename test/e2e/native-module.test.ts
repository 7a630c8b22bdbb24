// The compiled program must find its native module from any directory, without an environment and without a file in /tmp.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NATIVE = join(import.meta.dir, "../../proxy/adapters/native");
const ROOT = join(import.meta.dir, "../..");
const AGENT = join(ROOT, "dist/azure-proxy-agent");
const BUILD_MS = 60_000;

let folder = "";
let program = "";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "native-module-"));
  program = join(folder, "probe");
  const source = join(folder, "probe.ts");
  writeFileSync(
    source,
    `import { readFileSync } from "node:fs";
     import { loadKoffi } from ${JSON.stringify(join(NATIVE, "koffi.ts"))};
     import { widenThreadPool } from ${JSON.stringify(join(NATIVE, "thread-pool.ts"))};
     widenThreadPool(8);
     const libc = loadKoffi().load("libc.so.6");
     const usleep = libc.func("usleep", "int", ["uint"]);
     const pid = libc.func("getpid", "int", [])();
     const mapped = readFileSync("/proc/self/maps", "utf8").split("\\n").find((line) => /koffi|[.]node/.test(line)) ?? "";
     let finished = 0;
     let threads = 0;
     const countThreads = () => Number(/^Threads:\\s+(\\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
     const before = countThreads();
     for (let call = 0; call < 8; call += 1) usleep.async(200_000, () => { finished += 1; if (finished === 1) threads = countThreads(); if (finished === 8) report(); });
     const report = () => console.log(JSON.stringify({ samePid: pid === process.pid, mapped, grown: threads - before }));`,
  );
  const flags = ["--compile", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const build = Bun.spawn([process.execPath, "build", ...flags, source, "--outfile", program], {
    cwd: folder,
    stdout: "ignore",
    stderr: "inherit",
  });
  expect(await build.exited).toBe(0);
}, BUILD_MS);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a compiled program", () => {
  test("T-70: loads koffi from memory, with an empty environment and from another directory", async () => {
    const own = () => readdirSync(tmpdir()).filter((name) => name.startsWith(".bun-"));
    const before = own();
    const run = Bun.spawn([program], { cwd: "/", env: {}, stdout: "pipe", stderr: "inherit" });
    const report = JSON.parse(await new Response(run.stdout).text()) as { samePid: boolean; mapped: string; grown: number };
    expect(await run.exited).toBe(0);
    expect(report.samePid).toBe(true);
    expect(report.mapped).toContain("/memfd:koffi");
    expect(own()).toEqual(before);
    expect(report.grown).toBeGreaterThan(2);
  });

  test("T-70: the agent knows no path of the tree it was built in: whoever owns that place elsewhere would give root code to run", () => {
    const found = readFileSync(AGENT).indexOf(`${ROOT}/node_modules`);
    expect(found).toBe(-1);
  });
});
