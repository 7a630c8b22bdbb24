// The main path: programs that know nothing of us ask the metadata services and get answers that were endorsed for them.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ALICE, curl, GOAL_STATE, IMDS_INSTANCE, python, World } from "../support/world.ts";

const NOBODY = { uid: 65534, gid: 65534 };

describe("ordinary programs", () => {
  let world: World;
  beforeAll(async () => {
    world = await World.start({ host: { wireserver: "enforce", imds: "enforce" } });
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test.each([
    ["curl as root", undefined],
    ["curl as a user with an account", NOBODY],
    ["curl as a user without one", ALICE],
  ])("%s reaches IMDS, endorsed", async (_who, as) => {
    const before = (await world.received("imds")).length;
    const answer = await curl(IMDS_INSTANCE, as === undefined ? {} : { as });
    expect([answer.status, JSON.parse(answer.body).compute.osType]).toEqual([200, "Linux"]);
    expect(answer.headers["x-ms-azure-host-authorization"]).toBe("value");
    const received = (await world.received("imds")).slice(before);
    expect(received.map(({ signature, claims }) => [signature.kind, claims])).toEqual([
      ["valid", as === undefined ? '{ "isRoot": "true"}' : '{ "isRoot": "false"}'],
    ]);
  });

  test("Python's urllib", async () => {
    const code = `
import urllib.request
request = urllib.request.Request("${IMDS_INSTANCE}", headers={"Metadata": "true"})
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).status)`;
    expect(await python(code, NOBODY)).toBe("200");
  });

  test("T-42: an IPv6 socket to the mapped address, which sees the address it asked for", async () => {
    const code = `
import socket
s = socket.socket(socket.AF_INET6)
s.connect(("::ffff:169.254.169.254", 80))
print(s.getpeername()[0])
s.sendall(b"GET /metadata/instance?api-version=2021-02-01 HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata: true\\r\\nConnection: close\\r\\n\\r\\n")
print(s.recv(100).split(b"\\r\\n")[0].decode())`;
    expect((await python(code, NOBODY)).split("\n")).toEqual(["::ffff:169.254.169.254", "HTTP/1.1 200 OK"]);
  });

  test("root reaches WireServer and HostGAPlugin", async () => {
    expect((await curl(GOAL_STATE, { args: ["-H", "x-ms-version: 2012-11-30"] })).status).toBe(200);
    expect((await curl("http://168.63.129.16:32526/versions")).status).toBe(200);
  });

  test.each([GOAL_STATE, "http://168.63.129.16:32526/versions"])("T-04: another user does not reach %s", async (url) => {
    const answer = await curl(url, { as: NOBODY });
    expect([answer.status, JSON.parse(answer.body).error]).toEqual([403, "forbidden"]);
  });

  test("each request leaves one line with the fields that queries read", async () => {
    await curl(`${IMDS_INSTANCE}&marker=line`, { as: NOBODY });
    const line = await world.agent.line("request-forwarded", ({ url }) => String(url).includes("marker=line"));
    expect(line).toMatchObject({
      method: "GET",
      url: "/metadata/instance?api-version=2021-02-01&marker=line",
      ip: "169.254.169.254",
      port: 80,
      responseStatus: 200,
      reason: "default-allow",
      userId: 65534,
      userName: "nobody",
      userGroups: ["nogroup"],
      runAsElevated: false,
      endorsed: true,
      mode: "enforce",
    });
    expect(String(line.processFullPath)).toEndWith("/curl");
    expect(String(line.processCmdLine)).toContain("curl -s -i");
    expect(world.agent.lines.filter(({ fields }) => fields.requestId === line.requestId)).toHaveLength(1);
  });

  test("T-01: forged endorsement headers never reach the host", async () => {
    const forged = [
      "-H",
      'x-ms-azure-host-claims: { "isRoot": "true"}',
      "-H",
      "X-MS-AZURE-HOST-AUTHORIZATION: Azure-HMAC-SHA256 forged forged",
      "-H",
      "x-ms-azure-host-date: forged",
    ];
    expect((await curl(`${IMDS_INSTANCE}&marker=forged`, { as: NOBODY, args: forged })).status).toBe(200);
    const [record] = (await world.received("imds")).filter(({ target }) => target.includes("marker=forged"));
    expect(record?.signature.kind).toBe("valid");
    expect(record?.head).not.toContain("forged\r\n");
    expect(record?.claims).toBe('{ "isRoot": "false"}');
  });

  test("T-19: the host still sees X-Forwarded-For, also when the client tries to have it stripped", async () => {
    const answer = await curl(IMDS_INSTANCE, { args: ["-H", "X-Forwarded-For: 1.2.3.4", "-H", "Connection: X-Forwarded-For"] });
    expect(answer.status).toBe(400);
  });

  test("HEAD, 304, 404 and 429 pass through as the host sent them", async () => {
    expect((await curl(IMDS_INSTANCE, { args: ["-I"] })).status).toBe(200);
    expect((await curl("http://169.254.169.254/metadata/nothing-here?api-version=2021-02-01")).status).toBe(404);
    const first = await curl("http://168.63.129.16:32526/vmSettings");
    expect((await curl("http://168.63.129.16:32526/vmSettings", { args: ["-H", `If-None-Match: ${first.headers.etag}`] })).status).toBe(
      304,
    );
    await world.host.addFaults({ kind: "status", status: 429, retryAfterSeconds: 7, endpoint: "imds", count: 1 });
    const throttled = await curl(IMDS_INSTANCE);
    expect([throttled.status, throttled.headers["retry-after"]]).toEqual([429, "7"]);
  });

  test("a status report of 8 MB is signed, a log bundle of 150 MB is streamed", async () => {
    const upload = (bytes: number, target: string) => `
import http.client
c = http.client.HTTPConnection("168.63.129.16", 32526, timeout=60)
c.putrequest("PUT", "${target}")
c.putheader("Content-Length", "${bytes}")
c.endheaders()
piece = b"x" * 1000000
left = ${bytes}
while left > 0:
    c.send(piece[:left])
    left -= len(piece)
print(c.getresponse().status)`;
    expect(await python(upload(8_000_000, "/status"))).toBe("200");
    expect(await python(upload(150 * 1024 * 1024, "/vmAgentLog"))).toBe("200");
    const received = await world.received("hostga");
    const status = received.find(({ target }) => target === "/status");
    const log = received.find(({ target }) => target === "/vmAgentLog");
    expect([status?.bodyBytes, status?.signature.kind]).toEqual([8_000_000, "valid"]);
    expect([log?.bodyBytes, log?.signature.kind]).toEqual([150 * 1024 * 1024, "unsigned"]);
  }, 60_000);

  test("T-53: a body beyond the limit is answered 413 and nothing of it leaves", async () => {
    const before = (await world.received("wireserver")).length;
    const answer = await curl("http://168.63.129.16/machine/?comp=health", {
      args: ["-X", "POST", "--data-binary", `@${process.execPath}`],
    });
    expect(answer.status).toBe(413);
    expect(await world.received("wireserver")).toHaveLength(before);
  });

  test("the agent's own calls reach the host directly", async () => {
    const channel = await world.channelCalls();
    expect(channel.length).toBeGreaterThan(2);
    expect(world.agent.lines.filter(({ fields }) => String(fields.url ?? "").startsWith("/secure-channel/"))).toEqual([]);
  });
});
