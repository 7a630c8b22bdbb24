// The agent's own client over loopback: exact bytes out, one strict response in, one deadline for all of it.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type SendOptions, sendOnce } from "../../proxy/adapters/http/send-once.ts";
import { type RawPeer, startRawHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const HEAD = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

async function call(script: (connection: RawPeer) => void | Promise<void>, options: Partial<SendOptions> = {}) {
  await using host = await startRawHost(async (connection) => {
    await connection.untilText("\r\n\r\n");
    await script(connection);
  });
  const result = await sendOnce({
    peer: { address: "127.0.0.1", port: host.port },
    method: "GET",
    head: Buffer.from(HEAD),
    deadlineMs: 4_000,
    maxResponseBytes: 1000,
    ...options,
  });
  // Our side of the connection is closed by now; the scripted host's end follows.
  host.connections[0]?.finish();
  await host.connections[0]?.closed;
  return { result, sent: host.connections[0]?.text };
}

describe("sendOnce", () => {
  test("sends the bytes as given and returns the whole response", async () => {
    const body = Buffer.from("<xml/>");
    const { result, sent } = await call(
      async (connection) => {
        await connection.untilText("<xml/>");
        connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nA: b\r\nContent-Length: 5\r\n\r\nhel");
        connection.send("lo");
      },
      { method: "POST", body },
    );
    expect(sent).toBe(`${HEAD}<xml/>`);
    expect(result.ok && [result.value.head.status, result.value.head.reason, Buffer.from(result.value.body).toString()]).toEqual([
      201,
      "Made",
      "hello",
    ]);
  });

  test.each([
    ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n"],
    ["no length", "HTTP/1.1 200 OK\r\n\r\nhello"],
  ])("takes a response with %s", async (_name, response) => {
    const { result } = await call((connection) => {
      connection.send(response);
      connection.finish();
    });
    expect(result.ok && Buffer.from(result.value.body).toString()).toBe("hello");
  });

  test.each([
    ["malformed", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "bad-response"],
    ["no HTTP", "hello\r\n", "bad-response"],
    ["announced too long", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "too-large"],
    ["too long in fact", `HTTP/1.1 200 OK\r\n\r\n${"a".repeat(1001)}`, "too-large"],
    ["too long in chunks", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${"a".repeat(1001)}\r\n`, "too-large"],
    ["cut short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "closed"],
    ["nothing", "", "closed"],
  ])("a response that is %s is an error", async (_name, response, kind) => {
    const { result } = await call((connection) => {
      if (response !== "") connection.send(response);
      connection.finish();
    });
    expect(result).toMatchObject({ ok: false, error: { kind } });
  });

  test("a reset, nobody listening, and silence are told apart", async () => {
    expect((await call((connection) => connection.reset())).result).toMatchObject({ ok: false, error: { kind: "closed" } });
    expect((await call(() => {}, { deadlineMs: 50 })).result).toMatchObject({ ok: false, error: { kind: "timeout" } });
    const host = await startRawHost(() => {});
    const peer = { address: "127.0.0.1", port: host.port };
    await host[Symbol.asyncDispose]();
    const refused = await sendOnce({ peer, method: "GET", head: Buffer.from(HEAD), deadlineMs: 1_000, maxResponseBytes: 10 });
    expect(refused).toMatchObject({ ok: false, error: { kind: "unreachable" } });
  });

  test("a response that drips is cut off at the deadline", async () => {
    const { result } = await call(
      (connection) => {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n");
        const drip = setInterval(() => connection.send("a"), 10);
        void connection.closed.then(() => clearInterval(drip));
      },
      { deadlineMs: 100 },
    );
    expect(result).toMatchObject({ ok: false, error: { kind: "timeout" } });
  });
});
