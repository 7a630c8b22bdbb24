// What the engine holds in memory when many clients or a host do their worst: bounded in bytes, shared between users, with something
// left for root. The engine runs as a process of its own with its default limits; its peak counts the runtime and its garbage.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { DEFAULT_HTTP_LIMITS } from "../../proxy/adapters/http/limits.ts";
import { type EngineProcess, startEngineProcess } from "../support/engine-process.ts";
import { type FloodHost, SlowClient, startFloodHost } from "../support/flood-peers.ts";
import { startAnsweringHost } from "../support/raw-peer.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const KIB = 1024;
const MIB = 1024 * KIB;
/** What the whole agent may take is 256 MiB; without its rules, modules and code the engine has this much. */
const PEAK_MIB = 200;
const TINY_CHUNK = "1\r\nx\r\n";
const MANY = 1_000;
const CROWD = 1_500;
/** A flood that makes the engine hold less proves nothing. */
const LEAST_HELD_BYTES = 8 * MIB;
const ROOT = "127.0.0.1";
const USER = "127.0.0.2";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const get = (version = "1.1") => `GET /x HTTP/${version}\r\nHost: h\r\n\r\n`;
const post = (length: number) => `POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n`;

async function connectMany(engine: EngineProcess, count: number, first: string | Buffer, address = USER): Promise<SlowClient[]> {
  const clients: SlowClient[] = [];
  for (let n = 0; n < count; n++) clients.push(await SlowClient.connect(address, engine.port, first));
  return clients;
}

/** Waits until a count has not changed for a while: everything that will move has moved. */
async function settled(count: () => number): Promise<void> {
  for (let before = -1, same = 0; same < 15; ) {
    const now = count();
    same = now === before ? same + 1 : 0;
    before = now;
    await Bun.sleep(20);
  }
}

/** Reads a little on each connection in turn until all together have read `bytes`. */
async function readSlowly(clients: readonly SlowClient[], bytes: number): Promise<void> {
  const received = () => clients.reduce((sum, client) => sum + client.receivedBytes, 0);
  while (received() < bytes) {
    for (const client of clients) client.readOnce();
    await Bun.sleep(5);
    if (clients.every((client) => client.closed)) throw new Error(`all connections ended after ${received()} bytes`);
  }
}

async function slowReaders(
  host: FloodHost,
  version: string,
  readBytes: number,
): Promise<{ readonly peakMiB: number; readonly ended: number }> {
  await using engine = await startEngineProcess(host.port, "buffered");
  const clients = await connectMany(engine, MANY, get(version));
  await readSlowly(clients, readBytes);
  await settled(() => host.sentBytes);
  const result = { peakMiB: engine.peakMiB(), ended: clients.filter((client) => client.closed).length };
  for (const client of clients) client.close();
  return result;
}

describe("T-158: a thousand readers that hardly read", () => {
  const large = Buffer.from(`10000\r\n${"a".repeat(64 * KIB)}\r\n`);
  const tiny = Buffer.from(TINY_CHUNK.repeat(10_000));
  test.each([
    ["an endless answer", CHUNKED, large, "1.1", 64 * MIB],
    ["an endless answer until the connection closes", "HTTP/1.1 200 OK\r\n\r\n", large, "1.1", 64 * MIB],
    ["chunks of one byte", CHUNKED, tiny, "1.1", 64 * MIB],
    ["chunks of one byte that have to be unpacked", CHUNKED, tiny, "1.0", 16 * MIB],
  ] as const)(
    "of %s keep their connections, and memory is bounded",
    async (_name, head, piece, version, readBytes) => {
      using host = startFloodHost(head, piece);
      const { peakMiB, ended } = await slowReaders(host, version, readBytes);
      expect(ended).toBe(0);
      expect(peakMiB).toBeLessThan(PEAK_MIB);
    },
    30_000,
  );
});

describe("T-159: half-sent bodies of one user", () => {
  test("leave room for root's large ones and for other users'", async () => {
    await using host = await startAnsweringHost(() => OK);
    await using engine = await startEngineProcess(host.port, "buffered");
    const held = await connectMany(engine, 700, Buffer.concat([Buffer.from(post(100 * KIB)), Buffer.alloc(100 * KIB - 1)]));
    await settled(() => held.filter((client) => client.closed).length + engine.peakMiB());
    for (const [address, bytes] of [
      [ROOT, 200 * KIB],
      [ROOT, 16 * MIB],
      ["127.0.0.3", 100 * KIB],
      ["127.0.0.4", 1 * MIB],
    ] as const) {
      const client = await SlowClient.connect(address, engine.port, Buffer.concat([Buffer.from(post(bytes)), Buffer.alloc(bytes)]), true);
      expect(await client.until(({ text }) => text.includes("\r\n\r\n"))).toStartWith("HTTP/1.1 200 ");
      client.close();
    }
    expect(engine.peakMiB()).toBeLessThan(PEAK_MIB);
    for (const client of held) client.close();
  }, 30_000);
});

describe("T-160: very many connections", () => {
  const fields = (count: number, bytes: number) => Array.from({ length: count }, (_, n) => `x${n}: ${"a".repeat(bytes)}\r\n`).join("");
  test.each([
    ["heads that stop before their end", "buffered", `GET /x HTTP/1.1\r\nHost: h\r\n${fields(65, 900)}`],
    ["large heads that wait for the host", "buffered", `GET /x HTTP/1.1\r\nHost: h\r\n${fields(110, 500)}\r\n`],
    ["many small fields that wait for the host", "buffered", `GET /x HTTP/1.1\r\nHost: h\r\n${fields(120, 1)}\r\n`],
    ["requests sent ahead", "buffered", get().repeat(3_000)],
    ["bodies that stop before their end", "buffered", post(100 * KIB) + "a".repeat(100 * KIB - 1)],
    ["uploads that the host does not read", "streamed", post(100 * MIB) + "a".repeat(128 * KIB)],
    [
      "uploads in chunks of one byte",
      "streamed",
      `${post(1).replace("Content-Length: 1", "Transfer-Encoding: chunked")}${TINY_CHUNK.repeat(20_000)}`,
    ],
  ] as const)(
    "with %s: memory is bounded, and root is answered",
    async (_name, bodies, first) => {
      using silent = startFloodHost("", undefined);
      await using engine = await startEngineProcess(silent.port, bodies);
      const bytes = Buffer.from(first);
      const clients = await connectMany(engine, CROWD, bytes);
      await settled(() => clients.filter((client) => client.closed).length + engine.peakMiB());
      expect(engine.peakMiB()).toBeLessThan(PEAK_MIB);
      const heldBytes = await engine.heldBytes();
      // What is left of tiny chunks is so little that the kernel takes it.
      if (!first.includes(TINY_CHUNK)) expect(heldBytes).toBeGreaterThan(LEAST_HELD_BYTES);
      expect(heldBytes).toBeLessThanOrEqual(DEFAULT_HTTP_LIMITS.maxHeldBytes - DEFAULT_HTTP_LIMITS.rootReserveBytes);
      const root = await SlowClient.connect(ROOT, engine.port, Buffer.concat([Buffer.from(post(16 * MIB)), Buffer.alloc(16 * MIB)]), true);
      expect(await root.until(({ text }) => text.includes("\r\n\r\n"))).toEndWith(String(16 * MIB));
      expect(engine.peakMiB()).toBeLessThan(PEAK_MIB);
      for (const client of [...clients, root]) client.close();
    },
    30_000,
  );
});
