// Provisioning as boot tools see it: the exit code of --status, /provision, and the tag files; at first boot, and asked anew hours later.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, CommandStage, runAgentCommand } from "../support/status-command.ts";
import { AgentProcess, ALICE, curl, IMDS_INSTANCE, runProgram, World, type WorldOptions } from "../support/world.ts";

const PROVISION = "http://127.0.0.1:3080/provision";
const DISABLED = { wireserver: "disabled", imds: "disabled" } as const;
/** The host is asked at start, and after that only when somebody wants it. */
const RARELY = { pollKeyStatusIntervalInSeconds: 86_400 };
const REFUSED_STATUS = { kind: "status", status: 500, endpoint: "wireserver", pathPrefix: "/secure-channel/status" } as const;

let stage: CommandStage;
let world: World | undefined;
beforeAll(() => {
  requireSandbox();
  stage = new CommandStage();
});
afterAll(() => stage?.[Symbol.dispose]());
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
  stage.shiftClock(0);
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

const status = (...more: readonly string[]) => runAgentCommand(["--status", ...more]);
const tag = (at: World, name: string) => join(at.folder, "keys", `${name}.tag`);

async function provision(url = PROVISION, ...args: readonly string[]): Promise<unknown> {
  return JSON.parse((await curl(url, { args })).body);
}

describe("first boot", () => {
  test("latched: finished, with tags for root alone and one line of the log", async () => {
    const at = await start();
    expect((await status("--wait", "20")).code).toBe(0);
    expect(await provision()).toEqual({ finished: true, errorMessage: "" });
    expect(readFileSync(tag(at, "status"), "utf8")).toBe("");
    expect(readFileSync(tag(at, "provisioned"), "utf8")).toMatch(/^20[0-9]{2}-/);
    expect([tag(at, "status"), tag(at, "provisioned")].map((path) => statSync(path).mode & 0o7777)).toEqual([0o600, 0o600]);
    expect(at.agent.lines.filter(({ event }) => event === "provisioned")).toHaveLength(1);
  });

  test("the channel is disabled: finished as well, and nothing is redirected", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [] });
    expect((await status("--wait", "20")).code).toBe(0);
    expect(at.agent.lines.some(({ event }) => event === "redirect")).toBe(false);
  });

  test("the host comes late: not finished and why, then finished for who has waited", async () => {
    const at = await start({ awaitRedirect: [], beforeAgent: async (host) => void (await host.addFaults(REFUSED_STATUS)) });
    await at.agent.line("secure-channel");
    const early = await status();
    expect([early.code, early.stdout]).toEqual([
      1,
      "not ready: keyLatchStatus - cannot read secure channel status: found answer 500, want 2xx\n",
    ]);
    expect([await provision(), existsSync(tag(at, "status"))]).toEqual([
      { finished: false, errorMessage: "keyLatchStatus - cannot read secure channel status: found answer 500, want 2xx\r\n" },
      false,
    ]);
    const waiting = status("--wait", "30");
    await at.host.clearFaults();
    expect((await waiting).code).toBe(0);
    expect(existsSync(tag(at, "status"))).toBe(true);
  });

  test("tags of an earlier boot are gone before anything else happens", async () => {
    const at = await start();
    await at.agent.stop();
    writeFileSync(tag(at, "status"), "keyLatchStatus - of another day");
    await at.host.addFaults(REFUSED_STATUS);
    at.agent = new AgentProcess(at.configPath);
    await at.agent.line("listener-ready");
    expect(readdirSync(join(at.folder, "keys")).filter((name) => name.endsWith(".tag"))).toEqual([]);
    await at.host.clearFaults();
    await at.agent.line("provisioned");
    expect(readFileSync(tag(at, "status"), "utf8")).toBe("");
  });

  test("a key folder that cannot be had: the agent comes up, says so, and is not ready", async () => {
    const at = await start({ awaitRedirect: [], config: { latchKeyFolder: "/proc/no-such-folder/keys" } });
    await at.agent.line("secure-channel", ({ message }) => String(message).includes("/proc/no-such-folder"));
    expect((await status()).stdout).toStartWith("not ready: keyLatchStatus - ");
  });
});

describe("asked anew, hours later", () => {
  test("a pre-provisioned VM gets its owner: disabled becomes enforce by the notify, and ready means latched and redirected", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: RARELY });
    expect((await status("--wait", "20")).code).toBe(0);
    await at.host.configure({ wireserver: "enforce", imds: "enforce" });
    expect((await curl(IMDS_INSTANCE)).status).toBe(401);
    expect((await status("--wait", "20")).code).toBe(0);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect(at.agent.lines.filter(({ event }) => event === "provisioned")).toHaveLength(1);
  });

  test("still disabled, without --wait: ready at once, hours after the host was last asked", async () => {
    await start({ host: DISABLED, awaitRedirect: [], config: RARELY });
    expect((await status("--wait", "20")).code).toBe(0);
    expect(await status()).toMatchObject({ code: 0, stdout: "" });
  });

  test("still disabled: finished only after the host was asked again", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: RARELY });
    expect((await status("--wait", "20")).code).toBe(0);
    const before = (await at.channelCalls()).length;
    expect((await status("--wait", "20")).code).toBe(0);
    expect((await at.channelCalls()).length).toBe(before + 1);
  });

  test.each([5 * 3600, -5 * 3600])("the clock has jumped by %p s between the two, for the agent and who asks", async (seconds) => {
    const at = await start({ host: DISABLED, awaitRedirect: [] });
    await at.agent.stop();
    const environment = Object.entries(stage.clockEnvironment).map(([name, value]) => `${name}=${value}`);
    at.agent = new AgentProcess(at.configPath, { command: ["/usr/bin/env", ...environment, AGENT, "--config", at.configPath] });
    const ask = () => runAgentCommand(["--status", "--wait", "20"], { env: stage.clockEnvironment });
    await at.agent.line("provisioned");
    expect((await ask()).code).toBe(0);
    stage.shiftClock(seconds);
    expect((await ask()).code).toBe(0);
    await at.host.configure({ wireserver: "enforce", imds: "enforce" });
    await at.awaitRedirect(["imds"]);
    expect((await ask()).code).toBe(0);
    // Signed with the host's time, whatever ours is.
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });

  test("the clock jumps back by hours while somebody waits", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: RARELY });
    await at.agent.stop();
    await at.host.addFaults(REFUSED_STATUS);
    const environment = Object.entries(stage.clockEnvironment).map(([name, value]) => `${name}=${value}`);
    at.agent = new AgentProcess(at.configPath, { command: ["/usr/bin/env", ...environment, AGENT, "--config", at.configPath] });
    await at.agent.line("secure-channel");
    const waiting = runAgentCommand(["--status", "--wait", "30"], { env: stage.clockEnvironment });
    await Bun.sleep(500);
    stage.shiftClock(-7_200);
    await at.host.clearFaults();
    expect((await waiting).code).toBe(0);
  });
});

describe("no key", () => {
  test("attestation refused: not in time, with the reason", async () => {
    await start({ awaitRedirect: [], beforeAgent: async (host) => void (await host.addFaults({ kind: "refuse-attest" })) });
    const run = await status("--wait", "2");
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(/^not ready after 2 s: keyLatchStatus - cannot attest key [0-9a-fA-F-]{36}: found answer 403, want 200\n$/);
  });

  test("a key that is lost takes readiness back until there is one again", async () => {
    const at = await start();
    expect((await curl("http://127.0.0.1:3080/health")).status).toBe(200);
    await at.host.addFaults({
      kind: "status",
      status: 403,
      endpoint: "wireserver",
      method: "POST",
      pathPrefix: "/secure-channel/key",
    });
    await at.host.startIncarnation();
    await at.agent.line("key-dropped");
    expect((await curl("http://127.0.0.1:3080/health")).status).toBe(503);
    expect((await status()).code).toBe(1);
    const waiting = status("--wait", "30");
    await at.host.clearFaults();
    expect((await waiting).code).toBe(0);
  });
});

describe("/provision", () => {
  test("anyone may ask, on the listener and on a redirected connection; without Metadata it is a bad request", async () => {
    await start();
    for (const url of [PROVISION, "http://168.63.129.16/provision", "http://169.254.169.254/provision?"])
      expect(await provision(url)).toEqual({ finished: true, errorMessage: "" });
    expect((await curl(PROVISION, { as: ALICE })).status).toBe(200);
    const bare = await runProgram(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", PROVISION]);
    expect(bare.stdout).toBe("400");
  });

  test("T-95: a user who notifies without end causes one question a second", async () => {
    const at = await start({ host: DISABLED, awaitRedirect: [], config: RARELY });
    await at.agent.line("provisioned");
    const before = (await at.channelCalls()).length;
    const startedMs = performance.now();
    const tick = String(BigInt(Date.now() + 3_600_000) * 1_000_000n);
    await curl(PROVISION, {
      as: ALICE,
      args: ["-H", "x-ms-azure-notify: true", "-H", `x-ms-azure-time-tick: ${tick}`, ...Array.from({ length: 400 }, () => PROVISION)],
    });
    await Bun.sleep(1_200);
    const seconds = (performance.now() - startedMs) / 1000;
    expect((await at.channelCalls()).length - before).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
    // It keeps nobody from getting ready.
    expect((await status("--wait", "20")).code).toBe(0);
  });

  test("T-98: what the host answers is in no text that leaves the agent", async () => {
    const secret = "4A404E635266556A586E3272357538782F413F4428472B4B6250645367566B59";
    const bodies = [
      secret,
      `{"key":"${secret}"}`,
      JSON.stringify({ version: secret, authorizationScheme: secret, keyDeliveryMethod: secret }),
    ];
    const raw = [`HTTP/1.1 200 ${secret}\r\n\r\n`, `HTTP/1.1 200 OK\r\n${secret}\r\n\r\n`, `${secret}\r\n\r\n`];
    const faults = ["/secure-channel/status", "/secure-channel/key"].flatMap((pathPrefix) => {
      const where = { endpoint: "wireserver", pathPrefix } as const;
      return [
        ...bodies.map((body) => ({ ...where, kind: "status", status: 200, body }) as const),
        { ...where, kind: "status", status: 500, body: secret } as const,
        ...raw.map((text) => ({ ...where, kind: "raw-answer", text }) as const),
      ];
    });
    const at = await start({ awaitRedirect: [], beforeAgent: async (host) => void (await host.addFaults(REFUSED_STATUS)) });
    while (!existsSync(join(at.folder, "status", "status.json"))) await Bun.sleep(20);
    const answers: string[] = [];
    for (const fault of faults) {
      await at.host.clearFaults();
      const seen = (await at.channelCalls(fault.pathPrefix)).length;
      await at.host.addFaults(fault);
      while ((await at.channelCalls(fault.pathPrefix)).length < seen + 2) await Bun.sleep(50);
      const run = await status();
      expect(run.code).toBe(1);
      answers.push(run.stdout, JSON.stringify(await provision()), JSON.stringify(at.status()));
    }
    await at.host.clearFaults();
    await at.agent.line("provisioned");
    expect([...answers, at.agent.describe()].join("\n")).not.toContain(secret.slice(0, 16));
  }, 120_000);
});
