// doctor as a user runs it: the built program beside a running agent, and beside none.

import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AGENT, runProgram, World } from "../support/world.ts";

interface Report {
  readonly health: string;
  readonly findings: readonly { readonly check: string; readonly health: string; readonly found: string; readonly advice: string }[];
}

async function examine(configPath: string): Promise<Report & { readonly code: number; readonly elapsedMs: number }> {
  const startedMs = performance.now();
  const { code, stdout, stderr } = await runProgram([AGENT, "doctor", "--json", "--config", configPath]);
  expect(stderr).toBe("");
  return { ...(JSON.parse(stdout) as Report), code, elapsedMs: performance.now() - startedMs };
}

function wordsOf({ findings }: Report, check: string): string {
  return findings
    .filter((finding) => finding.check === check)
    .map(({ health }) => health)
    .join(" ");
}

async function statusWritten(world: World): Promise<void> {
  const redirected = { redirected: true };
  await world.untilStatus({ agentDetails: { endpoints: { wireserver: redirected, hostga: redirected, imds: redirected } } });
}

test("a healthy agent: programs attached, listener ready, host heard, endpoints redirected", async () => {
  await using world = await World.start();
  await statusWritten(world);
  const report = await examine(world.configPath);
  expect(report.code).toBe(0);
  for (const check of [
    "kernel-version",
    "libbpf",
    "cgroup2",
    "programs",
    "program-order",
    "listener",
    "key-folder",
    "keys",
    "agent-status",
    "host-contact",
    "version",
  ])
    expect([check, wordsOf(report, check)]).toEqual([check, "ok"]);
  expect(wordsOf(report, "redirect")).toBe("ok ok ok");
  expect(wordsOf(report, "route")).toBe("ok ok");
  expect(wordsOf(report, "policy")).not.toContain("fail");
});

test("it says what is wrong, changes nothing, and ends with 1", async () => {
  // A running agent mends the folder's mode when it next polls.
  await using world = await World.start({ config: { pollKeyStatusIntervalInSeconds: 3600 } });
  await world.agent.line("provisioned");
  await statusWritten(world);
  const keys = join(world.folder, "keys");
  chmodSync(keys, 0o755);
  writeFileSync(join(world.folder, "rules", "IMDS_Rules.json"), "{", { mode: 0o600 });
  const report = await examine(world.configPath);
  expect(report).toMatchObject({ code: 1, health: "fail" });
  expect(wordsOf(report, "key-folder")).toBe("fail");
  expect(report.findings.find(({ check }) => check === "key-folder")?.advice).toContain("chmod 0700");
  expect(wordsOf(report, "rule-files")).toContain("fail");
  expect((await runProgram(["stat", "-c", "%a", keys])).stdout.trim()).toBe("755");

  await world.agent.stop();
  const without = await examine(world.configPath);
  expect([wordsOf(without, "programs"), wordsOf(without, "listener")]).toEqual(["fail", "fail"]);
  // What it is for: an answer at once, also when nothing answers it.
  expect(without.elapsedMs).toBeLessThan(20_000);
});

test("a config that cannot be used is a finding, not a crash", async () => {
  await using world = await World.start();
  const path = join(world.folder, "broken.json");
  writeFileSync(path, '{"logFolder": 1}');
  const report = await examine(path);
  expect(report.code).toBe(1);
  expect(wordsOf(report, "config")).toBe("fail");
  expect((await runProgram([AGENT, "doctor", "--colour"])).code).toBe(64);
});
