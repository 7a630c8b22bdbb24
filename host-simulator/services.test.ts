// The three services as their clients know them.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { startLoopbackHost } from "./loopback-host.ts";
import { ask, RawClient } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";

let host: HostSimulator;
beforeAll(async () => {
  host = await startLoopbackHost({ settings: { wireserver: "audit", imds: "audit" } });
});
afterAll(() => host.stop());
beforeEach(() => host.reset());

describe("IMDS", () => {
  const metadata = { Metadata: "True" };
  const get = (target: string, headers: Readonly<Record<string, string>> = metadata) => ask(host.addresses.imds, { target, headers });

  test.each([
    ["/metadata/instance?api-version=2021-02-01", "vmId"],
    ["/metadata/instance/?api-version=2021-02-01", "vmId"],
    ["/Metadata/Instance/Compute?Api-Version=2018-02-01", "resourceGroupName"],
    ["/metadata/instance/network/interface/0?api-version=2021-02-01", "macAddress"],
    ["/metadata/attested/document?api-version=2020-09-01&nonce=123", "pkcs7"],
    ["/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net", "https://vault.azure.net"],
    ["/metadata/identity/oauth2/token?resource=r&api-version=2018-02-01", "simulated.token"],
    ["/metadata/identity/info?api-version=2018-02-01", "tenantId"],
    ["/metadata/scheduledevents?api-version=2020-07-01", "DocumentIncarnation"],
    ["/metadata/versions", "apiVersions"],
  ])("answers %s with JSON", async (target, part) => {
    const answer = await get(target);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("application/json");
    expect(JSON.stringify(JSON.parse(answer.body.toString()))).toContain(part);
  });

  test("answers leaves and folders as text", async () => {
    expect((await get("/metadata/instance/compute/location?api-version=2021-02-01&format=text")).body.toString()).toBe("simulated");
    expect((await get("/metadata/instance?api-version=2021-02-01&format=text")).body.toString()).toBe("compute/\nnetwork/");
    expect((await get("/metadata/reprovisiondata?api-version=2019-06-01")).body.toString()).toContain("ProvisionGuestProxyAgent");
  });

  test.each([
    ["/metadata/instance", metadata, 400],
    ["/metadata/instance?api-version=new", metadata, 400],
    ["/metadata/instance?api-version=2021-02-01", {}, 400],
    ["/metadata/instance?api-version=2021-02-01", { Metadata: "false" }, 400],
    ["/metadata/instance?api-version=2021-02-01", { Metadata: "true", "X-Forwarded-For": "10.0.0.1" }, 400],
    ["/metadata/instance?api-version=2021-02-01&format=xml", metadata, 400],
    ["/metadata/instance/compute/location?api-version=2021-02-01", metadata, 400],
    ["/metadata/instance/compute/nothing?api-version=2021-02-01", metadata, 404],
    ["/metadata/instance/compute/__proto__?api-version=2021-02-01", metadata, 404],
    ["/metadata/identity/oauth2/token?api-version=2018-02-01", metadata, 400],
    ["/metadata/identity/oauth2/token", {}, 400],
    ["/metadata/nothing?api-version=2021-02-01", metadata, 404],
    ["/", metadata, 404],
  ] as const)("refuses %s with %j: %d, error in JSON", async (target, headers, status) => {
    const answer = await get(target, headers);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body.toString())).toHaveProperty("error");
  });

  test("words identity errors as OAuth does", async () => {
    const answer = await get("/metadata/identity/oauth2/token", {});
    expect(JSON.parse(answer.body.toString())).toEqual({
      error: "invalid_request",
      error_description: "Required metadata header not specified",
    });
  });

  test("knows its methods", async () => {
    const target = "/metadata/instance?api-version=2021-02-01";
    const answer = await ask(host.addresses.imds, { method: "DELETE", target, headers: metadata });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    const head = await ask(host.addresses.imds, { method: "HEAD", target, headers: metadata });
    expect([head.status, Number(head.headers.get("content-length")) > 100]).toEqual([200, true]);
    const events = "/metadata/scheduledevents?api-version=2020-07-01";
    const post = (body: string) => ask(host.addresses.imds, { method: "POST", target: events, headers: metadata, body });
    expect((await post('{"StartRequests":[{"EventId":"1"}]}')).status).toBe(200);
    expect((await post("no")).status).toBe(400);
  });
});

describe("WireServer", () => {
  const version = { "x-ms-version": "2012-11-30" };
  const at = () => host.addresses.wireserver;

  test.each(["/machine?comp=goalstate", "/machine/?comp=goalstate"])("%s names URLs that work", async (target) => {
    const answer = await ask(at(), { target, headers: version });
    expect(answer.headers.get("content-type")).toContain("xml");
    const xml = answer.body.toString();
    for (const element of ["Version", "Incarnation", "ExpectedState", "ContainerId", "InstanceId", "State", "ConfigName"]) {
      expect(xml).toContain(`<${element}>`);
    }
    const urls = [...xml.matchAll(/>(http[^<]*)</g)].map((match) => match[1]?.replaceAll("&amp;", "&") ?? "");
    expect(urls.length).toBe(5);
    for (const url of urls) {
      const { origin, pathname, search } = new URL(url);
      expect(origin).toBe(`http://127.0.0.1:${at().port}`);
      expect((await ask(at(), { target: pathname + search, headers: version })).status).toBe(200);
    }
  });

  test.each([
    ["GET", "/?comp=versions", 200],
    ["POST", "/machine?comp=health", 200],
    ["POST", "/machine?comp=roleProperties", 200],
    ["POST", "/machine/?comp=telemetrydata", 200],
    ["POST", "/HealthService", 200],
    ["POST", "/provisioning/health", 201],
    ["GET", "/machine?comp=health", 405],
    ["POST", "/machine?comp=goalstate", 405],
    ["GET", "/machine?comp=other", 400],
    ["GET", "/machine/a/b?comp=config&type=toString", 404],
    ["GET", "/nothing", 404],
    ["GET", "/secure-channel/nothing", 400],
  ])("%s %s is answered %d", async (method, target, status) => {
    expect((await ask(at(), { method, target, headers: version, ...(method === "POST" ? { body: "<x/>" } : {}) })).status).toBe(status);
  });

  test("wants x-ms-version", async () => {
    expect((await ask(at(), { target: "/machine?comp=goalstate" })).status).toBe(400);
  });
});

describe("HostGAPlugin", () => {
  const at = () => host.addresses.hostga;

  test("answers versions, health and vmSettings, the last with an ETag", async () => {
    expect((await ask(at(), { target: "/versions" })).body.toString()).toBe('["2015-09-01"]');
    expect((await ask(at(), { target: "/health" })).status).toBe(200);
    const first = await ask(at(), { target: "/vmSettings" });
    const etag = first.headers.get("etag") ?? "";
    expect([first.status, etag.length > 5]).toEqual([200, true]);
    const same = await ask(at(), { target: "/vmSettings", headers: { "If-None-Match": etag } });
    expect([same.status, same.headers.get("etag"), same.headers.has("content-length")]).toEqual([304, etag, false]);
    expect((await ask(at(), { target: "/vmSettings", headers: { "If-None-Match": '"other"' } })).status).toBe(200);
  });

  test("streams an artifact of the configured length", async () => {
    host.configure({ extensionArtifactBytes: 3_000_001 });
    expect((await ask(at(), { target: "/extensionArtifact" })).status).toBe(400);
    const answer = await ask(at(), { target: "/extensionArtifact", headers: { "x-ms-artifact-location": "https://x.invalid/a" } });
    expect(answer.body.length).toBe(3_000_001);
    expect(answer.body.toString("latin1", 0, 2)).toBe("PK");
    const blocks = new Set(
      [0, 1, 2, 3].map((i) =>
        createHash("sha256")
          .update(answer.body.subarray(i * 262_144, (i + 1) * 262_144))
          .digest("hex"),
      ),
    );
    expect(blocks.size).toBe(1);
  });

  test("counts and hashes a large upload without keeping it", async () => {
    const piece = Buffer.alloc(1 << 20, 0x61);
    const pieces = 40;
    const digest = createHash("sha256");
    using client = await RawClient.open(at());
    client.send(`PUT /vmAgentLog HTTP/1.1\r\nHost: h\r\nContent-Length: ${piece.length * pieces}\r\nExpect: 100-continue\r\n\r\n`);
    expect((await client.readResponse()).status).toBe(100);
    for (let i = 0; i < pieces; i++) {
      client.send(piece);
      digest.update(piece);
    }
    expect((await client.readResponse()).status).toBe(200);
    const [record] = host.requests({ limit: 1 });
    expect(record).toMatchObject({ bodyBytes: piece.length * pieces, bodySha256: digest.digest("hex"), status: 200, problem: null });
  });

  test("takes a chunked upload", async () => {
    using client = await RawClient.open(at());
    client.send("PUT /status HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    expect((await client.readResponse()).status).toBe(200);
    const sha256 = createHash("sha256").update("abcde").digest("hex");
    expect(host.requests({ limit: 1 })[0]).toMatchObject({ bodyBytes: 5, bodySha256: sha256 });
  });

  test("knows its paths and methods", async () => {
    expect((await ask(at(), { target: "/status" })).status).toBe(405);
    expect((await ask(at(), { target: "/nothing" })).status).toBe(404);
  });
});
