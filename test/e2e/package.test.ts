// The package, as image builders and administrators meet it: installed into an image, booted, upgraded under load, removed, purged, and in
// exchange with the package of the reference agent. dpkg and systemd are the real ones, on a root of the test's own.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { HostControlClient } from "../../host-simulator/control-client.ts";
import { programsLeft } from "../support/attached-programs.ts";
import { buildReferencePackage, STAND_IN_ANSWER } from "../support/reference-package.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { curl, IMDS_INSTANCE, runProgram } from "../support/world.ts";

const { cgroupPath } = requireSandbox();
const PROJECT = join(import.meta.dir, "../..");
const SERVICE = "azure-proxy-agent.service";
const SOCKET = "azure-proxy-agent.socket";
const CONFIG = "/etc/azure/proxy-agent.json";
/** Why this cannot be tried here; undefined: it can. */
const missing = !existsSync("/usr/bin/deb-systemd-helper")
  ? "this machine is not Debian or one of its kin: it has no deb-systemd-helper"
  : !/\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"))
    ? "this kernel has no overlay file system (CONFIG_OVERLAY_FS)"
    : undefined;
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const LINKS = [`./multi-user.target.wants/${SERVICE}`, `./sockets.target.wants/${SOCKET}`];

let folder: string;
let host: Subprocess;
let hostControl: HostControlClient;
let machine: Subprocess;
let init = 0;
/** By what they are for: names of files in /packages of the machine. */
let packages: { readonly first: string; readonly second: string; readonly olderStandIn: string; readonly newerStandIn: string };

/** Runs a command on the machine. */
async function inside(...command: readonly string[]) {
  const ended = await runProgram(
    ["nsenter", `--target=${init}`, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--", ...command],
    undefined,
    90_000,
  );
  return { ...ended, stdout: ended.stdout.trim() };
}

/** Runs dpkg on the machine, as unattended upgrades do: nobody answers a question, changed configuration stays. Gives what it complained of. */
async function dpkg(...words: readonly string[]): Promise<string> {
  const ended = await inside("dpkg", "--force-unsafe-io", "--force-confdef", "--force-confold", ...words);
  if (ended.code !== 0) throw new Error(`dpkg ${words.join(" ")} ended with ${ended.code}: ${ended.stdout}\n${ended.stderr}`);
  return ended.stderr;
}

const install = (name: string) => dpkg("--install", `/packages/${name}`);

async function property(unit: string, name: string): Promise<string> {
  return (await inside("systemctl", "show", "--value", "--property", name, unit)).stdout;
}

const states = async () => [await property(SERVICE, "ActiveState"), await property(SOCKET, "ActiveState")];
const links = async () =>
  (
    await inside(
      "sh",
      "-c",
      "cd /etc/systemd/system && find . -path ./machine.target.wants -prune -o -type l -name 'azure-proxy-agent.*' -print | sort",
    )
  ).stdout
    .split("\n")
    .filter((line) => line !== "");
const exists = async (path: string) => (await inside("test", "-e", path)).code === 0;
const pinned = async () => (await inside("find", "/sys/fs/bpf", "-mindepth", "1", "-not", "-name", "*.debug")).stdout;
const answerOfPort = async () => (await curl("http://127.0.0.1:3080/")).body;
const status = () => inside("azure-proxy-agent", "--status", "--wait", "20");

async function eventually(what: string, holds: () => Promise<boolean>, limitMs = 40_000): Promise<void> {
  const endMs = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`did not happen in time: ${what}; ${(await inside("tail", "-20", "/run/agent.log")).stdout}`);
    await Bun.sleep(50);
  }
}

const isServed = () => eventually("IMDS answers 200", async () => (await curl(IMDS_INSTANCE)).status === 200);

/** A stand-in is up before it listens. */
async function standInServes(): Promise<void> {
  await eventually("the stand-in answers", async () => (await answerOfPort()) === STAND_IN_ANSWER);
  expect(await states()).toEqual(["active", "inactive"]);
}

/** No program attached, nothing pinned, nobody at the door, and requests go their direct way. */
async function expectNothingLeft(): Promise<void> {
  expect(programsLeft(cgroupPath)).toEqual([]);
  expect(await pinned()).toBe("");
  expect(await states()).toEqual(["inactive", "inactive"]);
  expect((await curl(IMDS_INSTANCE)).status).toBe(401);
}

async function buildPackage(suffix: string): Promise<string> {
  const out = join(folder, `out${suffix}`);
  const built = await runProgram([join(PROJECT, "scripts/build-deb"), "--compression", "none", "--suffix", suffix, "--out", out]);
  if (built.code !== 0) throw new Error(`cannot build the package: ${built.stderr}`);
  const [name = ""] = readdirSync(out);
  return join(out, name);
}

beforeAll(async () => {
  if (missing !== undefined) return;
  if (!existsSync("/usr/lib/systemd/systemd")) throw new Error("this test runs systemd: install the package systemd");
  folder = mkdtempSync(join(tmpdir(), "apa-package-"));
  const control = join(folder, "control.sock");
  host = Bun.spawn([process.execPath, join(PROJECT, "host-simulator/main.ts"), "--control", control], {
    stdin: "ignore",
    stdout: "ignore",
  });
  const built = {
    first: await buildPackage("+test1"),
    second: await buildPackage("+test2"),
    olderStandIn: await buildReferencePackage(folder, "0.0.9-0ubuntu1", "lib/systemd/system"),
    newerStandIn: await buildReferencePackage(folder, "1.0.30-0ubuntu6", "usr/lib/systemd/system"),
  };
  packages = Object.fromEntries(
    Object.entries(built).map(([key, path]) => [key, path.slice(path.lastIndexOf("/") + 1)]),
  ) as typeof packages;
  hostControl = new HostControlClient(control);
  await hostControl.waitUntilUp(30_000);
  const { first, ...others } = built;
  machine = Bun.spawn(
    [
      join(PROJECT, "test/support/package-machine"),
      join(folder, "machine"),
      join(folder, "image.log"),
      first,
      ...Object.values(others),
      join(PROJECT, "debian/tests"),
      join(PROJECT, "docs/examples"),
    ],
    { stdin: "ignore", stdout: "ignore", stderr: "inherit" },
  );
  await eventually(
    "systemd is up",
    async () => {
      const children = readFileSync(`/proc/${machine.pid}/task/${machine.pid}/children`, "utf8").trim();
      init = Number(children.split(" ")[0] ?? 0);
      if (init === 0 || !readFileSync(`/proc/${init}/cmdline`, "utf8").includes("machine.target")) return false;
      return (await inside("systemctl", "is-system-running")).stdout === "running";
    },
    40_000,
  );
}, 90_000);

afterAll(async () => {
  if (missing !== undefined) return;
  machine?.kill("SIGKILL");
  host?.kill("SIGTERM");
  await Promise.all([machine?.exited, host?.exited]);
  rmSync(folder, { recursive: true, force: true });
});

describe.skipIf(missing !== undefined)("the package", () => {
  test("installs into an image without systemd, and the first boot starts service and socket", async () => {
    const log = readFileSync(join(folder, "image.log"), "utf8");
    expect(log).toContain("\nexit 0\n");
    expect(log.trimEnd().split("\n").slice(-2)).toEqual(LINKS);
    expect(await states()).toEqual(["active", "active"]);
    expect(await status()).toMatchObject({ code: 0, stdout: "" });
    await isServed();
  }, 60_000);

  test("brings completions, schemas and the man page to where they are looked for, and a shell completes", async () => {
    const usrShare = [
      "bash-completion/completions/azure-proxy-agent",
      "zsh/vendor-completions/_azure-proxy-agent",
      "azure-proxy-agent/proxy-agent.schema.json",
      "azure-proxy-agent/rules.schema.json",
      "man/man8/azure-proxy-agent.8.gz",
    ].map((path) => `/usr/share/${path}`);
    const modes = await inside("stat", "-c", "%a %U %n", ...usrShare);
    expect(modes.stdout.split("\n")).toEqual(usrShare.map((path) => `644 root ${path}`));
    const words = 'COMP_WORDS=(azure-proxy-agent mod); COMP_CWORD=1; _azure_proxy_agent; echo "$COMPREPLY"';
    expect((await inside("bash", "-c", `. ${usrShare[0]}; ${words}`)).stdout).toBe("module");
  });

  test("its own tests pass", async () => {
    const prepared = await inside(
      "sh",
      "-c",
      "mkdir -p /source/debian /source/docs && cp -r /packages/tests /source/debian && cp -r /packages/examples /source/docs",
    );
    expect(prepared.code).toBe(0);
    for (const name of ["tools", "service"]) {
      const ended = await inside("sh", "-c", `cd /source && exec debian/tests/${name}`);
      expect({ name, code: ended.code, stderr: ended.stderr }).toMatchObject({ name, code: 0 });
    }
    await isServed();
  }, 60_000);

  test("T-80: an upgrade under load loses nothing, does not close the socket, and keeps a changed config", async () => {
    await inside("sed", "-i", 's/"monitorIntervalInSeconds": 60/"monitorIntervalInSeconds": 61/', CONFIG);
    const [door, process_] = [await property(SOCKET, "InvocationID"), await property(SERVICE, "MainPID")];
    const callers = Bun.spawn(["/usr/bin/python3", join(PROJECT, "test/support/steady-callers.py"), "root", "200", "200"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await Bun.sleep(300);
    await install(packages.second);
    await Bun.sleep(300);
    callers.stdin.end();
    const tally = JSON.parse(await new Response(callers.stdout).text());
    expect(tally).toMatchObject({ lost: [], lostCount: 0 });
    expect(tally.counts.new).toBeGreaterThan(20);
    expect(await property(SOCKET, "InvocationID")).toBe(door);
    expect(await property(SERVICE, "MainPID")).not.toBe(process_);
    expect(await states()).toEqual(["active", "active"]);
    expect((await inside("cat", CONFIG)).stdout).toContain('"monitorIntervalInSeconds": 61');
  }, 120_000);

  test("an upgrade leaves alone what was disabled", async () => {
    await inside("systemctl", "disable", "--now", SERVICE);
    await eventually("the socket is closed", async () => (await property(SOCKET, "ActiveState")) === "inactive");
    await install(packages.first);
    expect(await links()).toEqual([]);
    await expectNothingLeft();
    await inside("systemctl", "enable", "--now", SERVICE);
    await isServed();
  }, 60_000);

  test("an upgrade where policy-rc.d forbids starting services leaves the old agent running", async () => {
    const before = await property(SERVICE, "MainPID");
    await inside("sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d");
    await install(packages.second);
    await inside("rm", "/usr/sbin/policy-rc.d");
    expect(await property(SERVICE, "MainPID")).toBe(before);
    expect(await states()).toEqual(["active", "active"]);
    await isServed();
  }, 60_000);

  test("an upgrade with a config that cannot be used is installed, and says what to do", async () => {
    await inside("sed", "-i", 's/"monitorIntervalInSeconds": 61/"monitorIntervalInSeconds": 0/', CONFIG);
    expect(await install(packages.first)).toContain(
      "azure-proxy-agent: the service did not start; 'azure-proxy-agent doctor' says what is missing",
    );
    expect((await inside("azure-proxy-agent", "doctor")).stdout).toContain("monitorIntervalInSeconds");
    await inside("sed", "-i", 's/"monitorIntervalInSeconds": 0/"monitorIntervalInSeconds": 61/', CONFIG);
    expect((await inside("systemctl", "restart", SERVICE)).code).toBe(0);
    await isServed();
  }, 60_000);

  test("installing into and purging from another root leaves the machine's own agent alone", async () => {
    const before = await property(SERVICE, "MainPID");
    await inside("sh", "-c", "mkdir -p /elsewhere/var/lib/dpkg/info /elsewhere/var/lib/dpkg/updates && : >/elsewhere/var/lib/dpkg/status");
    const there = ["--root=/elsewhere", "--force-script-chrootless", "--force-depends"];
    await dpkg(...there, "--install", `/packages/${packages.second}`);
    expect((await inside("sh", "-c", "cd /elsewhere/etc/systemd/system && find . -type l | sort")).stdout.split("\n")).toEqual(LINKS);
    await dpkg(...there, "--purge", "azure-proxy-agent");
    await inside("rm", "-r", "/elsewhere");
    expect(await property(SERVICE, "MainPID")).toBe(before);
    expect(await links()).toEqual(LINKS);
    await isServed();
  }, 60_000);

  test("T-17: removing it takes the redirect off and keeps keys and config; installing it again finds them", async () => {
    const keys = (await inside("find", "/var/lib/azure-proxy-agent/keys", "-name", "*.key")).stdout;
    expect(keys).not.toBe("");
    await dpkg("--remove", "azure-proxy-agent");
    await expectNothingLeft();
    expect(await exists("/usr/sbin/azure-proxy-agent")).toBe(false);
    expect(await exists("/var/lib/azure-proxy-agent/audit")).toBe(true);
    await install(packages.second);
    expect(await status()).toMatchObject({ code: 0 });
    await isServed();
    expect((await inside("find", "/var/lib/azure-proxy-agent/keys", "-name", "*.key")).stdout).toBe(keys);
    expect((await inside("cat", CONFIG)).stdout).toContain('"monitorIntervalInSeconds": 61');
    expect(await links()).toEqual(LINKS);
  }, 60_000);

  test("purging it forgets everything but what the operator put beside it", async () => {
    await inside("sh", "-c", "mkdir -p /etc/azure/proxy-agent.d/trusted-keys && touch /etc/azure/proxy-agent.d/trusted-keys/ours.pub");
    await dpkg("--purge", "azure-proxy-agent");
    await expectNothingLeft();
    for (const path of [
      CONFIG,
      "/var/lib/azure-proxy-agent",
      "/var/log/azure-proxy-agent",
      "/run/azure-proxy-agent",
      "/usr/lib/azure-proxy-agent",
    ])
      expect([path, await exists(path)]).toEqual([path, false]);
    expect(await links()).toEqual([]);
    expect((await inside("find", "/var/lib/systemd", "-name", "azure-proxy-agent*")).stdout).toBe("");
    expect(await exists("/etc/azure/proxy-agent.d/trusted-keys/ours.pub")).toBe(true);
  }, 60_000);
});

describe.skipIf(missing !== undefined)("with the package of another agent of this name", () => {
  test.each([
    ["older", () => packages.olderStandIn],
    ["newer", () => packages.newerStandIn],
  ])(
    "takes the place of one that is %s, with its changed config, and gives it back",
    async (_which, standIn) => {
      await install(standIn());
      await standInServes();
      await inside("sed", "-i", 's/"pollKeyStatusIntervalInSeconds": 15/"pollKeyStatusIntervalInSeconds": 2/', CONFIG);

      // The key of before was purged, and a host hands out no second one as long as it has that.
      await hostControl.startIncarnation();
      await install(packages.first);
      expect(await states()).toEqual(["active", "active"]);
      expect(await status()).toMatchObject({ code: 0, stdout: "" });
      await isServed();
      expect(await links()).toEqual(LINKS);
      expect((await inside("cat", CONFIG)).stdout).toContain('"pollKeyStatusIntervalInSeconds": 2,');
      for (const unit of [SERVICE, SOCKET]) expect([unit, await exists(`/usr/lib/systemd/system/${unit}`)]).toEqual([unit, true]);

      await install(standIn());
      await standInServes();
      expect(programsLeft(cgroupPath)).toEqual([]);
      expect(await pinned()).toBe("");
      expect(await links()).toEqual([LINKS[0] ?? ""]);
      await dpkg("--purge", "azure-proxy-agent");
    },
    60_000,
  );

  test("starts nothing where the other agent's service was disabled", async () => {
    await install(packages.olderStandIn);
    await inside("systemctl", "disable", "--now", SERVICE);
    await install(packages.first);
    expect(await links()).toEqual([]);
    await expectNothingLeft();
    await dpkg("--purge", "azure-proxy-agent");
  }, 60_000);
});
