// The real units under the real systemd, as process 1 of a container: what start, restart, kill and stop do to callers.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { HostControlClient } from "../../host-simulator/control-client.ts";
import { readNetworkNamespace } from "../../proxy/adapters/proc/network-namespace.ts";
import { programsLeft } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { curl, IMDS_INSTANCE, runProgram } from "../support/world.ts";

const { cgroupPath } = requireSandbox();
const PROJECT = join(import.meta.dir, "../..");
const SERVICE = "azure-proxy-agent.service";
const SOCKET = "azure-proxy-agent.socket";

let folder: string;
let host: Subprocess;
let control: HostControlClient;
let machine: Subprocess;
let init = 0;

/** Runs a command where systemd is process 1. */
async function inside(...command: readonly string[]) {
  const ended = await runProgram(["nsenter", `--target=${init}`, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--", ...command]);
  return { ...ended, stdout: ended.stdout.trim() };
}

async function property(unit: string, name: string): Promise<string> {
  return (await inside("systemctl", "show", "--value", "--property", name, unit)).stdout;
}

async function eventually(what: string, holds: () => Promise<boolean>, limitMs = 40_000): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`did not happen in time: ${what}; ${(await inside("tail", "-20", "/run/agent.log")).stdout}`);
    await Bun.sleep(50);
  }
}

const isServed = () => eventually("IMDS answers 200", async () => (await curl(IMDS_INSTANCE)).status === 200);

beforeAll(async () => {
  if (!existsSync("/usr/lib/systemd/systemd")) throw new Error("this test runs systemd: install the package systemd");
  folder = mkdtempSync(join(tmpdir(), "apa-systemd-"));
  const place = join(folder, "control.sock");
  host = Bun.spawn([process.execPath, join(PROJECT, "host-simulator/main.ts"), "--control", place], { stdin: "ignore", stdout: "ignore" });
  control = new HostControlClient(place);
  await control.waitUntilUp(30_000);
  machine = Bun.spawn([join(PROJECT, "test/support/systemd-machine"), join(folder, "machine")], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  await eventually("systemd is up", async () => {
    // The one child of unshare, which is what the script became.
    const children = readFileSync(`/proc/${machine.pid}/task/${machine.pid}/children`, "utf8").trim();
    init = Number(children.split(" ")[0] ?? 0);
    if (init === 0 || !readFileSync(`/proc/${init}/cmdline`, "utf8").includes("machine.target")) return false;
    return (await inside("systemctl", "is-system-running")).stdout === "running";
  });
}, 60_000);

afterAll(async () => {
  machine.kill("SIGKILL");
  host.kill("SIGTERM");
  await Promise.all([machine.exited, host.exited]);
  rmSync(folder, { recursive: true, force: true });
});

describe("the units", () => {
  test("start: ready is told by the agent itself", async () => {
    expect((await inside("systemctl", "start", SERVICE)).code).toBe(0);
    expect(await property(SERVICE, "StatusText")).toContain("serving on 127.0.0.1:3080");
    expect([await property(SERVICE, "ActiveState"), await property(SOCKET, "ActiveState")]).toEqual(["active", "active"]);
    await isServed();
    expect((await inside("ls", "/sys/fs/bpf/azure-proxy-agent")).stdout).toBe("layout-2-2");
  }, 60_000);

  test("T-170: the control socket is root's alone, and what the unit allows is enough for it", async () => {
    const path = `/run/azure-proxy-agent/control-${readNetworkNamespace()}.sock`;
    await eventually("the control socket is there", async () => (await inside("stat", "-c", "%F %u %a", path)).stdout === "socket 0 600");
    expect((await inside("stat", "-c", "%u %a", "/run/azure-proxy-agent")).stdout).toBe("0 755");
    const asked = await inside("curl", "-s", "--max-time", "5", "--unix-socket", path, "http://agent/health");
    expect([asked.code, asked.stdout]).toEqual([0, '{"ready":true}']);
    expect((await inside("azure-proxy-agent", "--status", "--wait", "10")).code).toBe(0);
  }, 60_000);

  test("T-80: restarts under load lose nothing", async () => {
    const callers = Bun.spawn(["/usr/bin/python3", join(PROJECT, "test/support/steady-callers.py"), "root", "200", "200"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await Bun.sleep(300);
    for (let round = 0; round < 8; round += 1) {
      expect((await inside("systemctl", "restart", SERVICE)).code).toBe(0);
      await Bun.sleep(100);
    }
    callers.stdin.end();
    const tally = JSON.parse(await new Response(callers.stdout).text());
    expect(tally).toMatchObject({ lost: [], lostCount: 0 });
    expect(tally.counts.new).toBeGreaterThan(20);
  }, 120_000);

  test("T-81: after a kill connects wait in the socket for the next agent", async () => {
    const before = await property(SOCKET, "InvocationID");
    expect((await inside("systemctl", "kill", "--signal=KILL", SERVICE)).code).toBe(0);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect(await property(SOCKET, "InvocationID")).toBe(before);
    expect(await property(SERVICE, "NRestarts")).not.toBe("0");
  }, 60_000);

  test("T-17: stop takes the redirect off and closes the socket, too", async () => {
    expect((await inside("systemctl", "stop", SERVICE)).code).toBe(0);
    await eventually("the socket is closed", async () => (await property(SOCKET, "ActiveState")) === "inactive");
    expect([await property(SERVICE, "ActiveState"), await property(SERVICE, "Result")]).toEqual(["inactive", "success"]);
    expect(programsLeft(cgroupPath)).toEqual([]);
    expect((await inside("find", "/sys/fs/bpf", "-name", "link_*")).stdout).toBe("");
    expect((await curl(IMDS_INSTANCE)).status).toBe(401);
  }, 60_000);

  test("stopping the socket stops the agent, and leaves nothing either", async () => {
    expect((await inside("systemctl", "start", SERVICE)).code).toBe(0);
    await isServed();
    expect((await inside("systemctl", "stop", SOCKET)).code).toBe(0);
    expect(await property(SERVICE, "ActiveState")).toBe("inactive");
    expect(programsLeft(cgroupPath)).toEqual([]);
    expect(readdirSync("/sys/fs/bpf").filter((name) => name.startsWith("azure"))).toEqual([]);
  }, 60_000);
});
