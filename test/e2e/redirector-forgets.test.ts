// A record speaks for exactly one connection: whatever ends, fails, is repeated or goes round the redirect finds none.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Answer, eventually, openDeferredListener, openStage, python, type Stage } from "../support/redirected-listener.ts";

let stage: Stage;

beforeEach(() => {
  stage = openStage(["imds"]);
});
afterEach(() => stage[Symbol.dispose]());

async function answers(script: string): Promise<readonly Answer[]> {
  return (await python(stage, script)) as Answer[];
}

const NONE: Answer = { record: null, direct: true };
/** A listening port that never accepts: what connects to it stays unanswered. */
const LISTENER = "('127.0.0.1', PORT)";

describe("a connection that went round the redirect", () => {
  test.each([
    ["straight to the listener", `s = tcp(); s.connect(${LISTENER})`],
    ["to 0.0.0.0, which is loopback", "s = tcp(); s.connect(('0.0.0.0', PORT))"],
    ["to the mapped address of the listener", "s = tcp(socket.AF_INET6); s.connect(('::ffff:127.0.0.1', PORT))"],
    ["by MPTCP", `s = tcp(protocol=262); s.connect(${LISTENER})`],
  ])("has no record: %s", async (_, connect) => {
    expect(await answers(`${connect}\nsay(ask(s))`)).toEqual([NONE]);
  });

  test("T-40: has no record although the same thread was redirected just before", async () => {
    const [first, second] = await answers(`s = tcp(); s.connect(IMDS); say(ask(s)); d = tcp(); d.connect(${LISTENER}); say(ask(d))`);
    expect(first?.record).not.toBeNull();
    expect(second).toEqual(NONE);
  });

  test("T-40: has no record although a guarded connect of the same thread failed just before", async () => {
    // The second bind makes the guarded connect clash with a connection that exists: it is rewritten, then refused by the kernel.
    const [first, clash, direct] = (await python(
      stage,
      `
a = tcp(); a.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); a.bind(("127.0.0.1", 0)); port = a.getsockname()[1]
b = tcp(); b.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); b.bind(("127.0.0.1", port))
a.connect(IMDS); say(ask(a))
say(b.connect_ex(IMDS))
d = tcp(); d.connect(${LISTENER}); say(ask(d))`,
    )) as [Answer, number, Answer];
    expect(first.record).not.toBeNull();
    expect(clash).toBe(99);
    expect(direct).toEqual(NONE);
    expect(stage.counters()).toMatchObject({ redirected: 2n, published: 1n, accepted: 1n });
  });
});

describe("the record of a connection that was not accepted", () => {
  const attachElsewhere = (port: number) => {
    stage[Symbol.dispose]();
    stage = openStage(["imds"], { listenerPort: port });
  };

  test("is never made when the listener refuses the connection", async () => {
    attachElsewhere(1);
    expect(await python(stage, "s = tcp(); say(s.connect_ex(IMDS))")).toEqual([111]);
    expect(stage.counters()).toMatchObject({ redirected: 1n, published: 0n, publishFailed: 0n });
  });

  test.each([
    ["closes", "s.close()"],
    ["is reset by its owner", "abort(s)"],
    ["is disconnected", "disconnect(s)"],
    ["loses its process", "os._exit(0)"],
  ])("T-36: is removed when the socket %s", async (_, end) => {
    using listener = await openDeferredListener();
    attachElsewhere(listener.port);
    await python(stage, `s = tcp(); s.connect(IMDS); ${end}`);
    await eventually("the record is removed", () => stage.counters().cleaned + stage.counters().accepted === 1n);
    expect(stage.counters()).toMatchObject({ redirected: 1n, published: 1n });
  });

  test("T-36: waits for as long as the client does, and then belongs to the accepted socket", async () => {
    using listener = await openDeferredListener();
    attachElsewhere(listener.port);
    const [before] = await python(stage, "s = tcp(); s.connect(IMDS); say('connected'); s.send(b'x')");
    expect(before).toBe("connected");
    await eventually("the record moved", () => stage.counters().accepted === 1n);
    expect(stage.counters()).toMatchObject({ published: 1n, cleaned: 0n });
  });
});

describe("a socket that is connected again", () => {
  test("has a fresh record each time", async () => {
    const found = (await python(
      stage,
      `
s = tcp(); s.connect(IMDS); say(ask(s)); disconnect(s)
os.setresuid(1000, 1000, 1000)
s.connect(IMDS); say(ask(s))`,
    )) as [Answer, Answer];
    expect(found[0].record).toMatchObject({ realUid: 0 });
    expect(found[1].record).toMatchObject({ realUid: 1000 });
    expect(found[1].record?.socketCookie).toBe(found[0].record?.socketCookie ?? "");
  });

  test("T-41: straight to the listener after a guarded connect has no record and sees its true peer", async () => {
    const [first, second, peer] = (await python(
      stage,
      `s = tcp(); s.connect(IMDS); say(ask(s)); disconnect(s); s.connect(${LISTENER}); peer = s.getpeername()[0]; say(ask(s)); say(peer)`,
    )) as [Answer, Answer, string];
    expect(first.record).not.toBeNull();
    expect(second).toEqual(NONE);
    expect(peer).toBe("127.0.0.1");
  });

  test("T-41: straight to the listener after a guarded connect that failed has no record", async () => {
    const [clash, direct] = (await python(
      stage,
      `
a = tcp(); a.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); a.bind(("127.0.0.1", 0)); port = a.getsockname()[1]
b = tcp(); b.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); b.bind(("127.0.0.1", port))
a.connect(IMDS)
say(b.connect_ex(IMDS))
abort(a)
b.connect(${LISTENER}); say(ask(b))`,
    )) as [number, Answer];
    expect(clash).toBe(99);
    expect(direct).toEqual(NONE);
  });

  test("T-186: goes elsewhere with the source address that the system chooses", async () => {
    using elsewhere = Bun.listen({ hostname: "10.0.0.4", port: 0, socket: { data() {} } });
    const found = (await python(
      stage,
      `
for make, to, any in ((lambda: tcp(), lambda a: a, "10.0.0.4"), (lambda: tcp(socket.AF_INET6), lambda a: "::ffff:" + a, "::ffff:10.0.0.4")):
    s = make(); s.connect((to("169.254.169.254"), 80)); chosen = s.getsockname()[0]; ask(s); disconnect(s)
    s.connect((to("10.0.0.4"), ${elsewhere.port})); say([chosen, s.getsockname()[0] == any])`,
    )) as [string, boolean][];
    expect(found.map(([, own]) => own)).toEqual([true, true]);
    for (const [chosen] of found) expect(chosen).toMatch(/^(::ffff:)?127\.\d+\.\d+\.\d+$/);
    for (const [chosen] of found) expect(chosen).not.toEndWith("127.0.0.1");
  });

  test("as a listener hands its past to nobody it accepts", async () => {
    const [first, second] = await answers(`
s = tcp(); s.connect(IMDS); say(ask(s)); disconnect(s)
s.bind(("127.0.0.1", 0)); s.listen(1); c = tcp(); c.connect(s.getsockname()); accepted, _ = s.accept()
assert accepted.getpeername() == c.getsockname(), accepted.getpeername()
d = tcp(); d.connect(${LISTENER}); say(ask(d))`);
    expect(first?.record).not.toBeNull();
    expect(second).toEqual(NONE);
  });
});

test("no record is left on its way: every record published was bound to its accepted socket, or cleaned", async () => {
  await python(stage, "for _ in range(50):\n  s = tcp(); s.connect(IMDS); ask(s); s.close()");
  await python(stage, "for _ in range(50):\n  s = tcp(); s.connect(IMDS); abort(s)");
  const moved = ({ accepted, cleaned } = stage.counters()) => accepted + cleaned;
  await eventually("all are accepted or cleaned", () => moved() === 100n);
  expect(stage.counters()).toMatchObject({ redirected: 100n, published: 100n, publishFailed: 0n });
});
