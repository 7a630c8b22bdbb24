// Connections of the engine: whose host connection is whose, retries, aborts, caps, defects of a handler, stopping.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { DEFAULT_HTTP_LIMITS } from "../../proxy/adapters/http/limits.ts";
import { startListener } from "../../proxy/adapters/http/listener.ts";
import type { Exchange } from "../../proxy/core/ports.ts";
import type { Held } from "../../proxy/core/tally/connection-shares.ts";
import { forwardStreamed, reply, startEngine, statuses } from "../support/http-engine.ts";
import { connectRaw, type RawPeer, startAnsweringHost, startRawHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const MIB = 1024 * 1024;
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const request = (method = "GET", target = "/x") => `${method} ${target} HTTP/1.1\r\nHost: h\r\n\r\n`;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(2);
}

describe("connections to the host", () => {
  test("T-54: belong to one client each, are kept for its next request, and end with it", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = startEngine({ hostPort: host.port });
    const first = await connectRaw(engine.port);
    const second = await connectRaw(engine.port);
    for (const client of [first, second, first, second]) {
      const before = client.receivedBytes;
      client.send(request("GET", client === first ? "/first" : "/second"));
      await client.until((peer) => peer.receivedBytes > before && peer.text.endsWith("ok"));
    }
    expect(host.connections.map(({ text }) => text)).toEqual([request("GET", "/first").repeat(2), request("GET", "/second").repeat(2)]);
    first.finish();
    await host.connections[0]?.closed;
    expect(engine.closed).toBe(1);
    second.send(request("GET", "/second"));
    await second.until((peer) => statuses(peer.text) === "200+200+200");
    second.reset();
    await host.connections[1]?.closed;
  });

  test("are opened only when a request is forwarded", async () => {
    await using host = await startRawHost(() => {});
    await using engine = startEngine({ hostPort: host.port, handle: async (exchange) => exchange.answer(reply(403)) });
    const client = await connectRaw(engine.port);
    client.send(request());
    await client.until((peer) => statuses(peer.text) === "403");
    expect(host.connections.length).toBe(0);
    client.reset();
  });

  test("a host that says close gets a new connection for the next request", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(request() + request());
    await client.until((peer) => statuses(peer.text) === "200+200");
    expect(client.text).not.toContain("close");
    expect(host.connections.length).toBe(2);
    client.reset();
  });

  test("one that the host closed while idle is not used again, for any method", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(OK);
      connection.finish();
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    for (const [index, method] of ["POST", "GET", "POST", "PATCH"].entries()) {
      client.send(request(method));
      await client.until((peer) => statuses(peer.text).split("+").length === index + 1 && peer.text.endsWith("ok"));
      await host.connections[index]?.closed;
      await pause(5);
    }
    expect(statuses(client.text)).toBe("200+200+200+200");
    client.reset();
  });

  /** Answers the first request of each connection and dies on the second, as a host does whose idle time has just passed. */
  const startStaleHost = () =>
    startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(OK);
      await connection.until((peer) => peer.text.split("\r\n\r\n").length > 2);
      connection.reset();
    });

  test.each(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])("%s on one that proves dead is sent again, once", async (method) => {
    await using host = await startStaleHost();
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(request());
    await client.untilText("ok");
    client.send(request(method));
    await client.until((peer) => statuses(peer.text) === "200+200");
    expect(host.connections.length).toBe(2);
    client.reset();
  });

  test.each(["POST", "PATCH"])("T-56: %s on one that proves dead is not sent again: the agent answers", async (method) => {
    await using host = await startStaleHost();
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(request());
    await client.untilText("ok");
    client.send(request(method));
    await client.untilText("closed");
    expect(statuses(client.text)).toBe("200+503");
    expect(host.connections.length).toBe(1);
    client.reset();
  });

  test("POST does not trust one that was idle for long", async () => {
    await using host = await startStaleHost();
    await using engine = startEngine({ hostPort: host.port, limits: { freshForUnsafeMs: 30 } });
    const client = await connectRaw(engine.port);
    client.send(request());
    await client.untilText("ok");
    await pause(100);
    client.send(request("POST"));
    await client.until((peer) => statuses(peer.text) === "200+200");
    expect(host.connections.length).toBe(2);
    client.reset();
  });

  test("a fresh one that dies is not tried again, and neither is one that had begun to answer", async () => {
    await using host = await startRawHost(async (connection, index) => {
      await connection.untilText("\r\n\r\n");
      if (index === 0) {
        connection.send(OK);
        await connection.until((peer) => peer.text.split("\r\n\r\n").length > 2);
        connection.send("HTTP/1.1 200 ");
        await pause(10);
      }
      connection.reset();
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(request() + request());
    await client.until((peer) => statuses(peer.text) === "200+503");
    expect(host.connections.length).toBe(1);
    client.send(request());
    await client.until((peer) => statuses(peer.text) === "200+503+503");
    expect(host.connections.length).toBe(2);
    client.reset();
  });
});

describe("a client that goes away", () => {
  test("while the host thinks takes the host's connection with it", async () => {
    await using host = await startRawHost(() => {});
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port);
    client.send(request());
    await eventually(() => host.connections[0]?.text.includes("\r\n\r\n") === true);
    client.reset();
    await host.connections[0]?.closed;
    expect(engine.outcomes).toEqual([{ kind: "client-gone" }]);
    expect([engine.opened, engine.closed]).toEqual([1, 1]);
    expect(engine.bugs).toEqual([]);
  });

  test("in the middle of a response does, too", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
      connection.send(Buffer.alloc(64 * MIB));
    });
    await using engine = startEngine({ hostPort: host.port });
    const client = await connectRaw(engine.port, "count");
    client.send(request());
    await client.until((peer) => peer.receivedBytes > MIB);
    client.reset();
    await host.connections[0]?.closed;
    await eventually(() => engine.outcomes.length > 0);
    expect(engine.outcomes).toEqual([{ kind: "client-gone" }]);
  });

  test("leaves a handler that is still at work with nothing to do and nothing to break", async () => {
    const going = Promise.withResolvers<void>();
    const done = Promise.withResolvers<unknown[]>();
    await using engine = startEngine({
      handle: async (exchange, { host }) => {
        await going.promise;
        const body = await exchange.readBody(10);
        const head = Buffer.from("GET / HTTP/1.1\r\n\r\n");
        const outcome = await exchange.forward(host, {
          method: "GET",
          head,
          body: { kind: "buffered", bytes: Buffer.alloc(0) },
          addedResponseHeaders: [],
        });
        exchange.answer(reply(200));
        done.resolve([body, outcome]);
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request());
    await eventually(() => engine.requests.length === 1);
    client.reset();
    await eventually(() => engine.closed === 1);
    going.resolve();
    expect(await done.promise).toEqual([{ ok: false, error: { kind: "client-gone" } }, { kind: "client-gone" }]);
    expect(engine.bugs).toEqual([]);
  });
});

describe("defects of a handler end one connection and no other", () => {
  const defects: readonly (readonly [string, (exchange: Exchange) => Promise<void>, string])[] = [
    ["rejects", () => Promise.reject(new Error("boom")), "handler: boom"],
    [
      "throws before it is asynchronous",
      () => {
        throw new Error("boom");
      },
      "handler: boom",
    ],
    ["returns without an answer", async () => {}, "handler: internal error: the handler returned without an answer"],
    [
      "rejects while it reads the body",
      async (exchange) => {
        void exchange.readBody(100);
        throw new Error("boom");
      },
      "handler: boom",
    ],
  ];

  test.each(defects)("one that %s: 500, reported, others go on", async (_name, handle, report) => {
    await using engine = startEngine({
      handle: (exchange) => (exchange.head.target === "/bad" ? handle(exchange) : Promise.resolve(exchange.answer(reply(200)))),
    });
    const other = await connectRaw(engine.port);
    other.send(request());
    await other.until((peer) => statuses(peer.text) === "200");
    const client = await connectRaw(engine.port);
    client.send("POST /bad HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    expect(statuses(await client.untilEnd())).toBe("500");
    expect(engine.bugs).toEqual([report]);
    other.send(request());
    await other.until((peer) => statuses(peer.text) === "200+200");
    other.reset();
  });

  test("one that answers twice: the first answer stands, the connection closes", async () => {
    await using engine = startEngine({
      handle: async (exchange) => {
        exchange.answer(reply(200, "first"));
        exchange.answer(reply(200, "second"));
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request());
    const text = await client.untilEnd();
    expect(text).toEndWith("\r\n\r\nfirst");
    expect(engine.bugs).toEqual(["handler: internal error: cannot answer it: the request is answered"]);
  });

  test("one that throws while the response is under way: the client's connection breaks", async () => {
    await using host = await startRawHost(async (connection) => {
      await connection.untilText("\r\n\r\n");
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    });
    await using engine = startEngine({
      hostPort: host.port,
      handle: async (exchange, engineNow) => {
        void forwardStreamed(exchange, engineNow);
        await pause(50);
        throw new Error("boom");
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request());
    expect(await client.closed).toBe("reset");
    await host.connections[0]?.closed;
    expect(engine.bugs).toEqual(["handler: boom"]);
  });

  test("one that throws while the host still thinks: 500, and the host's connection ends", async () => {
    await using host = await startRawHost(() => {});
    await using engine = startEngine({
      hostPort: host.port,
      handle: async (exchange, engineNow) => {
        void forwardStreamed(exchange, engineNow);
        await eventually(() => host.connections[0]?.text.includes("\r\n\r\n") === true);
        throw new Error("boom");
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request());
    expect(statuses(await client.untilEnd())).toBe("500");
    await host.connections[0]?.closed;
    expect(engine.outcomes).toEqual([{ kind: "client-gone" }]);
    expect(engine.bugs).toEqual(["handler: boom"]);
  });

  test("one that asks for a field that cannot be sent: 503 from the agent, the host's connection ends", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = startEngine({
      hostPort: host.port,
      handle: async (exchange, engineNow) => {
        const outcome = await exchange.forward(engineNow.host, {
          method: "GET",
          head: Buffer.from(request()),
          body: { kind: "buffered", bytes: Buffer.alloc(0) },
          addedResponseHeaders: [["x-bad", "a\r\nb"]],
        });
        if (outcome.kind === "host-failed") exchange.answer(reply(503));
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request());
    await client.until((peer) => statuses(peer.text) === "503");
    expect(client.text).not.toContain("x-bad");
    expect(engine.bugs).toEqual(['host connection: internal error: header field "x-bad" cannot be sent']);
    client.reset();
  });

  test("one that keeps its exchange cannot write into the next request's answer", async () => {
    const kept: Exchange[] = [];
    await using engine = startEngine({
      handle: async (exchange) => {
        kept.push(exchange);
        if (exchange.head.target === "/2") expect(() => kept[0]?.answer(reply(200, "late"))).toThrow("the request is answered");
        exchange.answer(reply(200, exchange.head.target));
      },
    });
    const client = await connectRaw(engine.port);
    client.send(request("GET", "/1") + request("GET", "/2"));
    await client.untilText("/2");
    expect(client.text).not.toContain("late");
    expect(engine.bugs).toEqual([]);
    client.reset();
  });
});

describe("admission", () => {
  test("a refused connection is answered if it can be, closed at once, and takes no place", async () => {
    await using engine = startEngine({ refuse: true });
    const silent = await connectRaw(engine.port);
    expect(await silent.untilEnd()).toBe(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    expect(await silent.closed).toBe("closed");
    expect([engine.listener.connectionCount, engine.closed]).toEqual([0, 0]);
  });

  test("T-58: over the cap there is 503, and room again when a connection ends", async () => {
    await using engine = startEngine({ limits: { maxConnections: 3 }, handle: async (exchange) => exchange.answer(reply(200)) });
    const clients: RawPeer[] = [];
    for (let index = 0; index < 3; index++) clients.push(await connectRaw(engine.port));
    const over = await connectRaw(engine.port);
    expect(statuses(await over.untilEnd())).toBe("503");
    clients[0]?.reset();
    await eventually(() => engine.listener.connectionCount === 2);
    const next = await connectRaw(engine.port);
    next.send(request());
    await next.until((peer) => statuses(peer.text) === "200");
    for (const client of [...clients, next]) client.reset();
    await eventually(() => engine.listener.connectionCount === 0);
    expect([engine.opened, engine.closed]).toEqual([4, 4]);
  });

  test("T-58: however many are over the cap, none of them is kept", async () => {
    await using engine = startEngine({ limits: { maxConnections: 1 }, handle: async (exchange) => exchange.answer(reply(200)) });
    const held = await connectRaw(engine.port);
    const clients = await Promise.all(Array.from({ length: 100 }, () => connectRaw(engine.port).catch(() => undefined)));
    await Promise.all(clients.map((client) => client?.untilEnd().catch(() => "")));
    expect(engine.listener.connectionCount).toBe(1);
    for (const client of [held, ...clients]) client?.reset();
    await eventually(() => engine.listener.connectionCount === 0);
    const next = await connectRaw(engine.port);
    next.send(request());
    await next.until((peer) => statuses(peer.text) === "200");
    next.reset();
    await eventually(() => engine.closed === 2);
    expect([engine.opened, engine.bugs.length]).toEqual([2, 0]);
  });

  test("an admission that throws ends that connection only", async () => {
    let calls = 0;
    const bugs: string[] = [];
    const started = startListener({
      hostname: "127.0.0.1",
      port: 0,
      limits: DEFAULT_HTTP_LIMITS,
      onError: (where) => bugs.push(where),
      accept: () => {
        if (++calls === 1) throw new Error("boom");
        return { kind: "admit", owner: 1000, handle: async (exchange) => exchange.answer(reply(200)), closed: () => {} };
      },
    });
    if (!started.ok) throw new Error(started.error.message);
    const first = await connectRaw(started.value.port);
    await first.closed;
    const second = await connectRaw(started.value.port);
    second.send(request());
    await second.until((peer) => statuses(peer.text) === "200");
    second.reset();
    expect(bugs).toEqual(["client connection"]);
    await started.value.stop(0);
  });

  test("the peer is named at accept", async () => {
    const peers: unknown[] = [];
    const started = startListener({
      hostname: "127.0.0.1",
      port: 0,
      limits: DEFAULT_HTTP_LIMITS,
      onError: () => {},
      accept: ({ address, port, descriptor }) => {
        peers.push({ address, port, isDescriptor: descriptor > 2 });
        return { kind: "refuse" };
      },
    });
    if (!started.ok) throw new Error(started.error.message);
    const client = await connectRaw(started.value.port);
    const { localPort } = client.socket;
    await client.untilEnd();
    expect(peers).toEqual([{ address: "127.0.0.1", port: localPort, isDescriptor: true }]);
    await started.value.stop(0);
  });
});

describe("a connection that is closed to make room", () => {
  const startHeld = (handle: (exchange: Exchange) => Promise<void>) => {
    const held: Held[] = [];
    return { held, engine: startEngine({ handle, held: (one) => void held.push(one) }) };
  };

  test("yields between requests and in a head that is not whole, not while its request is with the handler", async () => {
    const release = Promise.withResolvers<void>();
    const { held, engine } = startHeld(async (exchange) => {
      await release.promise;
      exchange.answer(reply(200));
    });
    await using _ = engine;
    const client = await connectRaw(engine.port);
    await eventually(() => held.length === 1);
    expect(held[0]?.yields).toBe(true);
    client.send("GET /half HTTP/1.1\r\n");
    await pause(20);
    expect(held[0]?.yields).toBe(true);
    client.send("Host: x\r\n\r\n");
    await eventually(() => engine.requests.length === 1);
    expect(held[0]?.yields).toBe(false);
    release.resolve();
    await eventually(() => held[0]?.yields === true);
    held[0]?.evict();
    await client.untilEnd();
    await eventually(() => engine.closed === 1);
    expect([engine.closed, engine.bugs]).toEqual([1, []]);
  });

  test("yields while the handler waits for the client's body", async () => {
    const { held, engine } = startHeld(async (exchange) => {
      await exchange.readBody(100);
      exchange.answer(reply(200));
    });
    await using _ = engine;
    const client = await connectRaw(engine.port);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
    await eventually(() => engine.requests.length === 1);
    expect(held[0]?.yields).toBe(true);
    held[0]?.evict();
    expect(await client.closed).toBe("reset");
    await eventually(() => engine.closed === 1);
    expect(engine.bugs).toEqual([]);
  });
});

describe("stopping", () => {
  test("closes idle connections, lets the request in progress finish, accepts nothing more", async () => {
    const release = Promise.withResolvers<void>();
    await using engine = startEngine({
      handle: async (exchange) => {
        if (exchange.head.target === "/slow") await release.promise;
        exchange.answer(reply(200));
      },
    });
    const idle = await connectRaw(engine.port);
    idle.send(request());
    await idle.until((peer) => statuses(peer.text) === "200");
    const busy = await connectRaw(engine.port);
    busy.send(request("GET", "/slow"));
    await eventually(() => engine.requests.includes("GET /slow"));
    const { port } = engine;
    const stopped = engine.listener.stop(5_000);
    await idle.untilEnd();
    await expect(connectRaw(port)).rejects.toThrow();
    release.resolve();
    expect(await busy.untilEnd()).toContain("\r\nConnection: close\r\n");
    await stopped;
    expect([engine.listener.connectionCount, engine.opened, engine.closed]).toEqual([0, 2, 2]);
  });

  test("ends what is left when the grace is over", async () => {
    await using engine = startEngine({ handle: () => new Promise(() => {}) });
    const client = await connectRaw(engine.port);
    client.send(request());
    await eventually(() => engine.requests.length === 1);
    await engine.listener.stop(30);
    expect(await client.closed).toBe("reset");
    expect([engine.listener.connectionCount, engine.closed]).toEqual([0, 1]);
  });
});

describe("startListener", () => {
  test("says when the port is taken", async () => {
    await using engine = startEngine();
    const { port } = engine;
    const second = startListener({
      hostname: "127.0.0.1",
      port,
      limits: DEFAULT_HTTP_LIMITS,
      onError: () => {},
      accept: () => ({ kind: "refuse" }),
    });
    expect(second).toEqual({ ok: false, error: { kind: "in-use", message: `cannot listen on "127.0.0.1:${port}": EADDRINUSE` } });
  });

  test("serves on an inherited listening descriptor", async () => {
    const script = `
      import { startListener } from ${JSON.stringify(new URL("../../proxy/adapters/http/listener.ts", import.meta.url).pathname)};
      import { DEFAULT_HTTP_LIMITS } from ${JSON.stringify(new URL("../../proxy/adapters/http/limits.ts", import.meta.url).pathname)};
      const started = startListener({ hostname: "127.0.0.1", port: 0, descriptor: 3, limits: DEFAULT_HTTP_LIMITS, onError: console.error,
        accept: () => ({ kind: "admit", owner: undefined, closed() {}, handle: async (x) => x.answer({ status: 200, headers: [], body: Buffer.from("inherited"), close: true }) }) });
      console.log(started.ok ? "ready" : started.error.message);`;
    const parent = `
import socket, subprocess, sys, os
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16)
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
print(s.getsockname()[1], flush=True)
os.execvp(sys.argv[1], [sys.argv[1], "-e", sys.argv[2]])`;
    const child = spawn("python3", ["-c", parent, process.execPath, script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      let output = "";
      await new Promise<void>((resolve) => {
        child.stdout.on("data", (bytes: Buffer) => {
          output += bytes.toString();
          if (output.split("\n").length > 2) resolve();
        });
      });
      const [port, ready] = output.split("\n");
      expect(ready).toBe("ready");
      const client = await connectRaw(Number(port));
      client.send(request());
      expect(await client.untilEnd()).toEndWith("inherited");
    } finally {
      child.kill("SIGKILL");
    }
  }, 10_000);
});

test("a client that sends without end while its request is in progress is read only so far", async () => {
  const release = Promise.withResolvers<void>();
  await using engine = startEngine({
    handle: async (exchange) => {
      await release.promise;
      exchange.answer(reply(200));
    },
  });
  const client = await connectRaw(engine.port, "count");
  client.send(request());
  let pushed = 0;
  const piece = Buffer.from(request("GET", `/${"a".repeat(8000)}`).repeat(8));
  const feed = () => {
    while (pushed < 64 * MIB) {
      pushed += piece.length;
      if (!client.socket.write(piece)) return;
    }
  };
  client.socket.on("drain", feed);
  feed();
  await pause(300);
  expect(pushed).toBeLessThan(24 * MIB);
  release.resolve();
  client.reset();
});
