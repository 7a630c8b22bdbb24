// The engine seen from the client: what it accepts and refuses on the wire, and how connections live and end.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { reply, SWEEP_MS, startEngine, statuses } from "../support/http-engine.ts";
import { seededRandom } from "../support/random.ts";
import { connectRaw, startAnsweringHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = (target: string, ...lines: string[]) =>
  `GET ${target} HTTP/1.1\r\nHost: h\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const chunked = (body: string) => `POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;

/** Name, bytes, the statuses the client gets, how many requests reach the host. */
const HOSTILE: readonly (readonly [string, string, string, number])[] = [
  ["a plain request", get("/x"), "200", 1],
  ["both framings", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", 0],
  ["two equal lengths", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400", 0],
  ["an unknown coding", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", 0],
  ["a look-alike framing name", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n", "400", 0],
  ["a length of 4 GiB", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4294967301\r\n\r\nhello", "413", 0],
  ["a GET with a body", "GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "200", 1],
  ["length 0 and another request", `POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n${get("/y")}`, "200+200", 2],
  ["a POST without length, followed by bytes of a request", `POST /x HTTP/1.1\r\nHost: h\r\n\r\n${get("/y")}`, "200+200", 2],
  ["three requests at once", get("/1") + get("/2") + get("/3"), "200+200+200", 3],
  ["chunks", chunked("5\r\nhello\r\n0\r\n\r\n"), "200", 1],
  ["chunks and another request", `${chunked("5;ext=1\r\nhello\r\n0\r\n\r\n")}${get("/y")}`, "200+200", 2],
  ["a chunk size of 9 digits", chunked("000000005\r\nhello\r\n0\r\n\r\n"), "400", 0],
  ["a chunk size line that ends in LF", chunked("5\nhello\r\n0\r\n\r\n"), "400", 0],
  ["a chunk longer than its size", chunked("5\r\nhelloo\r\n0\r\n\r\n"), "400", 0],
  ["a long chunk extension", chunked(`5;${"a".repeat(300)}\r\nhello\r\n0\r\n\r\n`), "400", 0],
  ["a request trailer", chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), "400", 0],
  ["a bare LF", "GET /x HTTP/1.1\nHost: h\n\n", "400", 0],
  ["a fold", get("/x", "A: b", " c"), "400", 0],
  ["two Hosts", get("/x", "Host: h"), "400", 0],
  ["no Host", "GET /x HTTP/1.1\r\n\r\n", "400", 0],
  ["a Host with a path", "GET /x HTTP/1.1\r\nHost: h/evil\r\n\r\n", "400", 0],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", 0],
  ["HTTP/0.9", "GET /x\r\n", "400", 0],
  ["an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", 0],
  ["an unknown expectation", "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", "417", 0],
  ["129 fields", get("/x", ...Array.from({ length: 128 }, () => "A: b")), "431", 0],
  ["a head of 128 KiB", get("/x", `A: ${"b".repeat(128 * 1024)}`), "431", 0],
  ["a target of 40 KiB", get(`/${"a".repeat(40 * 1024)}`), "414", 0],
  ["HTTP/1.0 without Host", "GET /x HTTP/1.0\r\n\r\n", "200", 1],
  ["bytes after a request that closes", `${get("/x", "Connection: close")}GARBAGE`, "200", 1],
  ["a good request, then garbage", `${get("/x")}\x01\x02`, "200+400", 1],
];

describe.each(["in one piece", "byte by byte"])("requests sent %s", (how) => {
  test.each(HOSTILE.filter(([, bytes]) => how === "in one piece" || bytes.length < 1000))(
    "T-50: %s",
    async (_name, bytes, expected, forwarded) => {
      await using host = await startAnsweringHost(() => OK);
      await using engine = startEngine({ hostPort: host.port });
      const client = await connectRaw(engine.port);
      client.socket.setNoDelay(true);
      if (how === "in one piece") client.send(bytes);
      else
        for (const byte of bytes) await new Promise<void>((resolve) => client.socket.write(Buffer.from(byte, "latin1"), () => resolve()));
      // No FIN from us before the refusal: it must not wait for the end of a head that never comes.
      const wanted = expected.split("+").length;
      await client.until((peer) => statuses(peer.text).split("+").filter(Boolean).length >= wanted);
      client.finish();
      expect(statuses(await client.untilEnd())).toBe(expected);
      expect(host.connections.reduce((sum, { text }) => sum + text.split(" HTTP/1.1\r\n").length - 1, 0)).toBe(forwarded);
      expect(engine.bugs).toEqual([]);
    },
    10_000,
  );
});

test("the host receives exactly the bytes the agent built, whatever the target looks like", async () => {
  const targets = ["/metadata/%2e%2e/x", "//evil/../x", "/\\x", "/x?a=\"<>'&&b=&a=2", "/x?", "/{x}|^`", "/%zz", "http://h/../x", "*"];
  await using host = await startAnsweringHost(() => OK);
  await using engine = startEngine({ hostPort: host.port });
  const client = await connectRaw(engine.port);
  const sent = targets.map((target) => `GET ${target} HTTP/1.1\r\nhOST: h\r\nB: 2\r\na:   1\r\nB: 1\r\n\r\n`);
  client.send(sent.join(""));
  client.finish();
  await client.untilEnd();
  expect(host.connections.map(({ text }) => text)).toEqual([sent.join("").replaceAll("a:   1", "a: 1")]);
});

test("a client that finished sending still gets its answer", async () => {
  await using host = await startAnsweringHost(() => OK);
  await using engine = startEngine({ hostPort: host.port });
  const client = await connectRaw(engine.port);
  client.send(get("/x"));
  client.finish();
  expect(await client.untilEnd()).toEndWith("\r\n\r\nok");
});

test("a client that finished sending before the answer is told that the connection closes", async () => {
  await using engine = startEngine({
    handle: async (exchange) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      exchange.answer(reply(200, "late"));
    },
  });
  const client = await connectRaw(engine.port);
  client.send(get("/x"));
  client.finish();
  expect(await client.untilEnd()).toBe("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate");
});

test("pipelined requests are handled one at a time, in order, and bounded in number of bytes read ahead", async () => {
  let running = 0;
  let most = 0;
  await using engine = startEngine({
    handle: async (exchange) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, exchange.head.target === "/0" ? 200 : 0));
      exchange.answer(reply(200, exchange.head.target));
      running--;
    },
  });
  const client = await connectRaw(engine.port);
  const count = 200;
  const filler = "f".repeat(8000);
  for (let index = 0; index < count; index++) client.send(get(`/${index}`, `A: ${filler}`));
  await client.until((peer) => statuses(peer.text).split("+").filter(Boolean).length === count);
  expect([...client.text.matchAll(/\n(\/\d+)/g)].map((match) => match[1])).toEqual(
    Array.from({ length: count }, (_, index) => `/${index}`),
  );
  expect(most).toBe(1);
  client.reset();
}, 10_000);

test("a client of HTTP/1.0 is kept only when it asks for it", async () => {
  await using host = await startAnsweringHost(() => OK);
  await using engine = startEngine({ hostPort: host.port });
  const kept = await connectRaw(engine.port);
  kept.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  expect(await kept.untilText("ok")).toContain("\r\nConnection: keep-alive\r\n");
  kept.send("GET /y HTTP/1.0\r\n\r\n");
  expect(statuses(await kept.untilEnd())).toBe("200+200");
  expect(kept.text).toContain("\r\nConnection: close\r\n");
});

describe("waiting clients", () => {
  test("T-52: a head that does not end in time gets 408, however it drips", async () => {
    await using engine = startEngine({ limits: { headMs: 150 } });
    const client = await connectRaw(engine.port);
    client.send("GET /x HTTP/1.1\r\n");
    const drip = setInterval(() => client.send("A: b\r\n"), 20);
    await client.until((peer) => peer.ended);
    clearInterval(drip);
    client.finish();
    expect(statuses(client.text)).toBe("408");
    expect(engine.refusals).toEqual([408]);
  }, 5_000);

  test("an idle connection is closed without a word, before and after a request", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = startEngine({ hostPort: host.port, limits: { idleMs: 100 } });
    const silent = await connectRaw(engine.port);
    const served = await connectRaw(engine.port);
    served.send(get("/x"));
    await served.untilText("ok");
    expect(await silent.untilEnd()).toBe("");
    expect(statuses(await served.untilEnd())).toBe("200");
    await host.connections[0]?.closed;
    expect(engine.refusals).toEqual([]);
  }, 5_000);

  test("a head cut short by the client's FIN gets 400", async () => {
    await using engine = startEngine();
    const client = await connectRaw(engine.port);
    client.send("GET /x HTTP/1.1\r\nHost");
    client.finish();
    expect(statuses(await client.untilEnd())).toBe("400");
  });

  test("a handler that does not answer in time is reported and its client gets 500", async () => {
    await using engine = startEngine({ limits: { handlerMs: 60 }, handle: () => new Promise(() => {}) });
    const client = await connectRaw(engine.port);
    client.send(get("/x"));
    expect(statuses(await client.untilEnd())).toBe("500");
    expect(engine.bugs).toEqual(["handler: internal error: no answer within 60 ms"]);
  }, 5_000);
});

test("ten thousand damaged heads do not harm the listener", async () => {
  const base = 20_260_101;
  await using host = await startAnsweringHost(() => OK);
  await using engine = startEngine({
    hostPort: host.port,
    limits: { headMs: SWEEP_MS * 5, idleMs: SWEEP_MS * 5, bodyProgressMs: SWEEP_MS * 5 },
  });
  const template = Buffer.from(
    "POST /metadata/instance?api-version=2021-02-01 HTTP/1.1\r\nHost: h\r\nMetadata: true\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  );
  const attack = async (worker: number) => {
    for (let sent = 0; sent < 100; sent++) {
      const client = await connectRaw(engine.port, "count");
      const random = seededRandom(base + worker * 100 + sent);
      const pieces: Buffer[] = [];
      for (let head = 0; head < 10; head++) {
        const bytes = Buffer.from(template);
        for (let flips = 1 + random.below(3); flips > 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
        pieces.push(random.oneIn(4) ? bytes.subarray(0, random.below(bytes.length)) : bytes);
      }
      client.send(Buffer.concat(pieces));
      client.finish();
      await client.closed;
    }
  };
  await Promise.all(Array.from({ length: 10 }, (_, worker) => attack(worker)));
  expect({ base, bugs: engine.bugs }).toEqual({ base, bugs: [] });
  const client = await connectRaw(engine.port);
  client.send(get("/still-there", "Connection: close"));
  expect(statuses(await client.untilEnd())).toBe("200");
  expect(engine.closed).toBeGreaterThanOrEqual(1000);
}, 60_000);

test("the handler is given the head as it came", async () => {
  await using engine = startEngine({
    handle: async (exchange) => {
      exchange.answer(reply(200, JSON.stringify(exchange.head)));
    },
  });
  const client = await connectRaw(engine.port);
  client.send("OPTIONS * HTTP/1.1\r\nhost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n");
  const text = await client.untilEnd();
  expect(JSON.parse(text.slice(text.indexOf("{")))).toMatchObject({
    method: "OPTIONS",
    target: "*",
    closeAfter: true,
    headers: [
      ["host", "h"],
      ["Upgrade", "h2c"],
      ["Connection", "Upgrade, close"],
    ],
  });
});
