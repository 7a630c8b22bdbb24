// scripts/sandbox is what keeps tests away from the real services: it must isolate, pass the outcome on, and leave nothing.

import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

const SANDBOX = join(import.meta.dir, "../../scripts/sandbox");
const REPORT = 'echo "$SANDBOX_CGROUP $SANDBOX_NETNS"';

function start(args: readonly string[]) {
  return Bun.spawn([SANDBOX, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

async function finish(args: readonly string[]) {
  const child = start(args);
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout: stdout.trim(), stderr };
}

/** Cgroup and namespace that a sandbox reported, and whether they exist. */
function placesOf(report: string) {
  const [cgroup = "", namespace = ""] = report.trim().split(" ");
  expect(cgroup.endsWith(namespace) && namespace !== "").toBe(true);
  return { exist: () => [existsSync(cgroup), existsSync(`/run/netns/${namespace}`)] };
}

async function firstLine(child: ReturnType<typeof start>): Promise<string> {
  let text = "";
  for await (const part of child.stdout) {
    text += new TextDecoder().decode(part);
    if (text.includes("\n")) break;
  }
  return text;
}

describe("a sandbox", () => {
  test("has the guarded addresses on its own loopback and no other interface", async () => {
    const { stdout } = await finish(["ip", "-brief", "address"]);
    for (const address of ["127.0.0.1/8", "169.254.169.254/32", "168.63.129.16/32", "10.0.0.4/32"]) expect(stdout).toContain(address);
    expect(stdout.split("\n").filter((line) => !line.startsWith("lo "))).toEqual([]);
  });

  test("leaves the addresses off when asked", async () => {
    const { stdout } = await finish(["--no-netns-addresses", "ip", "-brief", "address"]);
    expect(stdout).toContain("127.0.0.1/8");
    expect(stdout).not.toContain("169.254");
  });

  test.each([
    [0, "exit 0"],
    [7, "exit 7"],
    [143, "kill -TERM $$"],
  ])("passes exit code %i on and is gone", async (code, script) => {
    const finished = await finish(["sh", "-c", `${REPORT}; ${script}`]);
    expect(finished.code).toBe(code);
    expect(placesOf(finished.stdout).exist()).toEqual([false, false]);
  });

  test("takes the control socket of an agent that was killed out of the shared /run", async () => {
    const path = "/run/azure-proxy-agent/control-$(stat -L -c %i /proc/self/ns/net).sock";
    const { code, stdout } = await finish(["sh", "-c", `mkdir -p /run/azure-proxy-agent && touch "${path}" && echo "${path}"`]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^\/run\/azure-proxy-agent\/control-[0-9]+\.sock$/)]);
    expect(existsSync(stdout)).toBe(false);
  });

  test("ends what its command left running, also in cgroups below its own", async () => {
    const script = `${REPORT}; mkdir -p $SANDBOX_CGROUP/a/b; (echo $$ >$SANDBOX_CGROUP/a/b/cgroup.procs; exec sleep 600 >/dev/null 2>&1) &
      until grep -q . $SANDBOX_CGROUP/a/b/cgroup.procs; do sleep 0.01; done`;
    const finished = await finish(["sh", "-c", script]);
    expect([finished.code, finished.stderr]).toEqual([0, ""]);
    expect(placesOf(finished.stdout).exist()).toEqual([false, false]);
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGHUP", 129],
  ] as const)("is gone after %s", async (signal, code) => {
    const child = start(["sh", "-c", `${REPORT}; exec sleep 600`]);
    const places = placesOf(await firstLine(child));
    expect(places.exist()).toEqual([true, true]);
    child.kill(signal);
    expect(await child.exited).toBe(code);
    expect(places.exist()).toEqual([false, false]);
  });

  test("that was killed does not disturb the next one, which removes it", async () => {
    const child = start(["sh", "-c", `${REPORT}; exec sleep 600`]);
    const places = placesOf(await firstLine(child));
    expect(places.exist()).toEqual([true, true]);
    child.kill("SIGKILL");
    await child.exited;
    // Any sandbox that starts removes it, also one that another test started a moment ago.
    expect((await finish(["true"])).code).toBe(0);
    expect(places.exist()).toEqual([false, false]);
  });

  test("has a bpffs of its own, which others do not see and which ends with it", async () => {
    const child = start(["sh", "-c", `mkdir /sys/fs/bpf/mine && ${REPORT}; exec sleep 600`]);
    await firstLine(child);
    const other = await finish(["sh", "-c", "stat -f -c %T /sys/fs/bpf; ls /sys/fs/bpf"]);
    expect(other.stdout).toContain("bpf");
    expect(other.stdout).not.toContain("mine");
    expect(existsSync("/sys/fs/bpf/mine")).toBe(false);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
  });

  test("leaves others that run beside it alone", async () => {
    const child = start(["sh", "-c", `${REPORT}; exec sleep 600`]);
    const places = placesOf(await firstLine(child));
    expect((await finish(["true"])).code).toBe(0);
    expect(places.exist()).toEqual([true, true]);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
  });

  test.each([
    ["no command", [], "usage: sandbox"],
    ["an unknown option", ["--verbose", "true"], 'unknown option "--verbose"'],
  ])("refuses %s", async (_, args, words) => {
    const { code, stderr } = await finish(args);
    expect(code).toBe(64);
    expect(stderr).toContain(words);
  });

  test("says that it needs root", async () => {
    const child = Bun.spawn(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "bash", "-s", "true"], {
      stdin: Bun.file(SANDBOX),
      stdout: "ignore",
      stderr: "pipe",
    });
    expect(await new Response(child.stderr).text()).toContain("this needs root");
    expect(await child.exited).toBe(77);
  });
});
