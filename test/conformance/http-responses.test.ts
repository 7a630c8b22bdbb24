// The engine seen from the host: what of a response reaches the client, and what happens when it breaks.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Engine, reply, startEngine, statuses } from "../support/http-engine.ts";
import { connectRaw, type RawPeer, startRawHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const get = (method = "GET", version = "1.1") => `${method} /x HTTP/${version}\r\nHost: h\r\n\r\n`;

/** One request to a host that answers it by the script; the client and what the engine reported. */
async function ask(
  request: string,
  script: (connection: RawPeer) => void | Promise<void>,
  check: (client: RawPeer, engine: Engine) => Promise<void>,
  limits = {},
): Promise<void> {
  await using host = await startRawHost(async (connection) => {
    await connection.untilText("\r\n\r\n");
    await script(connection);
  });
  await using engine = startEngine({ hostPort: host.port, limits });
  const client = await connectRaw(engine.port);
  client.send(request);
  await check(client, engine);
  client.socket.destroy();
  expect(engine.bugs).toEqual([]);
}

/** What the client has when the response is over: it ends its side first, so the engine closes after it. */
async function answerTo(request: string, response: string | readonly string[], hostCloses = false): Promise<string> {
  let text = "";
  await ask(
    request,
    async (connection) => {
      for (const piece of typeof response === "string" ? [response] : response) {
        connection.send(piece);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      if (hostCloses) connection.finish();
    },
    async (client, engine) => {
      while (engine.outcomes.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      client.finish();
      text = await client.untilEnd();
    },
  );
  return text;
}

const ADDED = "x-added: by-agent\r\n";

describe("responses reach the client as the host made them", () => {
  test("status, reason, case, order, repetitions and bytes beyond ASCII; nothing is added but what the agent asked for", async () => {
    const head = "HTTP/1.1 299 Fine And Dandy\r\nb: 1\r\nX-A: \xe9\r\nB: 2\r\nset-cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n";
    expect(await answerTo(get(), `${head}\r\nok`)).toBe(`${head}${ADDED}\r\nok`);
  });

  test("what concerns the host's connection only is taken out", async () => {
    const response = [
      "HTTP/1.1 200 OK",
      "Connection: keep-alive, X-Hop",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: keep-alive",
      "Upgrade: h2c",
      "X-Hop: 1",
      "X-End: 2",
      "Content-Length: 2",
      "",
      "ok",
    ].join("\r\n");
    expect(await answerTo(get(), response)).toBe(`HTTP/1.1 200 OK\r\nX-End: 2\r\nContent-Length: 2\r\n${ADDED}\r\nok`);
  });

  test("chunks, extensions and trailers pass as they are, wherever they are cut", async () => {
    const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n";
    const body = "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    expect(await answerTo(get(), `${head}\r\n${body}`)).toBe(`${head}${ADDED}\r\n${body}`);
    const pieces = [`${head}\r`, "\n5;a", "=b\r", "\nhel", "lo\r\n6\r\n world\r\n0\r\nX-", "Sum: 1\r\n", "\r", "\n"];
    expect(await answerTo(get(), pieces)).toBe(`${head}${ADDED}\r\n${body}`);
  });

  test("a client of HTTP/1.0 gets the payload of chunks, ended by closing", async () => {
    const response =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
    expect(await answerTo(get("GET", "1.0"), response)).toBe(`HTTP/1.1 200 OK\r\n${ADDED}Connection: close\r\n\r\nhello world`);
  });

  test("a client of HTTP/1.0 never hears of chunks, not even in the answer to HEAD", async () => {
    const response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n";
    expect(await answerTo(get("HEAD", "1.0"), response)).toBe(`HTTP/1.1 200 OK\r\nA: b\r\n${ADDED}Connection: close\r\n\r\n`);
  });

  test("a response without length ends when the host closes, and then the client's connection does", async () => {
    expect(await answerTo(get(), ["HTTP/1.1 200 OK\r\n\r\nhel", "lo"], true)).toBe(
      `HTTP/1.1 200 OK\r\n${ADDED}Connection: close\r\n\r\nhello`,
    );
  });

  test.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n"],
  ])("%s answered by %j has no body, and the connection carries on", async (method, head) => {
    await ask(
      get(method) + get(),
      async (connection) => {
        connection.send(`${head}\r\n`);
        await connection.until((peer) => peer.text.split("\r\n\r\n").length > 2);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      },
      async (client) => {
        expect(await client.untilText("\r\n\r\nok")).toBe(`${head}${ADDED}\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n${ADDED}\r\nok`);
      },
    );
  });

  test("early hints pass to a 1.1 client and not to a 1.0 client; 100 is swallowed", async () => {
    const response =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const final = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${ADDED}`;
    expect(await answerTo(get(), response)).toBe(`HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${final}\r\nok`);
    expect(await answerTo(get("GET", "1.0"), response)).toBe(`${final}Connection: close\r\n\r\nok`);
  });

  test("a head arrives although its body has not begun", async () => {
    await ask(
      get(),
      (connection) => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
      async (client) => {
        expect(await client.untilText("\r\n\r\n")).toBe(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${ADDED}\r\n`);
      },
    );
  });
});

describe("a host that fails before its response leaves the answer to the agent", () => {
  test.each([
    ["both framings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"],
    ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"],
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
    ["257 fields", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(257)}\r\n`],
    ["a head of 70 KiB", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(70 * 1024)}`],
    ["chunks that are none, at once", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"],
    ["endless informational heads", "HTTP/1.1 102 Processing\r\n\r\n".repeat(30)],
  ])("%s", async (_name, response) => {
    await ask(
      get(),
      (connection) => connection.send(response),
      async (client, engine) => {
        const text = await client.untilText("bad-response");
        expect(statuses(text).replaceAll("102+", "")).toBe("503");
        expect(engine.outcomes).toMatchObject([{ kind: "host-failed", cause: "bad-response" }]);
      },
    );
  });

  test.each([
    ["by FIN", (connection: RawPeer) => connection.finish()],
    ["by reset", (connection: RawPeer) => connection.reset()],
  ])("closed %s before a byte", async (_name, script) => {
    await ask(get(), script, async (client, engine) => {
      expect(statuses(await client.untilText("closed"))).toBe("503");
      expect(engine.outcomes).toMatchObject([{ kind: "host-failed", cause: "closed" }]);
    });
  });

  test("closed in the middle of the head", async () => {
    await ask(
      get(),
      (connection) => {
        connection.send("HTTP/1.1 200 OK\r\nContent-");
        connection.finish();
      },
      async (client, engine) => {
        expect(statuses(await client.untilText("closed"))).toBe("503");
        expect(engine.outcomes).toMatchObject([{ kind: "host-failed", cause: "closed" }]);
      },
    );
  });

  test("silence", async () => {
    await ask(
      get(),
      () => {},
      async (client, engine) => {
        expect(statuses(await client.untilText("silent"))).toBe("503");
        expect(engine.outcomes).toMatchObject([{ kind: "host-failed", cause: "silent" }]);
      },
      { firstByteMs: 60 },
    );
  }, 5_000);

  test("nobody listening; the connection carries on", async () => {
    const host = await startRawHost(() => {});
    await host[Symbol.asyncDispose]();
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(get() + get());
    await client.until((peer) => statuses(peer.text) === "503+503");
    expect(engine.outcomes).toMatchObject([
      { kind: "host-failed", cause: "unreachable" },
      { kind: "host-failed", cause: "unreachable" },
    ]);
    client.reset();
  });
});

describe("a response that breaks midway breaks the client's connection", () => {
  const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

  test.each([
    ["a length cut short by FIN", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", (host: RawPeer) => host.finish()],
    ["a length cut short by reset", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", (host: RawPeer) => host.reset()],
    ["chunks cut short by FIN", `${chunkedHead}5\r\nhello\r\n`, (host: RawPeer) => host.finish()],
    ["an open end cut short by reset", "HTTP/1.1 200 OK\r\n\r\nhello", (host: RawPeer) => host.reset()],
    ["malformed chunks", `${chunkedHead}5\r\nhello\r\n`, (host: RawPeer) => host.send("zz\r\n0\r\n\r\n")],
    ["a framing trailer", `${chunkedHead}5\r\nhello\r\n`, (host: RawPeer) => host.send("0\r\nContent-Length: 5\r\n\r\n")],
  ])("T-55: %s", async (_name, start, breakIt) => {
    let connection: RawPeer | undefined;
    await ask(
      get(),
      (accepted) => {
        connection = accepted;
        accepted.send(start);
      },
      async (client, engine) => {
        await client.untilText("hello");
        if (connection !== undefined) breakIt(connection);
        expect(await client.closed).toBe("reset");
        expect(client.text).not.toContain("0\r\n\r\n");
        expect(client.text).not.toContain("Content-Length: 5\r\n");
        expect(engine.outcomes).toMatchObject([{ kind: "broken-midway", status: 200 }]);
      },
    );
  });

  test("a host that stops in the middle", async () => {
    await ask(
      get(),
      (connection) => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
      async (client, engine) => {
        expect(await client.closed).toBe("reset");
        expect(engine.outcomes).toMatchObject([{ kind: "broken-midway", status: 200 }]);
      },
      { responseProgressMs: 60 },
    );
  }, 5_000);
});

test("T-57: more bytes than the response has are not taken for the next response", async () => {
  await using host = await startRawHost(async (connection, index) => {
    await connection.untilText("\r\n\r\n");
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${index}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
  });
  await using engine = startEngine({ hostPort: host.port });
  const client = await connectRaw(engine.port);
  client.send(get() + get());
  await client.until((peer) => statuses(peer.text) === "200+200");
  expect(client.text).not.toContain("evil");
  expect(host.connections.length).toBe(2);
  client.reset();
});

test("bytes that come while nothing was asked end the host's connection", async () => {
  await using host = await startRawHost(async (connection, index) => {
    await connection.untilText("\r\n\r\n");
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${index}`);
    if (index > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  });
  await using engine = startEngine({ hostPort: host.port });
  const client = await connectRaw(engine.port);
  client.send(get());
  await client.untilText("\r\n\r\n0");
  await host.connections[0]?.closed;
  client.send(get());
  await client.untilText("\r\n\r\n1");
  expect(client.text).not.toContain("evil");
  client.reset();
});

test("local answers: status, given fields, length; no body for HEAD; never two framings", async () => {
  await using engine = startEngine({
    handle: async (exchange) => {
      exchange.answer({
        status: 421,
        headers: [
          ["Content-Type", "application/json"],
          ["Content-Length", "999"],
          ["Connection", "upgrade"],
        ],
        body: Buffer.from("{}"),
        close: exchange.head.method === "HEAD",
      });
    },
  });
  const client = await connectRaw(engine.port);
  client.send(get() + get("HEAD"));
  const head = "HTTP/1.1 421 Misdirected Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
  expect(await client.untilEnd()).toBe(`${head}\r\n{}${head}Connection: close\r\n\r\n`);
});

test("a field that would end its line early is our bug: the client gets 500, not the field", async () => {
  await using engine = startEngine({
    handle: async (exchange) => exchange.answer({ ...reply(200), headers: [["x-reason", "a\r\nSet-Cookie: b=c"]] }),
  });
  const client = await connectRaw(engine.port);
  client.send(get());
  const text = await client.untilEnd();
  expect(statuses(text)).toBe("500");
  expect(text).not.toContain("Set-Cookie");
  expect(engine.bugs).toEqual(['handler: internal error: header field "x-reason" cannot be sent']);
});
