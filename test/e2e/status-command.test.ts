// `azure-proxy-agent --status --wait N` while the agent is absent, hung, starting, restarting or lying: it ends within N + 2 seconds,
// with the right code and at most one short line. cloud-init runs it at boot and waits for it without a limit of its own.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, CommandStage, playAgent, provisionReply, runAgentCommand, type StatusRun } from "../support/status-command.ts";
import { failedConnects } from "../support/tcp-counters.ts";
import { until } from "../support/until.ts";
import { World } from "../support/world.ts";

/** What a busy machine may add to a wait. */
const LATE_MS = 4_000;
let stage: CommandStage;
beforeAll(() => {
  requireSandbox();
  stage = new CommandStage();
});
afterAll(() => stage?.[Symbol.dispose]());

/** Exit 1 with one line that reads so, in time. */
function expectNotReady(run: StatusRun, waitSeconds: number, line: RegExp): void {
  expect([run.code, run.stderr]).toEqual([1, ""]);
  expect(run.stdout).toMatch(/^[ -{}~]{1,200}\n$/);
  expect(run.stdout).toMatch(line);
  expect(run.elapsedMs).toBeLessThan(waitSeconds * 1000 + LATE_MS);
}

describe("no agent", () => {
  test.each([
    ["an empty environment", {}],
    ["nothing but PATH", { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }],
    [
      "proxies in the environment",
      { http_proxy: "http://127.0.0.1:9", HTTP_PROXY: "http://127.0.0.1:9", ALL_PROXY: "socks5://127.0.0.1:9" },
    ],
  ])("with %s: 1, and why", async (_name, env) => {
    expectNotReady(await runAgentCommand(["--status"], { env }), 0, /^not ready: the agent is not running: nothing listens$/m);
  });

  test("it is asked for as long as was said", async () => {
    const run = await runAgentCommand(["--status", "--wait", "2"]);
    expectNotReady(run, 2, /^not ready after 2 s: the agent is not running/);
    expect(run.elapsedMs).toBeGreaterThan(1_700);
  });

  test("found through PATH, as cloud-init finds it", async () => {
    const run = await runAgentCommand(["-s", "-w", "0"], { command: ["/usr/bin/env", `PATH=${stage.folder}`, "azure-proxy-agent"] });
    expectNotReady(run, 0, /not running/);
  });

  test("standard input, output and error closed: the exit code is still right", async () => {
    const run = await runAgentCommand(["-c", `exec ${AGENT} --status --wait 1 <&- >&- 2>&-`], { command: ["/bin/sh"] });
    expect([run.code, run.stdout]).toEqual([1, ""]);
  });

  test("a reader that never reads does not keep it", async () => {
    // The pipe is full before the command starts, and nobody takes anything out of it.
    const script = `import os, subprocess, sys
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while True: os.write(w, b"x" * 4096)
except BlockingIOError: pass
os.set_blocking(w, True)
print(subprocess.run([sys.argv[1], "--status"], stdin=subprocess.DEVNULL, stdout=w, timeout=10).returncode)`;
    const run = await runAgentCommand(["-c", script, AGENT], { command: ["/usr/bin/python3"] });
    expect([run.stdout, run.stderr]).toEqual(["1\n", ""]);
  });

  test("a file system that is read-only everywhere", async () => {
    const script = `mount --make-rprivate / && mount -o bind / / && mount -o remount,ro,bind / && mount -t tmpfs -o ro none /tmp && \
      ! touch /tmp/x 2>/dev/null && exec ${AGENT} --status`;
    const command = ["unshare", "--mount", "--", "/bin/sh", "-c", script];
    // The program's own file must stay in sight when it lies below /tmp.
    const run = await runAgentCommand([], { command: AGENT.startsWith("/tmp/") ? withoutTmp(command) : command });
    expectNotReady(run, 0, /not running/);
  });
});

/** As a user of no importance that was there first. */
const IMPOSTOR = `import os, socket
os.setuid(65534)
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 3080)); s.listen(64)
print("up", flush=True)
body = b'{"finished":true,"errorMessage":""}'
while True:
    c, _ = s.accept(); c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body); c.close()`;

test("T-97: another user that listens in the agent's place and says that all is well is not believed", async () => {
  const impostor = Bun.spawn(["/usr/bin/python3", "-c", IMPOSTOR], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  try {
    await impostor.stdout.getReader().read();
    expectNotReady(await runAgentCommand(["--status"]), 0, /uid 65534 listens in its place/);
    expectNotReady(await runAgentCommand(["--status", "--wait", "1"]), 1, /uid 65534 listens in its place/);
  } finally {
    impostor.kill("SIGKILL");
    await impostor.exited;
  }
});

function withoutTmp(command: readonly string[]): readonly string[] {
  const script = (command.at(-1) ?? "").replace("mount -t tmpfs -o ro none /tmp && ", "");
  return [...command.slice(0, -1), script];
}

describe("an agent in trouble", () => {
  test("T-97: accepts and never answers", async () => {
    await using agent = await playAgent(() => {});
    expectNotReady(await runAgentCommand(["--status"]), 0, /the agent does not answer$/m);
    expectNotReady(await runAgentCommand(["--status", "--wait", "2"]), 2, /^not ready after 2 s: the agent does not answer$/m);
    expect(agent.seen.length).toBeGreaterThanOrEqual(2);
  });

  test("answers byte by byte, for ever", async () => {
    const text = provisionReply(true, "x".repeat(60_000));
    await using _agent = await playAgent((socket) => {
      let at = 0;
      const timer = setInterval(() => socket.write(text[at++] ?? ""), 20);
      socket.on("close", () => clearInterval(timer));
    });
    expectNotReady(await runAgentCommand(["--status", "--wait", "1"]), 1, /does not answer/);
  });

  test("T-97: answers without end", async () => {
    await using _agent = await playAgent((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = () => {
        while (socket.writable && socket.write("x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"));
      };
      socket.on("drain", more);
      more();
    });
    expectNotReady(await runAgentCommand(["--status", "--wait", "1"]), 1, /an answer that is too long/);
  });

  test("closes at once", async () => {
    await using _agent = await playAgent((socket) => socket.destroy());
    expectNotReady(await runAgentCommand(["--status", "--wait", "1"]), 1, /without an answer|cannot be heard/);
  });

  test("has no room for one more connection", async () => {
    const script = `import socket, subprocess, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 3080)); s.listen(0)
held = []
for _ in range(4):
    c = socket.socket(); c.setblocking(False)
    try: c.connect(("127.0.0.1", 3080))
    except BlockingIOError: pass
    held.append(c)
r = subprocess.run([sys.argv[1], "--status", "--wait", "1"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
print(r.returncode, r.stdout, end="")`;
    const run = await runAgentCommand(["-c", script, AGENT], { command: ["/usr/bin/python3"] });
    expect(run.stdout).toBe("1 not ready after 1 s: the agent cannot be connected to in time\n");
    expect(run.elapsedMs).toBeLessThan(1_000 + LATE_MS);
  });

  test("is another program", async () => {
    await using _agent = await playAgent((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
    expectNotReady(await runAgentCommand(["--status"]), 0, /an answer that is not HTTP/);
  });

  test("T-97: finished with an error: 2, and the lines of what is not ready as one", async () => {
    await using _agent = await playAgent((socket) =>
      socket.end(provisionReply(true, `keyLatchStatus - a|b\r\nebpfProgramStatus - ${"ü".repeat(900)}\r\n`)),
    );
    const run = await runAgentCommand(["--status", "--wait", "30"]);
    expect([run.code, run.stderr]).toEqual([2, ""]);
    expect(run.stdout).toMatch(/^keyLatchStatus - a\/b; ebpfProgramStatus - \?+\.\.\.\n$/);
    expect(run.stdout.length).toBeLessThanOrEqual(201);
  });

  test("the notify is sent until one attempt connects, the tick with every one", async () => {
    const failed = failedConnects();
    const running = runAgentCommand(["--status", "--wait", "20"]);
    await until("an attempt has found nobody", () => failedConnects() > failed);
    await using agent = await playAgent((socket, seen) => socket.end(provisionReply(seen.length === 3, "")));
    expect((await running).code).toBe(0);
    expect(agent.seen.map((head) => head.includes("x-ms-azure-notify: true\r\n"))).toEqual([true, false, false]);
    for (const head of agent.seen) {
      expect(head).toStartWith("GET /provision HTTP/1.1\r\n");
      expect(head).toContain("Metadata: true\r\n");
      const tickMs = Number(/x-ms-azure-time-tick: ([0-9]+)\r\n/.exec(head)?.[1]) / 1e6;
      expect(Math.abs(Date.now() - tickMs)).toBeLessThan(30_000);
    }
  });
});

describe("the clock", () => {
  test.each([7_200, -7_200])("jumps by %p s while it waits: the wait stays as long as it was", async (seconds) => {
    stage.shiftClock(0);
    await using agent = await playAgent((socket) => socket.end(provisionReply(false, "keyLatchStatus - asking\r\n")));
    const running = runAgentCommand(["--status", "--wait", "6"], { env: stage.clockEnvironment });
    await until("some attempts", () => agent.seen.length >= 3);
    stage.shiftClock(seconds);
    const run = await running;
    expectNotReady(run, 6, /^not ready after 6 s: keyLatchStatus - asking$/m);
    expect(run.elapsedMs).toBeGreaterThan(5_700);
    const ticks = agent.seen.map((head) => Number(/time-tick: ([0-9]+)/.exec(head)?.[1]) / 1e9);
    expect(Math.round((ticks.at(-1) ?? 0) - (ticks[0] ?? 0))).toBe(seconds);
  });
});

describe("with the agent itself", () => {
  test("ready: 0 and not a word; stopped as a process: 1; going on: 0; gone: 1", async () => {
    await using world = await World.start();
    const ready = await runAgentCommand(["--status", "--wait", "20"], { env: { http_proxy: "http://127.0.0.1:9" } });
    expect([ready.code, ready.stdout, ready.stderr]).toEqual([0, "", ""]);
    world.agent.process.kill("SIGSTOP");
    try {
      expectNotReady(await runAgentCommand(["--status", "--wait", "1"]), 1, /the agent does not answer/);
    } finally {
      world.agent.process.kill("SIGCONT");
    }
    expect((await runAgentCommand(["--status", "--wait", "20"])).code).toBe(0);
    await world.agent.stop();
    expectNotReady(await runAgentCommand(["--status"]), 0, /nothing listens/);
  });

  test("started before the agent and asking through its restart: 0", async () => {
    let early: Promise<StatusRun> | undefined;
    await using world = await World.start({
      beforeAgent: async () => {
        const failed = failedConnects();
        early = runAgentCommand(["--status", "--wait", "30"]);
        await until("an attempt has found nobody", () => failedConnects() > failed);
      },
    });
    expect((await early)?.code).toBe(0);
    await world.agent.stop();
    const failed = failedConnects();
    const during = runAgentCommand(["--status", "--wait", "30"]);
    await until("an attempt has found nobody", () => failedConnects() > failed);
    await world.restartAgent();
    expect((await during).code).toBe(0);
  });
});

describe("what it loads", () => {
  test("neither the kernel side nor the native module", async () => {
    await using agent = await playAgent(() => {});
    const child = Bun.spawn([AGENT, "--status", "--wait", "1"], { stdin: "ignore", stdout: "ignore", env: {} });
    await until("an attempt", () => agent.seen.length > 0);
    const maps = readFileSync(`/proc/${child.pid}/maps`, "utf8");
    expect(maps).not.toMatch(/libbpf|koffi|memfd/);
    await child.exited;
  });
});

describe("usage", () => {
  test.each([[["--wait", "5"]], [["--status", "--wait", "soon"]], [["--status", "--wait"]], [["--status", "now"]], [["--nonsense"]]])(
    "%j: 64, nothing on standard output",
    async (argv) => {
      const run = await runAgentCommand(argv);
      expect([run.code, run.stdout]).toEqual([64, ""]);
      expect(run.stderr).toStartWith("azure-proxy-agent: ");
    },
  );

  test("--version: the version text alone", async () => {
    for (const argv of [["--version"], ["-v"], ["--nonsense", "--version"]]) {
      const run = await runAgentCommand(argv);
      expect([run.code, run.stderr]).toEqual([0, ""]);
      expect(run.stdout).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+\n$/);
    }
  });
});

describe("console", () => {
  test.each([
    ["a line", "\n"],
    ["the end of input", undefined],
  ])("ends with %s, in order", async (_name, input) => {
    await using world = await World.start();
    await world.agent.stop();
    const child = Bun.spawn([AGENT, "console", "--config", world.configPath], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: {},
      cwd: "/",
    });
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of child.stdout) {
      const before = text;
      text += decoder.decode(bytes, { stream: true });
      if (text.includes("Press Enter to end it.\n") && !before.includes("Press Enter to end it.\n")) {
        if (input !== undefined) child.stdin.write(input);
        if (input === undefined) child.stdin.end();
        else child.stdin.flush();
      }
    }
    expect(await child.exited).toBe(0);
    expect(text).toContain('agent-stopped {"signal":"console"}');
  });
});
