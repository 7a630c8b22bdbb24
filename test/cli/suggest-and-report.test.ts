// `report` and `policy suggest` as operators run them: as processes, with files and pipes, on logs of any size.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MAIN = join(import.meta.dir, "../../proxy/main.ts");
const PATIENCE_MS = 240_000;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], input: string | Blob = ""): Promise<Run> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], { stdin: new Blob([input]), stdout: "pipe", stderr: "pipe", cwd: folder });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, out, err };
}

function line(fields: object = {}, event = "request-forwarded"): string {
  const known = {
    method: "GET",
    url: "/metadata/instance?api-version=2021-02-01",
    ip: "169.254.169.254",
    port: 80,
    responseStatus: 200,
    reason: "default-deny",
    wouldDeny: "default-deny",
    ruleId: "",
    ruleSetId: "rules-1",
    userName: "alice",
    userGroups: ["alice"],
    processId: 42,
    processFullPath: "/usr/bin/curl",
    runAsElevated: false,
  };
  return `2026-01-02T03:04:05.000Z [INFO] ${event} ${JSON.stringify({ ...known, ...fields })}\n`;
}

function status(more: object = {}): string {
  const path = join(folder, "status.json");
  const entry = { endpoint: "imds", reason: "default-deny", userName: "alice", processFullPath: "/usr/bin/curl", path: "/a/b", count: 2 };
  const agentDetails = { endpoints: { imds: { mode: "audit" } }, wouldDeny: { total: 2, other: 0, entries: [entry] }, denied: {} };
  const timestamp = new Date().toISOString().replace("Z", "");
  writeFileSync(path, JSON.stringify({ timestamp, proxyAgentStatus: {}, agentDetails, ...more }));
  return path;
}

describe("policy suggest", () => {
  test("prints proven rules on standard output and words on standard error", async () => {
    const { code, out, err } = await run(["policy", "suggest"], `${line()}words\n${line().slice(0, 90)}\n`);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ mode: "audit", defaultAccess: "deny", rules: { identities: [{ userName: "alice" }] } });
    expect(err).toContain("read 3 lines: 1 requests, 1 other lines skipped, 1 unreadable");
    expect(err).toContain("1 of 1 different observed requests allowed, 6 of 6 near misses denied");
  });

  test("writes the file that it is told to, whole, and nothing to standard output", async () => {
    writeFileSync(join(folder, "a.log"), line());
    writeFileSync(join(folder, "b.log"), line({ userName: "bob" }).trimEnd());
    const { code, out } = await run(["policy", "suggest", "a.log", "b.log", "-o", "rules.json"]);
    expect([code, out]).toEqual([0, ""]);
    const item = JSON.parse(readFileSync(join(folder, "rules.json"), "utf8"));
    expect(item.rules.identities.map(({ name }: { name: string }) => name)).toEqual(["alice-curl", "bob-curl"]);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("--json has rules, reasons and proof", async () => {
    const { code, out } = await run(["policy", "suggest", "--json", "-"], line() + line({ userName: "undefined" }));
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      proven: true,
      rules: { id: expect.any(String) },
      notCovered: [{ why: "unknown-user", count: 1 }],
      proofs: [{ endpoint: "imds", proof: { observed: 1, allowed: 1 } }],
      lines: { lines: 2 },
    });
  });

  test.each<[string, string, string]>([
    ["an empty log", "", "no request lines found"],
    ["a log of others", "hello\n{}\n", "no request lines found"],
    ["requests nobody can be allowed", line({ userName: "undefined" }), "none of the requests for imds can be allowed"],
    ["denied requests only", line({ responseStatus: 403, wouldDeny: undefined }, "request-denied"), "--include-denied takes such requests"],
  ])("has nothing to suggest from %s", async (_, input, words) => {
    const { code, out, err } = await run(["policy", "suggest"], input);
    expect([code, out]).toEqual([1, ""]);
    expect(err.replace(/\s+/g, " ")).toContain(words);
  });

  test.each<[readonly string[], number]>([
    [["--endpoint", "imdss"], 64],
    [["--min-count", "0"], 64],
    [["--min-count", "1e3"], 64],
    [["--default", "Denied"], 64],
    [["--default"], 64],
    [["--unknown"], 64],
    [["-o", ""], 64],
    [["missing.log"], 66],
    [["."], 66],
    [["-", "-o", "no/such/folder/rules.json"], 73],
  ])("%j ends with %p and prints nothing", async (args, want) => {
    const { code, out, err } = await run(["policy", "suggest", ...args], line());
    expect([code, out]).toEqual([want, ""]);
    expect(err).toContain("azure-proxy-agent: ");
  });

  test("what callers wrote does not reach the terminal", async () => {
    const hostile = { userName: "a\u001b[2J\u202e", processFullPath: "/x\u009b\r\n", url: "/metadata/\u001b" };
    const { out, err } = await run(["policy", "suggest"], line({ ...hostile, url: "/metadata/x" }) + line(hostile));
    expect(`${out}${err}`.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    expect(JSON.parse(out).rules.identities[0]).toMatchObject({ userName: hostile.userName, exePath: hostile.processFullPath });
  });

  test(
    "200,000 lines, many of them different on purpose, take little memory",
    async () => {
      const path = join(folder, "large.log");
      const pieces: string[] = [];
      for (let i = 0; i < 200_000; i++) {
        const hostile = i % 4 === 0;
        const fields = hostile
          ? { userName: "mallory", processFullPath: `/tmp/p${i % 5000}x`, url: `/metadata/${"x".repeat(i % 900)}q${i}z?resource=r${i}` }
          : { url: `/metadata/instance/compute/item${i % 7}x?api-version=2021-02-01` };
        pieces.push(line(fields));
        if (pieces.length === 10_000) appendFileSync(path, pieces.splice(0).join(""));
      }
      // A line without end, as a broken file has it.
      appendFileSync(path, `{${"x".repeat(3_000_000)}`);
      const peak = join(folder, "peak");
      const script = `process.on("exit", () => require("fs").writeFileSync(${JSON.stringify(peak)}, require("fs").readFileSync("/proc/self/status")))`;
      writeFileSync(join(folder, "preload.js"), script);
      const preload = ["--preload", join(folder, "preload.js")];
      const child = Bun.spawn([process.execPath, ...preload, MAIN, "policy", "suggest", "--progress", path], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
      expect([code, err.slice(-2000)]).toEqual([0, expect.stringContaining("near misses denied")]);
      expect(err).toContain("50000 lines\n100000 lines\n150000 lines\n200000 lines\n");
      expect(err).toContain("200,000 requests, 0 other lines skipped, 1 unreadable");
      expect(err).toContain("more different callers or requests than are looked at");
      expect(JSON.parse(out).rules.identities).toContainEqual({ name: "alice-curl", userName: "alice", exePath: "/usr/bin/curl" });
      const peakKib = Number(/^VmHWM:\s+([0-9]+) kB$/m.exec(readFileSync(peak, "utf8"))?.[1]);
      expect(peakKib).toBeGreaterThan(10_000);
      expect(peakKib).toBeLessThan(400_000);
    },
    PATIENCE_MS,
  );
});

describe("report", () => {
  test("reads the status file that it is told", async () => {
    const { code, out } = await run(["report", "--status", status()]);
    expect(code).toBe(0);
    expect(out).toContain("Would be denied under enforce: 2 requests");
    expect(out.replace(/\s+/g, " ")).toContain('userName "alice" and exePath "/usr/bin/curl"');
    expect(out).not.toContain("STALE");
  });

  test("finds the status file through the config", async () => {
    status();
    const config = { logFolder: "", eventFolder: "", latchKeyFolder: "/k", statusFolder: folder, ebpfProgramName: "x.o" };
    const intervals = { monitorIntervalInSeconds: 60, pollKeyStatusIntervalInSeconds: 15 };
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...intervals }));
    const { code, out } = await run(["report", "--config", join(folder, "config.json"), "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ source: join(folder, "status.json"), stale: false, wouldDeny: { total: 2 } });
  });

  test("says that a status is old, and shows it", async () => {
    const { code, out } = await run(["report", "--status", status({ timestamp: "2020-01-01T00:00:00.000" })]);
    expect([code, out.slice(0, 7), out.includes("2 requests")]).toEqual([0, "STALE: ", true]);
    expect(JSON.parse((await run(["report", "--json", "--status", "status.json"])).out).stale).toBe(true);
  });

  test("computes the same from a log, from a file or a pipe", async () => {
    const log = line() + line({}, "request-denied") + line({ wouldDeny: undefined });
    writeFileSync(join(folder, "c.log"), log);
    const [file, pipe] = await Promise.all([run(["report", "--from-log", "c.log"]), run(["report", "--from-log", "-"], log)]);
    expect(file.out).toBe(pipe.out);
    expect(file.out).toContain("read 3 lines: 3 requests");
    expect(file.out).toContain("Would be denied under enforce: 2 requests");
  });

  test("says plainly that there was nothing to read", async () => {
    expect((await run(["report", "--from-log", "-"], "hello\n")).out).toContain("EMPTY: no request lines found");
  });

  test.each<[readonly string[], number]>([
    [["--endpoint", "x"], 64],
    [["--status"], 64],
    [["--from-log", "-", "--status", "status.json"], 64],
    [["file"], 64],
    [["--status", "missing.json"], 66],
    [["--status", "."], 66],
    [["--from-log", "missing.log"], 66],
  ])("%j ends with %p and prints nothing", async (args, want) => {
    const { code, out, err } = await run(["report", ...args]);
    expect([code, out]).toEqual([want, ""]);
    expect(err).toContain("azure-proxy-agent: ");
  });

  test("a file that is no status is refused", async () => {
    writeFileSync(join(folder, "other.json"), "{}");
    const { code, err } = await run(["report", "--status", "other.json"]);
    expect([code, err]).toEqual([66, expect.stringContaining("want the agent's status")]);
  });
});
