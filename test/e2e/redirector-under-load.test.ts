// Many connections at once, from many processes and users: each gets its own record, and none is lost or swapped.

import { expect, test } from "bun:test";
import { type Answer, eventually, openStage, python } from "../support/redirected-listener.ts";

const PROCESSES = 20;
const CONNECTIONS = 100;

interface Round {
  readonly pid: number;
  readonly uid: number;
  readonly found: readonly { readonly cookie: number; readonly answer: Answer }[];
}

test("2,000 connections of 20 users at once each have the right record", async () => {
  using stage = openStage(["imds", "wireserver"]);
  const client = (uid: number) => `
os.setresgid(${uid} + 500, ${uid} + 500, ${uid} + 500); os.setresuid(${uid}, ${uid}, ${uid})
sockets = [tcp() for _ in range(${CONNECTIONS})]
for s in sockets: s.setblocking(False)
for i, s in enumerate(sockets): s.connect_ex(IMDS if i % 2 else WIRESERVER)
cookie = lambda s: struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 57, 8))[0]
say({"pid": os.getpid(), "uid": ${uid}, "found": [{"cookie": cookie(s), "answer": ask(s)} for s in sockets]})`;
  const rounds = (
    await Promise.all(Array.from({ length: PROCESSES }, (_, index) => python(stage, client(2000 + index))))
  ).flat() as Round[];
  expect(rounds.length).toBe(PROCESSES);
  for (const { pid, uid, found } of rounds) {
    expect(found.length).toBe(CONNECTIONS);
    for (const [index, { cookie, answer }] of found.entries()) {
      expect(answer.record).toMatchObject({
        processId: pid,
        realUid: uid,
        realGid: uid + 500,
        socketCookie: String(cookie),
        destinationAddress: index % 2 === 1 ? "169.254.169.254" : "168.63.129.16",
      });
      expect(answer.again).toBeNull();
    }
  }
  const total = BigInt(PROCESSES * CONNECTIONS);
  expect(stage.counters()).toMatchObject({ redirected: total, published: total, publishFailed: 0n, cleaned: 0n });
}, 60_000);

test("records that nobody takes do not push out others, and all of them go with their sockets", async () => {
  // Nobody accepts here: the connections wait in the backlog, with their records in the kernel.
  using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  using stage = openStage(["imds"], { listenerPort: silent.port });
  const script = `
first = tcp(); first.connect(IMDS)
others = []
for _ in range(1500):
    s = tcp(); s.setblocking(False); s.connect_ex(IMDS); others.append(s)
say(first.getsockname()[1])
for s in others: abort(s)`;
  const [port] = (await python(stage, script)) as [number];
  await eventually("all records are removed", () => stage.counters().cleaned === 1501n);
  expect(stage.counters()).toMatchObject({ redirected: 1501n, published: 1501n, publishFailed: 0n });
  expect(stage.redirector.takeRecord({ address: "127.0.0.1", port })).toEqual({ ok: true, value: undefined });
}, 60_000);
