// Many connections at once, from many processes and users: each gets its own record, and none is lost or swapped.

import { expect, test } from "bun:test";
import { type Answer, eventually, openDeferredListener, openStage, python } from "../support/redirected-listener.ts";

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
    }
  }
  const total = BigInt(PROCESSES * CONNECTIONS);
  expect(stage.counters()).toMatchObject({ redirected: total, published: total, accepted: total, publishFailed: 0n, cleaned: 0n });
}, 60_000);

const OTHERS = `
def hold(count, uid):
    os.setresuid(uid, uid, 0); held = []
    for _ in range(count):
        s = tcp(); s.connect(IMDS); held.append(s)
    os.setresuid(0, 0, 0); return held`;

test("T-188: a user whose connections are not accepted keeps its share of records and takes none of root's", async () => {
  using listener = await openDeferredListener();
  using stage = openStage(["imds"], { listenerPort: listener.port });
  const [said] = await python(
    stage,
    `${OTHERS}
a = hold(2060, 65534); b = hold(20, 0); say("held")
for s in a + b: abort(s)`,
  );
  expect(said).toBe("held");
  await eventually("all records are removed", () => stage.counters().cleaned === 2068n);
  expect(stage.counters()).toMatchObject({ redirected: 2080n, published: 2068n, publishFailed: 12n, accepted: 0n });
  expect(stage.redirector.throttledUsers()).toEqual([{ uid: 65534, refused: 12n }]);
}, 60_000);

test("T-188: connects that the listener does not answer take no record, however many", async () => {
  using listener = await openDeferredListener();
  using stage = openStage(["imds"], { listenerPort: listener.port });
  // IP_MINTTL has the client's kernel drop the listener's answer: the connect stays under way.
  const [states] = await python(
    stage,
    `
pending = []
for _ in range(3000):
    s = tcp(); s.setsockopt(socket.IPPROTO_IP, 21, 255); s.setblocking(False); s.connect_ex(IMDS); pending.append(s)
say(sorted({s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for s in pending}))`,
  );
  expect(states).toEqual([2]);
  expect(stage.counters()).toMatchObject({ redirected: 3000n, published: 0n, publishFailed: 0n });
}, 60_000);

test("T-188: the kernel refuses the connects of a user who has its share, for a while, and never root's", async () => {
  using stage = openStage(["imds"]);
  for (const uid of [65534, 0]) stage.redirector.refuseConnects(uid, 60_000);
  const connects = (uid: number) =>
    python(
      stage,
      `
os.setresuid(${uid}, ${uid}, ${uid})
say([tcp().connect_ex(IMDS), tcp(socket.AF_INET6).connect_ex(("::ffff:169.254.169.254", 80)), tcp().connect_ex(("127.0.0.1", PORT)), tcp().connect_ex(("10.0.0.4", 9))])`,
    );
  expect(await connects(65534)).toEqual([[1, 1, 1, 111]]);
  expect(await connects(65533)).toEqual([[0, 0, 0, 111]]);
  expect(await connects(0)).toEqual([[0, 0, 0, 111]]);
  expect(stage.counters().refusedShare).toBe(3n);
  stage.redirector.refuseConnects(65534, 0);
  expect(await connects(65534)).toEqual([[0, 0, 0, 111]]);
});

test("T-188: users other than root are refused while the backlog is theirs to three quarters; root is not", async () => {
  using listener = await openDeferredListener();
  using stage = openStage(["imds"], { listenerPort: listener.port });
  stage.redirector.settleQueue(3071);
  const connect = (uid: number) =>
    python(stage, `os.setresuid(${uid}, ${uid}, ${uid}); s = tcp(); code = s.connect_ex(IMDS); say(code); code or s.send(b"x")`);
  expect(await connect(65534)).toEqual([0]);
  await eventually("the connection is in the backlog", () => stage.counters().accepted === 1n);
  expect(await connect(65533)).toEqual([1]);
  expect(await connect(0)).toEqual([0]);
  expect(stage.counters().refusedShare).toBe(1n);
  stage.redirector.tookFromQueue(1, false);
  expect(await connect(65533)).toEqual([0]);
  stage.redirector.settleQueue(0);
  expect(await connect(65532)).toEqual([0]);
  stage.redirector.tookFromQueue(0, true);
  for (let n = 0; n < 3; n++) await connect(65532);
  stage.redirector.settleQueue(512);
  expect(await connect(65532)).toEqual([1]);
  stage.redirector.tookFromQueue(0, false);
  expect(await connect(65532)).toEqual([0]);
});
