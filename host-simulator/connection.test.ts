// Bytes on the wire: keep-alive, pipelining, half-closed clients, and input that is no HTTP.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startLoopbackHost } from "./loopback-host.ts";
import { ask, RawClient } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";

let host: HostSimulator;
beforeAll(async () => {
  host = await startLoopbackHost({ settings: { wireserver: "audit", imds: "audit" } });
});
afterAll(() => host.stop());
beforeEach(() => host.reset());

const VERSIONS = "GET /versions HTTP/1.1\r\nHost: h\r\n\r\n";

async function open(): Promise<RawClient> {
  return await RawClient.open(host.addresses.hostga);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("keep-alive", () => {
  test("several requests on one connection", async () => {
    using client = await open();
    for (let i = 0; i < 3; i++) {
      client.send(VERSIONS);
      expect((await client.readResponse()).status).toBe(200);
    }
    const ports = new Set(host.requests().map((record) => record.clientPort));
    expect([host.counters().hostga.requests, host.counters().hostga.connections, ports.size]).toEqual([3, 1, 1]);
  });

  test("pipelined requests are answered in order, bodies and streams between them", async () => {
    host.configure({ extensionArtifactBytes: 700_000 });
    using client = await open();
    const put = "PUT /status HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    const chunked = "PUT /status HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    const artifact = "GET /extensionArtifact HTTP/1.1\r\nHost: h\r\nx-ms-artifact-location: x\r\n\r\n";
    client.send(VERSIONS + put + artifact + chunked + VERSIONS.replace("/versions", "/nothing") + VERSIONS);
    const lengths: [number, number][] = [];
    for (let i = 0; i < 6; i++) {
      const answer = await client.readResponse();
      lengths.push([answer.status, answer.body.length]);
    }
    expect(lengths.map(([status]) => status)).toEqual([200, 200, 200, 200, 404, 200]);
    expect(lengths[2]?.[1]).toBe(700_000);
  });

  test("a request cut into single bytes is understood", async () => {
    using client = await open();
    for (const byte of "PUT /status HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc") {
      client.send(byte);
      await Bun.sleep(0);
    }
    expect((await client.readResponse()).status).toBe(200);
  });

  test.each([
    ["GET /versions HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "close"],
    ["GET /versions HTTP/1.0\r\n\r\n", "close"],
  ])("closes after %j and says so", async (request, connection) => {
    using client = await open();
    client.send(request);
    expect((await client.readResponse()).headers.get("connection")).toBe(connection);
    expect(await client.readUntilEnd()).toMatchObject({ error: undefined });
  });

  test("keeps a 1.0 connection when asked", async () => {
    using client = await open();
    client.send("GET /versions HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect((await client.readResponse()).headers.get("connection")).toBe("keep-alive");
    client.send(VERSIONS);
    expect((await client.readResponse()).status).toBe(200);
  });

  test("a client that ended its side still gets its answer", async () => {
    using client = await open();
    client.send(VERSIONS);
    client.endSending();
    expect((await client.readResponse()).status).toBe(200);
    expect(await client.readUntilEnd()).toMatchObject({ error: undefined });
  });
});

describe("records", () => {
  test("hold what arrived, byte for byte", async () => {
    using client = await open();
    const head =
      'GET /versions?A=%20&b HTTP/1.1\r\nhOST:h\r\nX-A:  two words \r\nX-A: \xe9\r\nx-ms-azure-host-claims: { "isRoot": "true"}\r\n\r\n';
    client.send(head);
    await client.readResponse();
    expect(host.requests()).toMatchObject([
      {
        endpoint: "hostga",
        method: "GET",
        target: "/versions?A=%20&b",
        head,
        headers: [
          ["hOST", "h"],
          ["X-A", "two words"],
          ["X-A", "\xe9"],
          ["x-ms-azure-host-claims", '{ "isRoot": "true"}'],
        ],
        claims: '{ "isRoot": "true"}',
        bodyBytes: 0,
        signature: { kind: "unsigned" },
        status: 200,
      },
    ]);
  });

  test("tell of a client that left in the middle of its body", async () => {
    const client = await open();
    client.send("PUT /status HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    client.endSending();
    await client.readUntilEnd();
    client.close();
    await until(() => host.requests().length > 0);
    expect(host.requests()).toMatchObject([
      { bodyBytes: 3, status: 0, problem: "client ended the connection before the end of its request" },
    ]);
    expect(host.counters().hostga).toMatchObject({ requests: 1, broken: 1, unsigned: 0 });
  });
});

describe("input that is no request", () => {
  test.each([
    ["\x16\x03\x01\x02\x00", 400],
    ["\n\n", 400],
    ["GET / HTTP/1.1\nHost: h\n\n", 400],
    ["GET /\r\n\r\n", 400],
    ["PRI * HTTP/2.0\r\n\r\n", 505],
    ["GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400],
    [`GET / HTTP/1.1\r\nX: ${"y".repeat(140_000)}\r\n`, 431],
    ["PUT /vmAgentLog HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n", 413],
  ] as const)("%j is answered %d and closed", async (bytes, status) => {
    using client = await open();
    client.send(bytes);
    const answer = await client.readResponse();
    expect([answer.status, answer.headers.get("connection")]).toEqual([status, "close"]);
    await client.readUntilEnd();
    const records = host.requests();
    expect(records.map((record) => [record.status, record.problem === null])).toEqual([[status, false]]);
    expect((await ask(host.addresses.hostga, { target: "/versions" })).status).toBe(200);
  });

  test("random bytes never stop the simulator", async () => {
    let seed = 20_250_423;
    const next = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed >>> 8;
    };
    const seeds = [
      "GET /versions HTTP/1.1\r\nHost: h\r\n\r\n",
      "PUT /status HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    for (let round = 0; round < 200; round++) {
      const bytes = Buffer.from(seeds[next() % seeds.length] ?? "", "latin1");
      for (let flips = 0; flips < 3; flips++) bytes[next() % bytes.length] = next() & 0xff;
      using client = await open();
      client.send(bytes);
      client.endSending();
      await client.readUntilEnd();
    }
    expect((await ask(host.addresses.hostga, { target: "/versions" })).status).toBe(200);
  });
});
