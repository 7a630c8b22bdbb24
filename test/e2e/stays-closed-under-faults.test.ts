// What breaks around the agent: the host, the key, the rules, the disk. It keeps running and stays closed.

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { attachedPrograms, programsLeft } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { curl, GOAL_STATE, IMDS_INSTANCE, runProgram, World, type WorldOptions } from "../support/world.ts";

let world: World | undefined;

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

describe("key", () => {
  test("is written for root alone and found again after a restart", async () => {
    const { agent, folder, channelCalls, restartAgent } = bind(await start());
    const file = readdirSync(join(folder, "keys")).find((name) => name.endsWith(".key")) ?? "";
    expect(file).toEndWith(".key");
    expect([statSync(join(folder, "keys")).mode & 0o777, statSync(join(folder, "keys", file)).mode & 0o777]).toEqual([0o700, 0o600]);
    const { key } = JSON.parse(readFileSync(join(folder, "keys", file), "utf8"));
    expect(key).toMatch(/^[0-9A-F]{64}$/);
    expect(agent.describe().toUpperCase()).not.toContain(key);
    expect(await restartAgent()).toBe(0);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect(await channelCalls("/secure-channel/key")).toHaveLength(2);
  });

  test("T-02: without a usable key under enforce: 503, and nothing unsigned leaves", async () => {
    const { agent, host } = await start();
    await host.addFaults({ kind: "status", status: 403, endpoint: "wireserver", method: "POST", pathPrefix: "/secure-channel/key" });
    await host.startIncarnation();
    await agent.line("key-dropped");
    const answers = await Promise.all([curl(IMDS_INSTANCE), curl(GOAL_STATE), curl(IMDS_INSTANCE, { as: { uid: 65534, gid: 65534 } })]);
    expect(answers.map(({ status, headers }) => [status, headers["retry-after"]])).toEqual([
      [503, "2"],
      [503, "2"],
      [503, "2"],
    ]);
    expect(await (world as World).received("imds")).toHaveLength(0);
    expect(await (world as World).unsignedLeft()).toHaveLength(0);
  });

  test("T-03: a new incarnation is followed without a restart, the old key signs nothing more", async () => {
    const { agent, host, received } = bind(await start());
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    await host.startIncarnation();
    await agent.line("key-dropped");
    await agent.line(
      "secure-channel",
      ({ message }) =>
        String(message).startsWith("attested key") &&
        agent.lines.filter(({ fields }) => String(fields.message).startsWith("attested key")).length === 2,
    );
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect((await received("imds")).map(({ signature }) => signature.kind)).toEqual(["valid", "valid"]);
  });

  test("T-18: a key file that others could read is not used", async () => {
    const { agent, folder } = await start();
    const file = readdirSync(join(folder, "keys")).find((name) => name.endsWith(".key")) ?? "";
    chmodSync(join(folder, "keys", file), 0o644);
    await agent.stop();
    const again = await restartWithoutRedirect(world as World);
    expect(String((await again.line("key-not-on-disk")).message)).toContain("file mode is 0644, want 0600");
  });

  test("a full disk: the key is not attested, and the agent says why", async () => {
    const full = mkdtempSync("/run/apa-full-");
    const mount = await runProgram(["sh", "-c", `mount -t tmpfs -o size=4k tmpfs ${full} && head -c 4096 /dev/zero > ${full}/filler`]);
    expect(mount.stderr).toBe("");
    try {
      const { agent, host } = await start({ config: { latchKeyFolder: full }, awaitRedirect: [] });
      const line = await agent.line("secure-channel", ({ message }) => String(message).includes("cannot save key"));
      expect(String(line.message)).toContain("ENOSPC");
      expect((await host.requests({ endpoint: "wireserver" })).filter(({ target }) => target.includes("attestation"))).toHaveLength(0);
      expect((await curl("http://127.0.0.1:3080/health", {})).status).toBe(503);
    } finally {
      await world?.[Symbol.asyncDispose]();
      world = undefined;
      await runProgram(["umount", full]);
      await runProgram(["rmdir", full]);
    }
  });

  test.each([
    ["a key that is not hex", { kind: "malformed-body" }],
    ["an answer without end", { kind: "oversized-body", bodyBytes: 50_000_000 }],
    ["a reset midway", { kind: "reset", during: "body" }],
    ["nonsense instead of HTTP", { kind: "raw-answer", text: "SSH-2.0-hello\r\n" }],
  ] as const)("%s at acquire leaves the channel unlatched and is told without the key", async (_what, fault) => {
    const { agent, host } = await start({ host: { imds: "disabled", wireserver: "disabled" }, awaitRedirect: [] });
    await host.addFaults({ ...fault, endpoint: "wireserver", method: "POST", pathPrefix: "/secure-channel/key", count: 1 });
    await host.configure({ imds: "enforce" });
    await agent.line("secure-channel", ({ message }) => String(message).startsWith("cannot acquire key"));
    expect(agent.describe().replace(/"policyId":"[0-9a-f]{64}"/g, "")).not.toMatch(/[0-9A-F]{64}/i);
    // The fault is over: the next turn gets there.
    await agent.line("redirect", ({ endpoint, guarded }) => endpoint === "imds" && guarded === true);
  });
});

describe("host", () => {
  test.each([
    ["is down", { kind: "stop-listening" }],
    ["resets connections", { kind: "reset-connections" }],
    ["resets midway through its head", { kind: "reset", during: "head" }],
    ["speaks nonsense", { kind: "raw-answer", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx" }],
  ] as const)("that %s gives 503 with Retry-After", async (_what, fault) => {
    const { host } = await start();
    await host.addFaults({ ...fault, endpoint: "imds" });
    const answer = await curl(IMDS_INSTANCE);
    expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "1"]);
    await host.clearFaults();
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });

  test("that breaks midway through a body breaks the client's connection", async () => {
    const { host } = await start();
    await host.addFaults({ kind: "reset", during: "body", endpoint: "imds" });
    const { code } = await runProgram(["curl", "-s", "-H", "Metadata: true", IMDS_INSTANCE]);
    // 18: partial file, 56: connection reset.
    expect([18, 56]).toContain(code);
  });

  test.each([-7200, 7200])("whose clock is %p seconds off accepts our signatures", async (clockOffsetSeconds) => {
    await start({ host: { clockOffsetSeconds } });
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });

  test("T-15: whose status cannot be read changes nothing", async () => {
    const { host, agent } = await start();
    for (const text of ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"]) {
      await host.addFaults({ kind: "raw-answer", text, endpoint: "wireserver", pathPrefix: "/secure-channel/status" });
      await agent.line("secure-channel", ({ message }) => String(message).startsWith("cannot read secure channel status"));
      expect((await curl(IMDS_INSTANCE)).status).toBe(200);
      await host.clearFaults();
    }
  });
});

describe("modes and rules", () => {
  const denyAll = { id: "deny", defaultAccess: "deny" };

  test("audit lets pass what enforce denies, and says so", async () => {
    const { host, agent } = await start({ host: { imds: "audit", rules: { imds: denyAll } } });
    expect((await curl(`${IMDS_INSTANCE}&when=audit`)).status).toBe(200);
    expect(await agent.line("request-forwarded", ({ url }) => String(url).endsWith("when=audit"))).toMatchObject({
      wouldDeny: "default-deny",
      mode: "audit",
    });
    await host.configure({ imds: "enforce" });
    await agent.line("rules-applied", ({ mode, endpoint }) => mode === "enforce" && endpoint === "imds");
    expect((await curl(IMDS_INSTANCE)).status).toBe(403);
  });

  test("a disabled endpoint is not redirected; switching off and on works without a restart", async () => {
    const { host, agent } = await start({ host: { imds: "enforce", rules: { imds: denyAll } } });
    expect((await curl(IMDS_INSTANCE)).status).toBe(403);
    await host.configure({ imds: "disabled" });
    await agent.line("redirect", ({ endpoint, guarded }) => endpoint === "imds" && guarded === false);
    expect((await curl(IMDS_INSTANCE)).headers["x-ms-azure-host-authorization"]).toBeUndefined();
    await host.configure({ imds: "enforce" });
    await agent.line(
      "redirect",
      ({ endpoint, guarded }) =>
        endpoint === "imds" &&
        guarded === true &&
        agent.lines.filter(({ event, fields }) => event === "redirect" && fields.endpoint === "imds").length === 3,
    );
    expect((await curl(IMDS_INSTANCE)).status).toBe(403);
  });

  test("T-12: rules that cannot be used leave the last good ones in force, visibly", async () => {
    const { host, agent } = await start({ host: { imds: "enforce", rules: { imds: denyAll } } });
    await host.configure({ rules: { imds: { id: "broken", defaultAccess: "perhaps" } } });
    expect(String((await agent.line("rules-refused")).message)).toContain('cannot use IMDS rules "broken"');
    expect((await curl(IMDS_INSTANCE)).status).toBe(403);
    const { agentDetails } = await (world as World).untilStatus({ proxyAgentStatus: { status: "ERROR" } });
    expect(JSON.stringify(agentDetails)).toContain("perhaps");
  });

  test("a thousand rules are taken up while requests go on, each decided by the old rules or the new ones", async () => {
    const { host, agent } = await start({ host: { imds: "enforce", rules: { imds: { id: "small", defaultAccess: "allow" } } } });
    const privileges = Array.from({ length: 1_000 }, (_, n) => ({
      name: `p${n}`,
      path: n === 0 ? "/metadata/instance" : `/metadata/part-${n}`,
    }));
    const rules = { privileges, roles: [], identities: [], roleAssignments: [] };
    const answers: number[] = [];
    const asking = (async () => {
      while (answers.at(-1) !== 403 && answers.length < 200) answers.push((await curl(IMDS_INSTANCE)).status);
    })();
    await host.configure({ rules: { imds: { id: "large", defaultAccess: "allow", rules } } });
    await agent.line("rules-applied", ({ ruleSetId }) => ruleSetId === "large");
    await asking;
    expect(answers.slice(0, -1).every((status) => status === 200)).toBe(true);
    expect(answers.at(-1)).toBe(403);
  });

  test("T-13: broken rules from the start close the endpoint", async () => {
    await start({ host: { imds: "enforce", rules: { imds: { id: "broken", defaultAccess: "perhaps" } } } });
    expect((await curl(IMDS_INSTANCE)).status).toBe(403);
    expect((await curl(GOAL_STATE, { args: ["-H", "x-ms-version: 2012-11-30"] })).status).toBe(200);
  });

  test("version 1.0 guards by its state word", async () => {
    await start({ host: { channelVersion: "1.0", wireserver: "enforce", imds: "enforce" } });
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect((await curl(GOAL_STATE, { as: { uid: 65534, gid: 65534 } })).status).toBe(403);
    expect(await (world as World).unsignedLeft()).toHaveLength(0);
  });

  test("an unendorsed request that goes round us is refused by the host", async () => {
    const { agent } = await start();
    await agent.stop();
    expect((await curl(IMDS_INSTANCE)).status).toBe(401);
  });
});

describe("start and stop", () => {
  test("T-17: SIGTERM ends cleanly and leaves nothing attached", async () => {
    const { agent } = await start();
    expect(attachedPrograms(requireSandbox().cgroupPath)).toHaveLength(5);
    expect(await agent.stop()).toBe(0);
    expect(programsLeft(requireSandbox().cgroupPath)).toEqual([]);
  });

  test("status.json tells the truth while running", async () => {
    const one = await start();
    const wanted = {
      proxyAgentStatus: {
        status: "SUCCESS",
        keyLatchStatus: { status: "RUNNING", states: { secureChannelState: "WireServer Enforce -  IMDS Enforce - HostGA Enforce" } },
        ebpfProgramStatus: { status: "RUNNING" },
        proxyListenerStatus: { status: "RUNNING" },
      },
    };
    expect(await one.untilStatus(wanted)).toMatchObject(wanted);
  });
});

/** Methods that can be taken apart from their object. */
function bind(one: World) {
  return {
    agent: one.agent,
    folder: one.folder,
    host: one.host,
    restartAgent: () => one.restartAgent(),
    channelCalls: (pathPrefix: string) => one.channelCalls(pathPrefix),
    received: (endpoint: Parameters<World["received"]>[0]) => one.received(endpoint),
  };
}

async function restartWithoutRedirect(one: World) {
  await one.restartAgent([]);
  return one.agent;
}
