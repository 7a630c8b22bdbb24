// Kernel types (BTF) that are there and that libbpf cannot read: cut short here, a newer form in real life. Needs root and the sandbox,
// whose mount namespace is its own.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../support/redirected-listener.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, runProgram, World } from "../support/world.ts";

requireSandbox();
const BTF = "/sys/kernel/btf/vmlinux";
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-btf-"));
  writeFileSync(join(folder, "vmlinux"), readFileSync(BTF).subarray(0, 100_000));
  expect(Bun.spawnSync(["mount", "--bind", join(folder, "vmlinux"), BTF]).exitCode).toBe(0);
});
afterAll(() => {
  Bun.spawnSync(["umount", BTF]);
  rmSync(folder, { recursive: true, force: true });
});

test("T-194: a rule by executable matches nobody, and doctor, status and the denied caller's line say why", async () => {
  const rules = {
    privileges: [{ name: "p", path: "/metadata/instance" }],
    roles: [{ name: "r", privileges: ["p"] }],
    identities: [{ name: "i", exePath: "/usr/bin/curl" }],
    roleAssignments: [{ role: "r", identities: ["i"] }],
  };
  await using world = await World.start({ host: { rules: { imds: { defaultAccess: "deny", mode: "enforce", id: "exe", rules } } } });
  const url = "http://169.254.169.254/metadata/instance?api-version=2021-02-01";
  const { stdout } = await run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Metadata: true", url]);
  expect(stdout).toBe("403");
  const denied = await world.agent.line("request-denied");
  expect(String(denied.doubts)).toContain(`cannot read the kernel's BTF at "${BTF}"`);
  const unreadable = expect.stringContaining(`cannot read the kernel's BTF at "${BTF}"`);
  await world.untilStatus({ agentDetails: { executablesPinned: false, executables: { unknownBecause: unreadable } } });
  const doctor = await runProgram([AGENT, "doctor", "--json", "--config", world.configPath]);
  const { findings } = JSON.parse(doctor.stdout) as { readonly findings: readonly { check: string; health: string; found: string }[] };
  expect(findings.find(({ check }) => check === "btf")).toMatchObject({ health: "warn", found: unreadable });
  expect(findings.find(({ check, found }) => check === "agent-part" && found.startsWith("executables:"))).toMatchObject({ health: "warn" });
});
