// The secure channel as an agent meets it: status, acquire, attest, modes, incarnations, dates.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { HostEndpoint, SignatureVerdict } from "./host-model.ts";
import { acquire, acquireKey, attest, latchKey, readStatus, startLoopbackHost } from "./loopback-host.ts";
import { ask, type PlainRequest, RawClient, renderRequest, type SigningKey } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";

const INSTANCE: PlainRequest = { target: "/metadata/instance?api-version=2021-02-01", headers: { metadata: "true" } };
const GOAL_STATE: PlainRequest = { target: "/machine?comp=goalstate", headers: { "x-ms-version": "2012-11-30" } };

let host: HostSimulator;
beforeEach(async () => {
  host = await startLoopbackHost();
});
afterEach(() => host.stop());

function lastVerdict(): SignatureVerdict | undefined {
  return host.requests({ limit: 1 })[0]?.signature;
}

async function askSigned(endpoint: HostEndpoint, request: PlainRequest, key?: SigningKey): Promise<[number, SignatureVerdict | undefined]> {
  const { status } = await ask(host.addresses[endpoint], request, key);
  return [status, lastVerdict()];
}

describe("version 2.0", () => {
  test("latches a key and accepts what it signs on all three endpoints", async () => {
    expect(await readStatus(host)).toMatchObject({
      authorizationScheme: "Azure-HMAC-SHA256",
      keyDeliveryMethod: "http",
      keyGuid: null,
      keyIncarnationId: 0,
      secureChannelEnabled: true,
      version: "2.0",
      authorizationRules: { imds: { mode: "enforce", defaultAccess: "allow" }, wireserver: { mode: "enforce" } },
    });
    const key = await latchKey(host);
    expect(key.hex).toMatch(/^[0-9A-F]{64}$/);
    expect((await readStatus(host)).keyGuid).toBe(key.guid);
    expect(await askSigned("imds", INSTANCE, key)).toEqual([200, { kind: "valid" }]);
    expect(await askSigned("wireserver", GOAL_STATE, key)).toEqual([200, { kind: "valid" }]);
    expect(await askSigned("hostga", { target: "/versions" }, key)).toEqual([200, { kind: "valid" }]);
    expect(
      await askSigned(
        "wireserver",
        { method: "POST", target: "/machine?comp=health", headers: { "x-ms-version": "1" }, body: "<Health/>" },
        key,
      ),
    ).toEqual([200, { kind: "valid" }]);
  });

  test("status carries both dates", async () => {
    host.configure({ clockOffsetSeconds: 86_400 });
    const answer = await ask(host.addresses.wireserver, { target: "/secure-channel/status", headers: { metadata: "true" } });
    const date = answer.headers.get("x-ms-azure-host-date") ?? "";
    expect(Date.parse(date)).toBeGreaterThan(Date.now() + 80_000_000);
    expect(answer.headers.get("date")).toBe(date);
  });

  test("rules and modes appear as configured, and an id changes with the content", async () => {
    const rules = {
      imds: { defaultAccess: "deny", id: "given", rules: { privileges: [] } },
      wireserver: { defaultAccess: "deny", mode: "Audit" },
    };
    host.configure({ rules });
    const first = (await readStatus(host)).authorizationRules as Record<string, Record<string, unknown>>;
    expect(first.imds).toEqual({ defaultAccess: "deny", id: "given", rules: { privileges: [] }, mode: "enforce" });
    expect(first.wireserver).toMatchObject({ defaultAccess: "deny", mode: "audit" });
    expect(first.hostga).toBeUndefined();
    host.configure({ rules: { wireserver: { defaultAccess: "allow" } } });
    const second = (await readStatus(host)).authorizationRules as Record<string, Record<string, unknown>>;
    expect(second.wireserver?.id).not.toBe(first.wireserver?.id);
  });

  test("statusOverride says what no sane host says", async () => {
    host.configure({ statusOverride: { version: "3.0", keyGuid: 7 } });
    expect(await readStatus(host)).toMatchObject({ version: "3.0", keyGuid: 7 });
  });
});

describe("version 1.0", () => {
  test.each([
    ["enforce", "enforce", "WireserverAndImds"],
    ["enforce", "audit", "Wireserver"],
    ["enforce", "disabled", "Wireserver"],
    ["disabled", "disabled", "Disabled"],
  ] as const)("wireserver %s and imds %s is %s", async (wireserver, imds, word) => {
    host.configure({ channelVersion: "1.0", wireserver, imds });
    const status = await readStatus(host);
    expect(status).toMatchObject({ version: "1.0", secureChannelState: word });
    expect(status).not.toHaveProperty("authorizationRules");
    expect(status).not.toHaveProperty("secureChannelEnabled");
  });

  test.each([
    ["audit", "audit"],
    ["disabled", "enforce"],
    ["audit", "enforce"],
  ] as const)("cannot say wireserver %s and imds %s", (wireserver, imds) => {
    expect(() => host.configure({ channelVersion: "1.0", wireserver, imds })).toThrow("cannot say this in version 1.0");
  });

  test("latches like version 2.0", async () => {
    host.configure({ channelVersion: "1.0", imds: "audit" });
    const key = await latchKey(host);
    expect((await readStatus(host)).keyGuid).toBe(key.guid);
    expect((await askSigned("wireserver", GOAL_STATE))[0]).toBe(401);
    expect(await askSigned("wireserver", GOAL_STATE, key)).toEqual([200, { kind: "valid" }]);
  });
});

describe("modes", () => {
  test.each(["disabled", "audit"] as const)("%s answers everything and still records the verdict", async (mode) => {
    host.configure({ imds: mode });
    const key = await latchKey(host);
    expect(await askSigned("imds", INSTANCE)).toEqual([200, { kind: "unsigned" }]);
    expect(await askSigned("imds", INSTANCE, key)).toEqual([200, { kind: "valid" }]);
    const wrong = { guid: key.guid, hex: "00".repeat(32) };
    expect(await askSigned("imds", INSTANCE, wrong)).toEqual([200, { kind: "invalid", reason: "signature-mismatch" }]);
  });

  test("enforce refuses what is unsigned or wrongly signed", async () => {
    const key = await latchKey(host);
    expect(await askSigned("imds", INSTANCE)).toEqual([401, { kind: "unsigned" }]);
    const wrong = { guid: key.guid, hex: "00".repeat(32) };
    expect(await askSigned("imds", INSTANCE, wrong)).toEqual([401, { kind: "invalid", reason: "signature-mismatch" }]);
    const unknown = { guid: "11111111-2222-3333-4444-555555555555", hex: key.hex };
    expect(await askSigned("imds", INSTANCE, unknown)).toEqual([401, { kind: "invalid", reason: "key-unknown" }]);
    const headers = { metadata: "true", "x-ms-azure-host-authorization": "value" };
    expect(await askSigned("imds", { ...INSTANCE, headers })).toEqual([401, { kind: "invalid", reason: "scheme-unknown" }]);
  });

  test("any header that arrives but was not signed spoils the signature", async () => {
    const key = await latchKey(host);
    using client = await RawClient.open(host.addresses.imds);
    client.send(renderRequest(INSTANCE, key).replace("\r\n\r\n", "\r\nVia: 1.1 somebody\r\n\r\n"));
    expect((await client.readResponse()).status).toBe(401);
    expect(lastVerdict()).toEqual({ kind: "invalid", reason: "signature-mismatch" });
  });

  test("HostGAPlugin follows WireServer unless set apart", async () => {
    expect((await askSigned("hostga", { target: "/versions" }))[0]).toBe(401);
    host.configure({ wireserver: "audit" });
    expect((await askSigned("hostga", { target: "/versions" }))[0]).toBe(200);
    host.configure({ hostga: "enforce" });
    expect((await askSigned("hostga", { target: "/versions" }))[0]).toBe(401);
    expect((await readStatus(host)).authorizationRules).toHaveProperty("hostga");
  });

  test.each([
    ["hostga", "PUT", "/vmAgentLog", 200],
    ["hostga", "PUT", "/VMAGENTLOG", 200],
    ["wireserver", "POST", "/machine/?comp=telemetrydata", 200],
    ["hostga", "PUT", "/vmAgentLog/", 401],
    ["hostga", "PUT", "/vmAgentLog?x=1", 401],
    ["hostga", "POST", "/vmAgentLog", 401],
    ["wireserver", "POST", "/machine?comp=telemetrydata", 401],
    ["wireserver", "PUT", "/vmAgentLog", 401],
    ["imds", "PUT", "/vmAgentLog", 401],
  ] as const)("enforce: unsigned %s %s %s is answered %d", async (endpoint, method, target, status) => {
    await latchKey(host);
    expect((await ask(host.addresses[endpoint], { method, target, body: "x" })).status).toBe(status);
  });
});

describe("acquire and attest", () => {
  test.each([
    [{ metadata: "true" }, "", 400],
    [{ metadata: "true" }, "{", 400],
    [{ metadata: "true" }, "null", 400],
    [{ metadata: "true" }, '{"authorizationScheme":"other"}', 400],
    [{ metadata: "false" }, '{"authorizationScheme":"Azure-HMAC-SHA256"}', 400],
    [{}, '{"authorizationScheme":"Azure-HMAC-SHA256"}', 400],
    [{ metadata: "TRUE" }, '{"authorizationScheme":"Azure-HMAC-SHA256"}', 200],
  ] as const)("acquire with %j and body %p is answered %d", async (headers, body, status) => {
    const answer = await ask(host.addresses.wireserver, { method: "POST", target: "/secure-channel/key", headers: { ...headers }, body });
    expect(answer.status).toBe(status);
  });

  test("a key that is not attested signs nothing but its attestation", async () => {
    const key = await acquireKey(host);
    expect(await askSigned("imds", INSTANCE, key)).toEqual([401, { kind: "invalid", reason: "key-not-attested" }]);
    expect((await readStatus(host)).keyGuid).toBeNull();
    expect((await attest(host, key)).status).toBe(200);
    expect(await askSigned("imds", INSTANCE, key)).toEqual([200, { kind: "valid" }]);
  });

  test("attestation needs the very key's signature, in every mode", async () => {
    host.configure({ wireserver: "audit", imds: "audit" });
    const key = await acquireKey(host);
    const other = await acquireKey(host);
    expect((await attest(host, { guid: key.guid, hex: other.hex })).status).toBe(401);
    expect((await attest(host, other, key.guid)).status).toBe(401);
    const target = `/secure-channel/key/${key.guid}/key-attestation`;
    expect((await ask(host.addresses.wireserver, { method: "POST", target, headers: { metadata: "true" } })).status).toBe(401);
    expect((await ask(host.addresses.wireserver, { method: "GET", target, headers: { metadata: "true" } }, key)).status).toBe(405);
    expect(host.channel().keyGuid).toBeNull();
    expect((await attest(host, key)).status).toBe(200);
    expect((await attest(host, key)).status).toBe(200);
  });

  test("a latched channel hands out no other key until the incarnation is raised", async () => {
    const old = await latchKey(host);
    expect((await acquire(host)).status).toBe(403);
    expect(host.startIncarnation()).toBe(1);
    expect(await readStatus(host)).toMatchObject({ keyGuid: null, keyIncarnationId: 1 });
    expect(await askSigned("imds", INSTANCE, old)).toEqual([401, { kind: "invalid", reason: "key-superseded" }]);
    expect((await attest(host, old)).status).toBe(401);
    const fresh = await latchKey(host);
    expect(fresh.guid).not.toBe(old.guid);
    expect(fresh.hex).not.toBe(old.hex);
    expect(await askSigned("imds", INSTANCE, fresh)).toEqual([200, { kind: "valid" }]);
    expect(await askSigned("imds", INSTANCE, old)).toEqual([401, { kind: "invalid", reason: "key-superseded" }]);
  });

  test("a host may be told to hand out keys while one is latched", async () => {
    host.configure({ acquireWhileLatched: "allow" });
    const first = await latchKey(host);
    const second = await latchKey(host);
    expect(host.channel().keyGuid).toBe(second.guid);
    expect((await askSigned("imds", INSTANCE, first))[1]).toEqual({ kind: "invalid", reason: "key-superseded" });
  });

  test("no record and no state shows the key", async () => {
    const key = await latchKey(host);
    await ask(host.addresses.imds, INSTANCE, key);
    const everything = JSON.stringify([host.requests(), host.channel(), host.settings(), host.counters()]).toUpperCase();
    expect(everything).toContain(key.guid.toUpperCase());
    expect(everything).not.toContain(key.hex);
  });
});

describe("dates of signed requests", () => {
  async function askDated(key: SigningKey, offsetSeconds: number): Promise<[number, SignatureVerdict | undefined]> {
    using client = await RawClient.open(host.addresses.imds);
    client.send(renderRequest(INSTANCE, key, new Date(Date.now() + offsetSeconds * 1000).toUTCString()));
    return [(await client.readResponse()).status, lastVerdict()];
  }
  const outOfRange = { kind: "invalid", reason: "date-out-of-range" } as const;

  test("a stale or future date is refused, whatever the signature", async () => {
    const key = await latchKey(host);
    expect(await askDated(key, -500)).toEqual([200, { kind: "valid" }]);
    expect(await askDated(key, -700)).toEqual([401, outOfRange]);
    expect(await askDated(key, 700)).toEqual([401, outOfRange]);
    host.configure({ dateToleranceSeconds: 3600 });
    expect(await askDated(key, -700)).toEqual([200, { kind: "valid" }]);
  });

  test("the host's own clock counts", async () => {
    const key = await latchKey(host);
    host.configure({ clockOffsetSeconds: 7200 });
    expect(await askDated(key, 0)).toEqual([401, outOfRange]);
    expect(await askDated(key, 7200)).toEqual([200, { kind: "valid" }]);
    host.configure({ clockOffsetSeconds: -7200 });
    expect(await askDated(key, 0)).toEqual([401, outOfRange]);
    expect(await askDated(key, -7200)).toEqual([200, { kind: "valid" }]);
  });
});
