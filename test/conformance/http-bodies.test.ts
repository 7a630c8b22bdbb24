// Request bodies and big responses through the engine: limits, 100-continue, early answers, and backpressure both ways.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { forwardStreamed, MAX_TEST_BODY_BYTES, outboundHead, reply, startEngine, statuses } from "../support/http-engine.ts";
import { connectRaw, type RawPeer, startAnsweringHost, startRawHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MIB = 1024 * 1024;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
const post = (length: number, ...lines: string[]) =>
  `POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const postChunked = (...lines: string[]) =>
  `POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until a count has not changed for a while: everything that will move has moved. */
async function settled(count: () => number): Promise<number> {
  for (let before = -1, same = 0; ; ) {
    const now = count();
    same = now === before ? same + 1 : 0;
    if (same === 10) return now;
    before = now;
    await pause(20);
  }
}

describe("buffered bodies", () => {
  test("arrive whole, with a length, whatever their framing and pieces", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    for (const piece of [post(11), "hello", " ", "world", postChunked(), "5;x=y\r\nhel", "lo\r\n6\r\n wor", "ld\r\n0\r\n\r", "\n"]) {
      client.send(piece);
      await pause(5);
    }
    await client.until((peer) => statuses(peer.text) === "200+200");
    expect(host.connections[0]?.text.replaceAll("POST /x HTTP/1.1\r\nHost: h\r\n", "")).toBe(
      "Content-Length: 11\r\n\r\nhello world".repeat(2),
    );
    client.reset();
  });

  test("a declared length over the limit is refused before the body is read, and the answer is readable", async () => {
    await using engine = startEngine();
    const client = await connectRaw(engine.port);
    client.send(post(2 * MAX_TEST_BODY_BYTES));
    await client.untilText("\r\n\r\n");
    client.send(Buffer.alloc(2 * MAX_TEST_BODY_BYTES));
    expect(statuses(await client.untilEnd())).toBe("413");
    expect(client.text).toContain("\r\nConnection: close\r\n");
    expect(await client.closed).toBe("closed");
  });

  test("a client that sends all of a refused upload before it reads still gets the answer", async () => {
    await using engine = startEngine({ handle: async (exchange) => exchange.answer(reply(403, "no")) });
    const client = await connectRaw(engine.port);
    client.socket.pause();
    client.send(post(8 * MIB));
    const sent = new Promise<void>((resolve) => client.socket.write(Buffer.alloc(8 * MIB), () => resolve()));
    await sent;
    client.socket.resume();
    expect(await client.untilEnd()).toEndWith("\r\n\r\nno");
    expect(await client.closed).toBe("closed");
  });

  test("chunks over the limit are refused as they come", async () => {
    await using engine = startEngine();
    const client = await connectRaw(engine.port);
    client.send(postChunked());
    const piece = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65536), Buffer.from("\r\n")]);
    for (let sent = 0; sent <= MAX_TEST_BODY_BYTES; sent += 65536) client.send(piece);
    expect(statuses(await client.untilEnd())).toBe("413");
  });

  test("T-53: all bodies together stay within the budget, and its share comes back", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = startEngine({ hostPort: host.port, limits: { maxHeldBytes: 1_100_000, rootReserveBytes: 1 } });
    const holder = await connectRaw(engine.port);
    holder.send(post(600_000));
    holder.send(Buffer.alloc(500_000));
    await pause(50);
    const other = await connectRaw(engine.port);
    other.send(post(600_000));
    other.send(Buffer.alloc(600_000));
    await other.until((peer) => statuses(peer.text) === "503");
    other.reset();
    holder.reset();
    await pause(20);
    const third = await connectRaw(engine.port);
    third.send(post(400_000));
    third.send(Buffer.alloc(400_000));
    await third.until((peer) => statuses(peer.text) === "200");
    third.reset();
  });

  test("T-159: a half-sent body gives way to another user's, is answered 503, and its memory comes back", async () => {
    await using host = await startAnsweringHost(() => OK);
    let owner = 1000;
    await using engine = startEngine({ hostPort: host.port, owner: () => owner, limits: { maxHeldBytes: 1_100_000, rootReserveBytes: 1 } });
    const holder = await connectRaw(engine.port);
    holder.send(post(900_000));
    holder.send(Buffer.alloc(700_000));
    await settled(() => engine.listener.heldBytes);
    owner = 1001;
    const other = await connectRaw(engine.port);
    other.send(post(400_000));
    other.send(Buffer.alloc(400_000));
    await other.until((peer) => statuses(peer.text) === "200");
    expect(statuses(await holder.untilEnd())).toBe("503");
    other.reset();
    await settled(() => engine.listener.heldBytes);
    expect(engine.listener.heldBytes).toBe(0);
  });

  test("a body that stops coming gets 408, as does one that only drips", async () => {
    await using engine = startEngine({ limits: { bodyProgressMs: 80, bufferedBodyMs: 200 } });
    const stopped = await connectRaw(engine.port);
    stopped.send(`${post(10)}hello`);
    expect(statuses(await stopped.untilEnd())).toBe("408");
    const dripping = await connectRaw(engine.port);
    dripping.send(post(10_000));
    const drip = setInterval(() => dripping.send("x"), 20);
    await dripping.until((peer) => peer.ended);
    clearInterval(drip);
    expect(statuses(await dripping.untilEnd())).toBe("408");
  }, 5_000);

  test("a client that hangs up in its body is gone, and nothing reaches the host", async () => {
    const failures: unknown[] = [];
    await using engine = startEngine({
      handle: async (exchange) => {
        const body = await exchange.readBody(100);
        failures.push(body);
        exchange.answer(reply(200));
      },
    });
    const client = await connectRaw(engine.port);
    client.send(`${post(10)}hello`);
    client.finish();
    expect(await client.closed).toBe("reset");
    while (failures.length === 0) await pause(1);
    expect(failures).toEqual([{ ok: false, error: { kind: "client-gone" } }]);
    expect(engine.bugs).toEqual([]);
  });

  test("an unread body that has arrived is skipped, and the connection carries on", async () => {
    await using engine = startEngine({ handle: async (exchange) => exchange.answer(reply(403, exchange.head.method)) });
    const client = await connectRaw(engine.port);
    client.send(`${post(5)}hello${postChunked()}5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n`);
    await client.until((peer) => statuses(peer.text) === "403+403+403");
    expect(client.text).toEndWith("GET");
    client.reset();
  });
});

describe("Expect: 100-continue", () => {
  test("the body is asked for when it is read, and not before", async () => {
    await using host = await startAnsweringHost(() => OK);
    const asked = Promise.withResolvers<void>();
    await using engine = startEngine({
      hostPort: host.port,
      handle: async (exchange, { host: peer }) => {
        await asked.promise;
        const body = await exchange.readBody(100);
        if (!body.ok) throw new Error(body.error.kind);
        const head = outboundHead(exchange, body.value.length);
        await exchange.forward(peer, { method: "POST", head, body: { kind: "buffered", bytes: body.value }, addedResponseHeaders: [] });
      },
    });
    const client = await connectRaw(engine.port);
    client.send(post(5, "Expect: 100-continue"));
    await pause(30);
    expect(client.text).toBe("");
    asked.resolve();
    await client.untilText("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect(await client.untilText("\r\n\r\nok")).toBe(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
    client.reset();
  });

  test("a refusal comes instead of 100, and the connection closes because the body may still come", async () => {
    await using engine = startEngine({ handle: async (exchange) => exchange.answer(reply(403)) });
    const client = await connectRaw(engine.port);
    client.send(post(5, "Expect: 100-continue"));
    expect(statuses(await client.untilEnd())).toBe("403");
    expect(client.text).toContain("\r\nConnection: close\r\n");
  });

  test("streamed: one 100, although the host sends one, too", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      await connection.untilText("hello");
      connection.send(OK);
    });
    await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed });
    const client = await connectRaw(engine.port);
    client.send(post(5, "Expect: 100-continue"));
    await client.untilText("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect(await client.untilText("\r\n\r\nok")).toBe(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
    client.reset();
  });
});

describe("streamed bodies", () => {
  test("20 MiB arrive unchanged", async () => {
    const body = Buffer.alloc(20 * MIB);
    for (let at = 0; at < body.length; at += 4) body.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at);
    const hash = createHash("sha256");
    let received = 0;
    await using host = await startRawHost((connection) => {
      let headLeft = "";
      let inHead = true;
      connection.socket.on("data", (bytes: Buffer) => {
        let payload = bytes;
        if (inHead) {
          headLeft += bytes.toString("latin1");
          const end = headLeft.indexOf("\r\n\r\n");
          if (end < 0) return;
          inHead = false;
          payload = Buffer.from(headLeft.slice(end + 4), "latin1");
        }
        hash.update(payload);
        received += payload.length;
        if (received === body.length) connection.send(OK);
      });
    }, "count");
    await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed });
    const client = await connectRaw(engine.port);
    client.send(`PUT /vmAgentLog HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n`);
    client.send(body);
    expect(await client.untilText("\r\n\r\nok")).toBe(OK);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(body).digest("hex"));
    client.reset();
  }, 30_000);

  test("chunks are framed anew: extensions and sizes of the client's end here", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("0\r\n\r\n");
      connection.send(OK);
    });
    await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed });
    const client = await connectRaw(engine.port);
    client.send(`${postChunked()}0005;ext="x"\r\nhello\r\n0B\r\n big world!\r\n000\r\n\r\n`);
    await client.untilText("\r\n\r\nok");
    expect(host.connections[0]?.text).toBe(`${postChunked()}10\r\nhello big world!\r\n0\r\n\r\n`);
    client.send(`${post(5)}hello`);
    client.reset();
  });

  test.each([
    ["a length over the limit", `${post(65 * MIB)}`, 413, 0],
    ["malformed chunks", `${postChunked()}5\r\nhello\r\nzz\r\n`, 400, 1],
    ["a trailer", `${postChunked()}5\r\nhello\r\n0\r\nA: b\r\n\r\n`, 400, 1],
    ["a body that stops", `${post(10)}hello`, 408, 1],
  ])(
    "%s",
    async (_name, bytes, status, connections) => {
      await using host = await startRawHost(() => {});
      await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed, limits: { bodyProgressMs: 80 } });
      const client = await connectRaw(engine.port);
      client.send(bytes);
      expect(statuses(await client.untilEnd())).toBe(String(status));
      expect(engine.outcomes).toMatchObject([{ kind: "body-failed" }]);
      expect(host.connections.length).toBe(connections);
      await host.connections[0]?.closed;
      expect(engine.bugs).toEqual([]);
    },
    5_000,
  );

  test("chunks over the limit", async () => {
    await using host = await startRawHost(() => {}, "count");
    await using engine = startEngine({
      hostPort: host.port,
      handle: async (exchange, self) => {
        const head = outboundHead(exchange);
        const outcome = await exchange.forward(self.host, {
          method: "POST",
          head,
          body: { kind: "streamed", maxBytes: 8 },
          addedResponseHeaders: [],
        });
        self.outcomes.push(outcome);
        exchange.answer(reply(413));
      },
    });
    const client = await connectRaw(engine.port);
    client.send(`${postChunked()}5\r\nhello\r\n`);
    await pause(20);
    client.send("5\r\nhello\r\n");
    expect(statuses(await client.untilEnd())).toBe("413");
    expect(engine.outcomes).toMatchObject([{ kind: "body-failed", failure: { kind: "too-large", limitBytes: 8 } }]);
  });

  test.each([
    ["and closes", (host: RawPeer) => host.socket.destroy()],
    ["and resets", (host: RawPeer) => host.reset()],
    ["and stays", () => {}],
  ])(
    "a host that answers early %s: the client gets that answer and its connection closes",
    async (_name, then) => {
      const response = "HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno";
      await using host = await startRawHost(async (connection) => {
        await connection.until((peer) => peer.receivedBytes > 100_000);
        connection.socket.pause();
        connection.socket.write(response, () => then(connection));
      }, "count");
      await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed });
      const client = await connectRaw(engine.port);
      client.send(post(30 * MIB));
      client.send(Buffer.alloc(10 * MIB));
      const text = await client.untilText("\r\n\r\nno");
      expect(text).toBe("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
      await client.untilEnd();
      expect(engine.outcomes).toMatchObject([{ kind: "completed", status: 413 }]);
      expect(engine.bugs).toEqual([]);
    },
    10_000,
  );

  test("a host that takes nothing stops the client, and in the end the upload", async () => {
    await using host = await startRawHost((connection) => {
      connection.socket.pause();
    }, "count");
    await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed, limits: { responseProgressMs: 600 } });
    const client = await connectRaw(engine.port);
    let taken = 0;
    client.send(post(60 * MIB));
    const feed = () => {
      while (taken < 60 * MIB) {
        taken += 65536;
        if (!client.socket.write(Buffer.alloc(65536))) return;
      }
    };
    client.socket.on("drain", feed);
    feed();
    // Four kernel buffers lie on the way; beyond them nothing may be taken.
    expect(await settled(() => taken)).toBeLessThan(40 * MIB);
    await client.untilText("silent");
    expect(statuses(client.text)).toBe("503");
    client.reset();
  }, 15_000);

  test("a client that goes away in its upload takes the host's connection with it", async () => {
    await using host = await startRawHost(() => {}, "count");
    await using engine = startEngine({ hostPort: host.port, handle: forwardStreamed });
    const client = await connectRaw(engine.port);
    client.send(post(10 * MIB));
    client.send(Buffer.alloc(MIB));
    while ((host.connections[0]?.receivedBytes ?? 0) < MIB) await pause(5);
    client.reset();
    await host.connections[0]?.closed;
    expect(engine.outcomes).toEqual([{ kind: "client-gone" }]);
  });
});

describe("big responses", () => {
  test("a reader that stalls stops the host, and gets every byte when it goes on", async () => {
    const total = 64 * MIB;
    let pushed = 0;
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      const piece = Buffer.alloc(65536, 1);
      const feed = () => {
        while (pushed < total) {
          pushed += piece.length;
          if (!connection.socket.write(piece)) return;
        }
      };
      connection.socket.on("drain", feed);
      feed();
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port, "count");
    client.socket.pause();
    client.send("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(await settled(() => pushed)).toBeLessThan(40 * MIB);
    client.socket.resume();
    await client.until((peer) => peer.ended);
    const headBytes = `HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\nx-added: by-agent\r\nConnection: close\r\n\r\n`.length;
    expect(client.receivedBytes).toBe(headBytes + total);
    client.finish();
    await client.closed;
    expect(engine.outcomes).toMatchObject([{ kind: "completed", responseBytes: total }]);
  }, 30_000);

  test("a reader that stalls for good is reset, and the host's connection ends", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
      connection.send(Buffer.alloc(64 * MIB));
    });
    await using engine = startEngine({ hostPort: host.port, limits: { clientWriteMs: 150 } });
    const client = await connectRaw(engine.port, "count");
    client.socket.pause();
    client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    while (engine.outcomes.length === 0) await pause(5);
    expect(engine.outcomes).toMatchObject([{ kind: "broken-midway", status: 200 }]);
    await host.connections[0]?.closed;
    client.socket.destroy();
  }, 15_000);

  test("a slow reader of the last response on a connection loses nothing when we close", async () => {
    // No more than the kernel takes for a client that does not read: then the engine has nothing left to do but close.
    const body = Buffer.alloc(96 * 1024, 7);
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      connection.send(body);
    });
    await using engine = startEngine({ hostPort: host.port, limits: { lingerMs: 30 } });
    const client = await connectRaw(engine.port, "count");
    client.socket.pause();
    client.send("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    while (engine.closed === 0) await pause(5);
    client.socket.resume();
    await client.until((peer) => peer.ended);
    expect(client.receivedBytes).toBeGreaterThan(body.length);
    client.finish();
  }, 10_000);
});

describe("memory of answers", () => {
  test("T-158: a reader that hardly reads gives way when another user's needs the memory, and the log can say why", async () => {
    const large = "a".repeat(8 * MIB);
    await using host = await startAnsweringHost(() => `HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n${large}`);
    let owner = 1000;
    await using engine = startEngine({ hostPort: host.port, owner: () => owner, limits: { maxHeldBytes: 100_000, rootReserveBytes: 1 } });
    const slow: RawPeer[] = [];
    for (let n = 0; n < 12; n++) {
      const client = await connectRaw(engine.port, "count");
      client.socket.pause();
      client.send(GET);
      slow.push(client);
    }
    await settled(() => engine.listener.heldBytes);
    owner = 1001;
    const waiting = await connectRaw(engine.port);
    waiting.send(post(30_000));
    waiting.send(Buffer.alloc(30_000));
    await waiting.until((peer) => peer.receivedBytes > 0);
    expect(statuses(waiting.text)).toBe("200");
    expect(engine.outcomes).toContainEqual({
      kind: "broken-midway",
      status: 200,
      detail: "no memory left for what the client has not taken",
    });
    for (const client of [...slow, waiting]) client.reset();
    await settled(() => engine.listener.heldBytes);
    expect([engine.listener.heldBytes, engine.bugs]).toEqual([0, []]);
  });

  test("a host connection on which part of a request still waits is not used again", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.socket.pause();
      connection.send(OK);
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(post(MAX_TEST_BODY_BYTES));
    client.send(Buffer.alloc(MAX_TEST_BODY_BYTES));
    await client.until((peer) => statuses(peer.text) === "200");
    client.send(GET);
    await client.until((peer) => statuses(peer.text) === "200+200");
    expect(host.connections.length).toBe(2);
    client.reset();
  });

  test("T-161: an answer in chunks of one byte is unpacked in few writes, trailers included", async () => {
    const tiny = "1\r\nx\r\n".repeat(100_000);
    await using host = await startAnsweringHost(
      () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${tiny}0\r\nX-T: ${"y".repeat(8000)}\r\n\r\n`,
    );
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send("GET /x HTTP/1.0\r\nHost: h\r\n\r\n");
    const text = await client.untilEnd();
    expect(text.slice(text.indexOf("\r\n\r\n") + 4)).toBe("x".repeat(100_000));
    await settled(() => engine.listener.heldBytes);
    expect([engine.listener.heldBytes, engine.bugs]).toEqual([0, []]);
  });
});
