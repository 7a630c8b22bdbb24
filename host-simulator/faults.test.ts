// Failures on demand, each seen from the client's side.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Fault, parseFault } from "./faults.ts";
import { acquire, acquireKey, attest, latchKey, readStatus, startLoopbackHost } from "./loopback-host.ts";
import { ask, RawClient, renderRequest } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";

const INSTANCE = { target: "/metadata/instance?api-version=2021-02-01", headers: { metadata: "true" } };
const BYTES = renderRequest(INSTANCE);

let host: HostSimulator;
beforeEach(async () => {
  host = await startLoopbackHost({ settings: { wireserver: "audit", imds: "audit" } });
});
afterEach(() => host.stop());

async function askImds(): Promise<number> {
  return (await ask(host.addresses.imds, INSTANCE)).status;
}

async function sendAndEnd(bytes = BYTES): Promise<{ text: string; error: string | undefined }> {
  using client = await RawClient.open(host.addresses.imds);
  client.send(bytes);
  const { bytes: received, error } = await client.readUntilEnd();
  return { text: received.toString("latin1"), error };
}

describe("matching", () => {
  test("by endpoint, method, path prefix and count", async () => {
    host.addFault({ kind: "status", status: 500, endpoint: "imds", pathPrefix: "/metadata/instance", method: "GET", count: 2 });
    const other = { target: "/metadata/versions", headers: { metadata: "true" } };
    expect((await ask(host.addresses.imds, other)).status).toBe(200);
    expect((await ask(host.addresses.imds, { ...INSTANCE, method: "HEAD" })).status).toBe(200);
    expect((await ask(host.addresses.hostga, { target: "/metadata/instance" })).status).toBe(404);
    expect(host.faults()).toMatchObject([{ remaining: 2 }]);
    expect([await askImds(), await askImds(), await askImds()]).toEqual([500, 500, 200]);
    expect(host.faults()).toEqual([]);
    expect(host.requests().map((record) => record.faults.length)).toEqual([0, 0, 0, 1, 1, 0]);
  });

  test("without a count until cleared", async () => {
    host.addFault({ kind: "status", status: 503 });
    expect([await askImds(), await askImds()]).toEqual([503, 503]);
    expect(host.faults()).toMatchObject([{ kind: "status", remaining: null }]);
    host.clearFaults();
    expect(await askImds()).toBe(200);
  });
});

describe("answers", () => {
  test("429 with Retry-After", async () => {
    host.addFault({ kind: "status", status: 429, retryAfterSeconds: 7, count: 1 });
    const answer = await ask(host.addresses.imds, INSTANCE);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "7"]);
  });

  test("a delayed answer comes late and whole, and a pipelined request waits for it", async () => {
    host.addFault({ kind: "delay", delayMs: 60, count: 1 });
    using client = await RawClient.open(host.addresses.imds);
    const start = performance.now();
    client.send(BYTES + BYTES);
    expect((await client.readResponse()).status).toBe(200);
    expect(performance.now() - start).toBeGreaterThanOrEqual(55);
    expect((await client.readResponse()).status).toBe(200);
  });

  test("a dribbled answer is whole in the end", async () => {
    const whole = (await ask(host.addresses.imds, INSTANCE)).body.toString();
    host.addFault({ kind: "dribble", chunkBytes: 50, intervalMs: 0, count: 1 });
    expect((await ask(host.addresses.imds, INSTANCE)).body.toString()).toBe(whole);
  });

  test("a hanging request gets nothing while others are answered", async () => {
    host.addFault({ kind: "hang", pathPrefix: "/secure-channel/status", count: 1 });
    using client = await RawClient.open(host.addresses.wireserver);
    client.send(renderRequest({ target: "/secure-channel/status", headers: { metadata: "true" } }));
    while (host.requests().length === 0) await Bun.sleep(1);
    expect((await readStatus(host)).version).toBe("2.0");
    expect(client.receivedBytes).toBe(0);
    expect(host.requests()[0]).toMatchObject({ status: 0, faults: ["hang"] });
  });

  test("interim answers come first", async () => {
    host.addFault({ kind: "informational", status: 103, count: 1 });
    using client = await RawClient.open(host.addresses.imds);
    client.send(BYTES);
    expect([(await client.readResponse()).status, (await client.readResponse()).status]).toEqual([103, 200]);
  });

  test("raw bytes go out as given", async () => {
    host.addFault({ kind: "raw-answer", text: "HTTP/1.1 200 OK\nContent-Length: +1\n\n\xff" });
    expect(await sendAndEnd()).toEqual({ text: "HTTP/1.1 200 OK\nContent-Length: +1\n\n\xff", error: undefined });
  });

  test("an early 413 is given before the body, and the connection closes", async () => {
    host.addFault({ kind: "early-status", status: 413, count: 1 });
    using client = await RawClient.open(host.addresses.hostga);
    client.send("PUT /status HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    const answer = await client.readResponse();
    expect([answer.status, answer.headers.get("connection")]).toEqual([413, "close"]);
    client.send("x".repeat(1000));
    expect(await client.readUntilEnd()).toMatchObject({ error: undefined });
  });

  test("close-after-answer leaves a stale connection that was promised to live", async () => {
    host.addFault({ kind: "close-after-answer" });
    using client = await RawClient.open(host.addresses.imds);
    client.send(BYTES);
    const answer = await client.readResponse();
    expect([answer.status, answer.headers.has("connection")]).toEqual([200, false]);
    expect(await client.readUntilEnd()).toMatchObject({ error: undefined });
  });
});

describe("broken connections", () => {
  test("reset in the head", async () => {
    host.addFault({ kind: "reset", during: "head" });
    const { text, error } = await sendAndEnd();
    expect(error).toBe("ECONNRESET");
    expect(text).toStartWith("HTTP/1.1 200 OK");
    expect(text).not.toContain("\r\n\r\n");
  });

  test("reset in the body", async () => {
    host.addFault({ kind: "reset", during: "body" });
    const { text, error } = await sendAndEnd();
    expect(error).toBe("ECONNRESET");
    const [head = "", body = ""] = text.split("\r\n\r\n");
    const length = Number(/Content-Length: (\d+)/.exec(head)?.[1]);
    expect(body.length).toBeGreaterThan(0);
    expect(body.length).toBeLessThan(length);
  });

  test("reset at accept, for so many connections", async () => {
    host.addFault({ kind: "reset-connections", endpoint: "imds", count: 1 });
    const { text, error } = await sendAndEnd().catch((failure: Error) => ({ text: "", error: failure.message }));
    expect([text, error === "ECONNRESET" || error === "EPIPE"]).toEqual(["", true]);
    expect(await askImds()).toBe(200);
  });

  test("connections are refused while the host does not listen, then accepted on the same port", async () => {
    host.addFault({ kind: "stop-listening", endpoint: "imds" });
    await expect(RawClient.open(host.addresses.imds)).rejects.toThrow("ECONNREFUSED");
    expect((await ask(host.addresses.hostga, { target: "/versions" })).status).toBe(200);
    host.reset();
    expect(await askImds()).toBe(200);
  });
});

describe("secure channel", () => {
  test("a wrong key cannot be attested; the next one can", async () => {
    host.addFault({ kind: "wrong-key", count: 1 });
    await readStatus(host);
    expect((await attest(host, await acquireKey(host))).status).toBe(401);
    expect(host.channel().keyGuid).toBeNull();
    await latchKey(host);
    expect(host.channel().keyGuid).not.toBeNull();
  });

  test("a refused attestation leaves the key unlatched", async () => {
    host.addFault({ kind: "refuse-attest", count: 1 });
    const key = await acquireKey(host);
    expect((await attest(host, key)).status).toBe(403);
    expect(host.channel().keyGuid).toBeNull();
    expect((await attest(host, key)).status).toBe(200);
  });

  test("malformed status and key do not parse", async () => {
    host.addFault({ kind: "malformed-body", pathPrefix: "/secure-channel/", count: 2 });
    await expect(readStatus(host)).rejects.toThrow(SyntaxError);
    while (host.requests().length === 0) await Bun.sleep(1);
    const key = (await acquire(host)).body.toString();
    expect(() => JSON.parse(key)).toThrow(SyntaxError);
  });

  test("an oversized status is long and still JSON", async () => {
    host.addFault({ kind: "oversized-body", bodyBytes: 2_000_000, pathPrefix: "/secure-channel/status" });
    const answer = await ask(host.addresses.wireserver, { target: "/secure-channel/status", headers: { metadata: "true" } });
    expect(answer.body.length).toBe(2_000_000);
    expect(JSON.parse(answer.body.toString())).toHaveProperty("version");
  });
});

describe("parseFault", () => {
  test.each<Fault>([
    { kind: "delay", delayMs: 5 },
    { kind: "hang", count: 3 },
    { kind: "status", status: 503, retryAfterSeconds: 1, body: "x", endpoint: "hostga", method: "PUT", pathPrefix: "/" },
    { kind: "stop-listening" },
  ])("takes %j", (fault) => {
    expect(parseFault(fault)).toEqual({ ok: true, value: fault });
  });

  test.each([
    "null",
    "[]",
    '"hang"',
    "{}",
    '{"kind":"hung"}',
    '{"kind":"toString"}',
    '{"kind":"__proto__"}',
    '{"kind":"hang","cuont":1}',
    '{"kind":"hang","count":0}',
    '{"kind":"hang","count":"1"}',
    '{"kind":"hang","endpoint":"IMDS"}',
    '{"kind":"hang","toString":1}',
    '{"kind":"hang","__proto__":1}',
    '{"kind":"delay"}',
    '{"kind":"delay","delayMs":-1}',
    '{"kind":"delay","delayMs":1.5}',
    '{"kind":"status"}',
    '{"kind":"status","status":99}',
    '{"kind":"reset","during":"tail"}',
    '{"kind":"dribble","chunkBytes":0,"intervalMs":1}',
  ])("refuses %s", (text) => {
    const result = parseFault(JSON.parse(text));
    expect(result.ok).toBe(false);
    if (!result.ok) expect(result.message).toStartWith("cannot read fault");
  });

  test("a bad fault given to the simulator throws and plans nothing", () => {
    expect(() => host.addFault({ kind: "delay", delayMs: -1 })).toThrow("cannot read fault");
    expect(host.faults()).toEqual([]);
  });
});
