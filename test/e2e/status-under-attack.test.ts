// Boot tools hang on `--status --wait N`. Here users without privileges try to make it fail: they hold the listener's direct
// connections, and send notifies with ticks in the future. Real user ids, the built agent, real time limits.

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { readNetworkNamespace } from "../../proxy/adapters/proc/network-namespace.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, runAgentCommand } from "../support/status-command.ts";
import { until } from "../support/until.ts";
import { AgentProcess, ALICE, curl, runProgram, World, type WorldOptions } from "../support/world.ts";

/** Far less than the wait that was allowed, far more than a busy machine needs. */
const AT_ONCE_MS = 9_000;
const PROVISION = "http://127.0.0.1:3080/provision";
const DISABLED = { wireserver: "disabled", imds: "disabled" } as const;

let world: World | undefined;
const attackers: Subprocess[] = [];
beforeAll(() => {
  requireSandbox();
  if (!existsSync(AGENT)) throw new Error(`this test runs the built agent: found no "${AGENT}", make it with ./scripts/build`);
});
afterEach(async () => {
  for (const attacker of attackers.splice(0)) {
    attacker.kill("SIGKILL");
    await attacker.exited;
  }
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

/** Runs Python as uid 65534 and resolves with the first line that it prints. It ends with the test. */
async function attack(script: string): Promise<string> {
  const program = `import os, socket, sys, time\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\n${script}`;
  const child = Bun.spawn(["/usr/bin/python3", "-c", program], { stdin: "ignore", stdout: "pipe", stderr: "inherit", cwd: "/" });
  attackers.push(child);
  const { value } = await child.stdout.getReader().read();
  return new TextDecoder().decode(value).trim();
}

/** Between two notifies of a process: as fast as it goes, or so that an attack of minutes leaves the processors to others. */
const PAUSE_S = { flood: 0.0005, steady: 0.02 } as const;
/** Notifies over one connection without end; says so after the first hundred answers. */
const NOTIFIER = (
  pauseS: number,
) => `request = (b"GET /provision HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\nx-ms-azure-notify: true\\r\\n"
  b"x-ms-azure-time-tick: 99999999999999999999999\\r\\n\\r\\n")
s = socket.create_connection(("127.0.0.1", 3080)); k = 0
while True:
    s.sendall(request)
    if not s.recv(65536): break
    k += 1
    if k == 100: print("notifying", flush=True)
    time.sleep(${pauseS})`;

async function notifyWithoutEnd(pace: keyof typeof PAUSE_S = "flood"): Promise<void> {
  const first = await Promise.all(Array.from({ length: 4 }, () => attack(NOTIFIER(PAUSE_S[pace]))));
  expect(first).toEqual(Array.from({ length: 4 }, () => "notifying"));
}

describe("T-168: four processes notify with a tick in the future, without end", () => {
  test("a disabled channel: callers are ready, /health stays 200, the host is polled once a second at most", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: { pollKeyStatusIntervalInSeconds: 86_400 } });
    await at.agent.line("provisioned");
    await notifyWithoutEnd();
    const startedMs = performance.now();
    const before = (await at.channelCalls()).length;
    for (let i = 0; i < 3; i++) {
      expect(await runAgentCommand(["--status", "--wait", "10"])).toMatchObject({ code: 0, stdout: "" });
      expect((await curl("http://127.0.0.1:3080/health")).status).toBe(200);
      expect(JSON.parse((await curl(PROVISION)).body)).toEqual({ finished: true, errorMessage: "" });
    }
    const polls = (await at.channelCalls()).length - before;
    expect(polls).toBeLessThanOrEqual(Math.ceil((performance.now() - startedMs) / 1000) + 1);
    expect(at.agent.lines.filter(({ event }) => event === "provisioned")).toHaveLength(1);
  });

  test("reprovisioned to enforce meanwhile: ready means latched and redirected", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: { pollKeyStatusIntervalInSeconds: 86_400 } });
    await at.agent.line("provisioned");
    await notifyWithoutEnd();
    await at.host.configure({ wireserver: "enforce", imds: "enforce" });
    expect((await runAgentCommand(["--status", "--wait", "20"])).code).toBe(0);
    expect(at.agent.lines.some(({ event, fields }) => event === "redirect" && fields.endpoint === "imds")).toBe(true);
  });

  test("a host that does not answer: the end with the error comes two minutes after the start, not later", async () => {
    const refused = { kind: "status", status: 500, endpoint: "wireserver", pathPrefix: "/secure-channel/status" } as const;
    const at = await start({ awaitRedirect: [], beforeAgent: async (host) => void (await host.addFaults(refused)) });
    await at.agent.line("agent-ready");
    await notifyWithoutEnd("steady");
    expect(await runAgentCommand(["--status", "--wait", "150"], { limitMs: 160_000 })).toMatchObject({
      code: 2,
      stdout: "keyLatchStatus - cannot read secure channel status: found answer 500, want 2xx\n",
    });
    const { sinceStartMs } = await at.agent.line("provisioning-failed");
    expect(Number(sinceStartMs)).toBeGreaterThanOrEqual(119_000);
    expect(Number(sinceStartMs)).toBeLessThan(140_000);
  }, 170_000);
});

/** What one user may have of the listener's direct connections, at least. */
const SHARE = 64;
/** Wants so many connections to the listener and sends nothing; prints how many it has. The kernel refuses more than a share for a while. */
const HOLDER = (count: number) => `held = []
for _ in range(${count}):
    s = socket.socket(); s.settimeout(5)
    try: s.connect(("127.0.0.1", 3080))
    except PermissionError: continue
    held.append(s)
print(len(held), flush=True)
time.sleep(600)`;

describe("T-169: a user holds idle direct connections to the listener", () => {
  test.each([64, 700])("%i of them: --status --wait is 0 for root", async (count) => {
    await start();
    expect((await runAgentCommand(["--status", "--wait", "20"])).code).toBe(0);
    expect(Number(await attack(HOLDER(count)))).toBeGreaterThanOrEqual(SHARE);
    for (const wait of ["0", "10"]) {
      const run = await runAgentCommand(["--status", "--wait", wait]);
      expect([run.code, run.stdout]).toEqual([0, ""]);
      expect(run.elapsedMs).toBeLessThan(AT_ONCE_MS);
    }
  });

  test("from before the first poll on, while it notifies as well", async () => {
    const refused = { kind: "status", status: 500, endpoint: "wireserver", pathPrefix: "/secure-channel/status" } as const;
    const at = await start({ awaitRedirect: [], beforeAgent: async (host) => void (await host.addFaults(refused)) });
    await at.agent.line("agent-ready");
    await notifyWithoutEnd();
    await attack(HOLDER(SHARE));
    const early = await runAgentCommand(["--status", "--wait", "1"]);
    expect([early.code, early.stdout]).toEqual([
      1,
      "not ready after 1 s: keyLatchStatus - cannot read secure channel status: found answer 500, want 2xx\n",
    ]);
    const waiting = runAgentCommand(["--status", "--wait", "30"]);
    await at.host.clearFaults();
    expect((await waiting).code).toBe(0);
  });
});

describe("the control socket", () => {
  const socketOf = (at: World) => join(at.folder, "control/agent.sock");
  const config = (folder: string, path: string) => {
    const file = join(folder, "status.json");
    writeFileSync(file, JSON.stringify({ controlSocket: path }));
    return file;
  };

  test("is found by default in this network namespace, is root's alone, and gone after the stop", async () => {
    const at = await start();
    const path = `/run/azure-proxy-agent/control-${readNetworkNamespace()}.sock`;
    await at.agent.line("agent-ready");
    await until("the control socket is there", () => existsSync(path));
    expect([statSync(path).uid, statSync(path).mode & 0o777]).toEqual([0, 0o600]);
    const alice = await runProgram(["curl", "-s", "-S", "--max-time", "5", "--unix-socket", path, "http://agent/health"], ALICE);
    expect([alice.code, alice.stderr]).toEqual([7, expect.stringContaining("connect to")]);
    // She is told over the listener.
    expect((await runProgram([AGENT, "--status", "--wait", "10"], ALICE)).code).toBe(0);
    await at.agent.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("one that a killed agent left is replaced by the next agent", async () => {
    const at = await start();
    const path = `/run/azure-proxy-agent/control-${readNetworkNamespace()}.sock`;
    at.agent.process.kill("SIGKILL");
    await at.agent.process.exited;
    const left = statSync(path).ino;
    const without = await runAgentCommand(["--status"]);
    expect([without.code, without.stdout]).toEqual([1, "not ready: the agent is not running: nothing listens\n"]);
    at.agent = new AgentProcess(at.configPath);
    await at.agent.line("agent-ready");
    expect((await runAgentCommand(["--status", "--wait", "20"])).code).toBe(0);
    await until("the socket is another", () => statSync(path).ino !== left);
    expect((await curl("http://agent/health", { args: ["--unix-socket", path] })).status).toBe(200);
  });

  test("T-171: a command in another network namespace does not hear this one's agent, wherever the socket is", async () => {
    const at = await start({ config: { controlSocket: "" } });
    await at.agent.stop();
    const folder = mkdtempSync(join(tmpdir(), "control-e2e-"));
    try {
      const file = config(folder, socketOf(at));
      writeFileSync(at.configPath, JSON.stringify({ ...JSON.parse(readFileSync(at.configPath, "utf8")), controlSocket: socketOf(at) }));
      at.agent = new AgentProcess(at.configPath);
      await at.awaitRedirect(["imds"]);
      expect((await runAgentCommand(["--status", "--wait", "10", "--config", file])).code).toBe(0);
      const elsewhere = await runProgram(["unshare", "--net", AGENT, "--status", "--config", file]);
      expect([elsewhere.code, elsewhere.stdout]).toEqual([
        1,
        expect.stringMatching(/^not ready: the agent .*; control socket: it runs in another network namespace \(421\)\n$/),
      ]);
      const byDefault = await runProgram(["unshare", "--net", AGENT, "--status"]);
      expect([byDefault.code, byDefault.stdout]).toEqual([1, expect.stringMatching(/^not ready: the agent [^;]*\n$/)]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("T-170: one that is stuck, or another user's that says all is well, costs nobody the boot", async () => {
    const folder = mkdtempSync(join(tmpdir(), "control-e2e-"));
    try {
      chmodSync(folder, 0o755);
      mkdirSync(join(folder, "stuck"), { mode: 0o755 });
      mkdirSync(join(folder, "foreign"), { mode: 0o755 });
      const stuck = join(folder, "stuck/control.sock");
      const foreign = join(folder, "foreign/control.sock");
      // One listens and never accepts; the other is asked by nobody, or would say so.
      const script = `import os, socket, time
a = socket.socket(socket.AF_UNIX); a.bind("${stuck}"); a.listen(64)
os.chown("${join(folder, "foreign")}", 65534, 65534); os.setuid(65534)
b = socket.socket(socket.AF_UNIX); b.bind("${foreign}"); b.listen(64); b.settimeout(600)
print("up", flush=True)
b.accept(); print("asked", flush=True); time.sleep(600)`;
      const child = Bun.spawn(["/usr/bin/python3", "-c", script], { stdin: "ignore", stdout: "pipe", stderr: "inherit", cwd: "/" });
      attackers.push(child);
      let said = "";
      void (async () => {
        for await (const bytes of child.stdout) said += new TextDecoder().decode(bytes);
      })();
      await until("both listen", () => said.includes("up"));
      for (const path of [stuck, foreign]) {
        const absent = await runAgentCommand(["--status", "--config", config(folder, path)]);
        expect([absent.code, absent.stdout]).toEqual([
          1,
          expect.stringMatching(/^not ready: the agent is not running: nothing listens; control/),
        ]);
        expect(absent.elapsedMs).toBeLessThan(2_000);
      }
      await start();
      for (const path of [stuck, foreign]) {
        const run = await runAgentCommand(["--status", "--wait", "10", "--config", config(folder, path)]);
        expect([run.code, run.stdout]).toEqual([0, ""]);
        expect(run.elapsedMs).toBeLessThan(2_000);
      }
      expect(said).toBe("up\n");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
