// @azure/identity's ManagedIdentityCredential, the way programs on a VM get their tokens: under Node and under Bun, as root and as a user,
// while IMDS is well, slow, throttling or away, and where the rules deny.

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { canRunClient, requestToken } from "../support/real-clients.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { ALICE, runProgram, World, type WorldOptions } from "../support/world.ts";

const GOT = { tokenLength: expect.any(Number), expiresInFuture: true };
/** Nobody may ask for tokens; everything else is open. */
const NO_TOKENS = {
  id: "no-tokens",
  defaultAccess: "allow",
  rules: {
    privileges: [{ name: "tokens", path: "/metadata/identity" }],
    roles: [{ name: "token-users", privileges: ["tokens"] }],
    identities: [{ name: "nobody", userName: "no-such-user" }],
    roleAssignments: [{ role: "token-users", identities: ["nobody"] }],
  },
};

let world: World | undefined;
const bun = process.execPath;
beforeAll(async () => {
  requireSandbox();
  // @azure/identity wants Node 20; where the distribution's is older, Bun alone is tried.
  const { stdout } = await runProgram(["node", "-p", "process.versions.node"]);
  if (Number.parseInt(stdout, 10) < 20) node = bun;
});
let node = "node";
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

describe("ManagedIdentityCredential", () => {
  test("a token, under Node and Bun, as root and as a user, each request signed", async () => {
    const at = await start();
    for (const runtime of [node, bun]) expect(await requestToken(runtime)).toMatchObject(GOT);
    // Where Alice can run it: runtime and checkout may lie in folders that only root may enter.
    if (await canRunClient(node, ALICE)) expect(await requestToken(node, ALICE)).toMatchObject(GOT);
    const asked = await at.received("imds");
    expect(asked.length).toBeGreaterThanOrEqual(2);
    expect(asked.every(({ signature, status }) => signature.kind === "valid" && status === 200)).toBe(true);
  });

  test.each([503, 429, 500])(
    "IMDS answers %p with Retry-After: it asks again and gets its token",
    async (status) => {
      const at = await start();
      await at.host.addFaults({ kind: "status", status, retryAfterSeconds: 1, endpoint: "imds", count: 2 });
      expect(await requestToken(node)).toMatchObject(GOT);
      expect((await at.received("imds")).map((request) => request.status)).toEqual([status, status, 200]);
    },
    120_000,
  );

  test("IMDS is slow: it waits and gets its token", async () => {
    const at = await start();
    await at.host.addFaults({ kind: "delay", delayMs: 4_000, endpoint: "imds" });
    expect(await requestToken(node)).toMatchObject(GOT);
  }, 120_000);

  test("IMDS is away for a while: our 503 makes it ask again", async () => {
    const at = await start();
    await at.host.addFaults({ kind: "stop-listening", endpoint: "imds" });
    const token = requestToken(node);
    await at.agent.line("request-failed", ({ reason }) => reason === "host-unreachable");
    await at.host.clearFaults();
    expect(await token).toMatchObject(GOT);
  }, 120_000);

  test("T-196: the rules deny it: an error that says who denied it and why, at once, not retries, and nothing reaches IMDS", async () => {
    const at = await start({ host: { rules: { imds: NO_TOKENS } } });
    const { error } = await requestToken(node);
    expect(error).toMatch(/^(?:CredentialUnavailableError|AuthenticationError|AuthenticationRequiredError)/);
    expect(error).toMatch(/azure-proxy-agent on this machine denied this request \(reason [a-z-]+, request id [^)]+\)/);
    expect(await at.received("imds")).toEqual([]);
    expect(at.agent.lines.filter(({ event }) => event === "request-denied").length).toBeLessThanOrEqual(2);
  }, 120_000);
});
