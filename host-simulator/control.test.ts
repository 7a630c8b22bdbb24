// Steering a simulator from another process: every control call, over a Unix socket and over loopback.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostControlClient } from "./control-client.ts";
import { type ControlServer, parseControlPlace, startControlServer } from "./control-server.ts";
import { latchKey, startLoopbackHost } from "./loopback-host.ts";
import { ask } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";

const INSTANCE = { target: "/metadata/instance?api-version=2021-02-01", headers: { metadata: "true" } };

let host: HostSimulator;
let folder: string;
let path: string;
let servers: ControlServer[];
beforeEach(async () => {
  host = await startLoopbackHost();
  folder = mkdtempSync(join(tmpdir(), "host-control-"));
  path = join(folder, "control.sock");
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.stop();
  await host.stop();
  rmSync(folder, { recursive: true });
});

async function control(where: "unix" | "tcp"): Promise<HostControlClient> {
  const server = await startControlServer(host, where === "unix" ? { kind: "unix", path } : { kind: "tcp", address: "127.0.0.1", port: 0 });
  servers.push(server);
  return new HostControlClient(server.place);
}

describe.each(["unix", "tcp"] as const)("over %s", (where) => {
  test("shows health, requests and counters", async () => {
    const client = await control(where);
    const key = await latchKey(host);
    await ask(host.addresses.imds, INSTANCE, key);
    await ask(host.addresses.imds, INSTANCE);
    const health = await client.waitUntilUp(1000);
    expect(health).toMatchObject({ ok: true, addresses: host.addresses, channel: { keyGuid: key.guid, version: "2.0" } });
    expect(await client.requests()).toEqual([...host.requests()]);
    expect((await client.requests({ endpoint: "imds", verdict: "valid" })).map((record) => record.status)).toEqual([200]);
    const last = host.requests().at(-1)?.id ?? 0;
    expect((await client.requests({ afterId: last - 1 })).map((record) => record.id)).toEqual([last]);
    expect((await client.requests({ limit: 1 })).map((record) => record.status)).toEqual([401]);
    expect((await client.counters()).imds).toMatchObject({
      requests: 2,
      valid: 1,
      unsigned: 1,
      invalid: 0,
      statuses: { "200": 1, "401": 1 },
    });
  });

  test("changes settings, faults and incarnation, and resets", async () => {
    const client = await control(where);
    expect((await client.configure({ imds: "audit" })).imds).toBe("audit");
    expect((await client.settings()).wireserver).toBe("enforce");
    await client.addFaults({ kind: "status", status: 503, count: 1 }, { kind: "delay", delayMs: 0 });
    expect(await client.faults()).toMatchObject([
      { kind: "status", remaining: 1 },
      { kind: "delay", remaining: null },
    ]);
    expect((await ask(host.addresses.imds, INSTANCE)).status).toBe(503);
    await client.clearFaults();
    expect(await client.faults()).toEqual([]);
    expect((await ask(host.addresses.imds, INSTANCE)).status).toBe(200);
    expect(await client.startIncarnation()).toBe(1);
    await client.addFaults({ kind: "hang" });
    await client.reset();
    expect([await client.requests(), await client.faults()]).toEqual([[], []]);
    expect((await client.settings()).imds).toBe("audit");
  });

  test.each([
    ["POST", "/config", '{"imds":"audi"}', 400],
    ["POST", "/config", '{"imsd":"audit"}', 400],
    ["POST", "/config", "{", 400],
    ["POST", "/config", "[]", 400],
    ["POST", "/config", '{"channelVersion":"3.0"}', 400],
    ["POST", "/config", '{"rules":{"imds":{"mode":"enforced"}}}', 400],
    ["POST", "/config", '{"rules":{"other":{}}}', 400],
    ["POST", "/config", '{"clockOffsetSeconds":"1"}', 400],
    ["POST", "/faults", '[{"kind":"hang"},{"kind":"hung"}]', 400],
    ["GET", "/requests?endpoint=other", undefined, 400],
    ["GET", "/requests?limit=-1", undefined, 400],
    ["GET", "/requests?verdict=good", undefined, 400],
    ["GET", "/requests?what=1", undefined, 400],
    ["GET", "/nothing", undefined, 404],
    ["DELETE", "/config", undefined, 404],
  ])("%s %s with %p is refused with %d and changes nothing", async (method, target, body, status) => {
    await control(where);
    const place = servers[0]?.place ?? "";
    const init = { method, ...(body === undefined ? {} : { body }), ...(where === "unix" ? { unix: place } : {}) };
    const before = host.settings();
    const answer = await fetch(`http://${where === "unix" ? "control" : place}${target}`, init);
    expect(answer.status).toBe(status);
    expect(((await answer.json()) as { error: string }).error).toStartWith("cannot ");
    expect([host.settings(), host.faults()]).toEqual([before, []]);
  });
});

describe("the place", () => {
  test("a socket is for its owner only, and goes when the server stops", async () => {
    await control("unix");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await servers.pop()?.stop();
    expect(() => statSync(path)).toThrow("ENOENT");
  });

  test("a place that is in use is refused, a dead socket is replaced, a file is left alone", async () => {
    await control("unix");
    await expect(startControlServer(host, { kind: "unix", path })).rejects.toThrow("another process listens there");
    const child = Bun.spawnSync([
      "bun",
      "-e",
      `Bun.serve({unix:${JSON.stringify(`${path}2`)},fetch:()=>new Response()});process.kill(process.pid,9)`,
    ]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(statSync(`${path}2`).isSocket()).toBe(true);
    servers.push(await startControlServer(host, { kind: "unix", path: `${path}2` }));
    expect((await new HostControlClient(`${path}2`).health()).ok).toBe(true);
    writeFileSync(`${path}3`, "mine");
    await expect(startControlServer(host, { kind: "unix", path: `${path}3` })).rejects.toThrow();
    expect(statSync(`${path}3`).size).toBe(4);
  });

  test("web pages are turned away", async () => {
    await control("tcp");
    const answer = await fetch(`http://${servers[0]?.place}/reset`, { method: "POST", headers: { Origin: "http://page.invalid" } });
    expect(answer.status).toBe(403);
  });

  test.each(["", "10.0.0.1:80", "0.0.0.0:80", "localhost:80", "127.0.0.1:99999", "127.0.0.1:"])("refuses %p", (found) => {
    expect(parseControlPlace(found).ok).toBe(false);
  });
});
