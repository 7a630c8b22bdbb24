// Boot tools hang on `--status --wait N`. Here users without privileges try to make it fail: they hold the listener's direct
// connections, and send notifies with ticks in the future. Real user ids, the built agent, real time limits.

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Subprocess } from "bun";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, runAgentCommand } from "../support/status-command.ts";
import { curl, World, type WorldOptions } from "../support/world.ts";

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

/** Notifies over one connection without end; says so after the first hundred answers. */
const NOTIFIER = `request = (b"GET /provision HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\nx-ms-azure-notify: true\\r\\n"
  b"x-ms-azure-time-tick: 99999999999999999999999\\r\\n\\r\\n")
s = socket.create_connection(("127.0.0.1", 3080)); k = 0
while True:
    s.sendall(request)
    if not s.recv(65536): break
    k += 1
    if k == 100: print("notifying", flush=True)
    time.sleep(0.0005)`;

async function notifyWithoutEnd(): Promise<void> {
  const first = await Promise.all(Array.from({ length: 4 }, () => attack(NOTIFIER)));
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
    await notifyWithoutEnd();
    expect(await runAgentCommand(["--status", "--wait", "150"], { limitMs: 160_000 })).toMatchObject({
      code: 2,
      stdout: "keyLatchStatus - cannot read secure channel status: found answer 500, want 2xx\n",
    });
    const { sinceStartMs } = await at.agent.line("provisioning-failed");
    expect(Number(sinceStartMs)).toBeGreaterThanOrEqual(119_000);
    expect(Number(sinceStartMs)).toBeLessThan(125_000);
  }, 170_000);
});
