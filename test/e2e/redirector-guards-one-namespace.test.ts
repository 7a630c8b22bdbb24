// Loopback of another network namespace is somebody else's: connects from there are refused, or let through unchanged when
// the operator says so, and are never sent to a listener that is not the agent's.

import { afterEach, describe, expect, test } from "bun:test";
import type { Connection } from "../../proxy/core/ports.ts";
import { type Answer, connectionOf, eventually, openStage, python, recordOf, type Stage } from "../support/redirected-listener.ts";

const NEW_NAMESPACE = ["unshare", "--net", "--"];
/** Makes the new namespace look like the sandbox's, then runs the client in it. */
const WITH_ADDRESSES = [
  ...NEW_NAMESPACE,
  ...["sh", "-c", 'ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec "$@"', "sh"],
];
/** A service of the other namespace at the guarded address, and one where the agent's listener would be. */
const SERVICES = `
def serve(address, text):
    l = tcp(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(address); l.listen(8)
    def loop():
        while True:
            c, _ = l.accept(); c.sendall(text); c.close()
    threading.Thread(target=loop, daemon=True).start()
serve(IMDS, b"theirs"); serve(("127.0.0.1", PORT), b"stranger")
def read(s):
    s.settimeout(5)
    return s.recv(100).decode()
`;

let stage: Stage;
afterEach(() => stage[Symbol.dispose]());

describe("a connect from another network namespace", () => {
  test.each([
    ["IPv4", "s = tcp(); say(s.connect_ex(IMDS))"],
    ["an IPv4-mapped address", "s = tcp(socket.AF_INET6); say(s.connect_ex(('::ffff:169.254.169.254', 80)))"],
    ["TCP Fast Open", "s = tcp()\ntry: s.sendto(b'x', socket.MSG_FASTOPEN, IMDS); say(0)\nexcept OSError as e: say(e.errno)"],
  ])("T-38: is refused and counted: %s", async (_, script) => {
    stage = openStage(["imds"]);
    expect(await python(stage, SERVICES + script, WITH_ADDRESSES)).toEqual([1]);
    expect(stage.counters()).toMatchObject({ redirected: 0n, published: 0n, refusedForeignNamespace: 1n });
    expect(stage.accepted()).toBe(0);
  });

  test("goes out unchanged when the operator lets it", async () => {
    stage = openStage(["imds"], { passForeignNamespaces: true });
    const script = `${SERVICES}
s = tcp(); s.connect(IMDS); say([read(s), s.getpeername()])
s = tcp(socket.AF_INET6); s.connect(("::ffff:169.254.169.254", 80)); say(read(s))`;
    expect(await python(stage, script, WITH_ADDRESSES)).toEqual([["theirs", ["169.254.169.254", 80]], "theirs"]);
    expect(stage.counters()).toMatchObject({ redirected: 0n, published: 0n, refusedForeignNamespace: 0n });
  });

  test("to an address that is not guarded is none of ours", async () => {
    stage = openStage([]);
    const script = `${SERVICES}\ns = tcp(); s.connect(IMDS); say(read(s)); s = tcp(); s.connect(("127.0.0.1", PORT)); say(read(s))`;
    expect(await python(stage, script, WITH_ADDRESSES)).toEqual(["theirs", "stranger"]);
  });

  test("by a socket that was made there counts as from there, whoever uses it", async () => {
    stage = openStage(["imds"]);
    // Made in the agent's namespace, used after the process left it: the socket decides where packets go.
    const script = `
import ctypes
s = tcp()
if ctypes.CDLL(None, use_errno=True).unshare(0x40000000): raise OSError(ctypes.get_errno(), "unshare")
s.connect(IMDS); say(ask(s))
d = tcp(); say(d.connect_ex(IMDS))`;
    const [answer, refused] = (await python(stage, script)) as [Answer, number];
    expect(answer.record).toMatchObject({ destinationAddress: "169.254.169.254" });
    expect(refused).toBe(1);
    expect(stage.counters()).toMatchObject({ redirected: 1n, refusedForeignNamespace: 1n });
  });

  test("T-46: cannot remove or take what the agent's namespace published", async () => {
    const connections: Connection[] = [];
    using silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: (socket) => void connections.push(connectionOf(socket)), data() {} },
    });
    stage = openStage(["imds"], { listenerPort: silent.port });
    const client =
      "import socket, sys; s = socket.create_connection(('169.254.169.254', 80)); print('%s %d' % s.getsockname(), flush=True); sys.stdin.read()";
    const child = Bun.spawn(["/usr/bin/python3", "-c", client], { stdin: "pipe", stdout: "pipe" });
    const [address, port] = new TextDecoder()
      .decode((await child.stdout.getReader().read()).value)
      .trim()
      .split(" ");
    const script = `
l = tcp(); l.bind(("127.0.0.1", ${silent.port})); l.listen(1)
s = tcp(); s.bind(("${address}", ${port})); s.connect(("127.0.0.1", ${silent.port})); s.close()
say("tried")`;
    expect(await python(stage, script, WITH_ADDRESSES)).toEqual(["tried"]);
    await eventually("the connection arrived", () => connections.length === 1);
    const [connection] = connections;
    if (connection === undefined) throw new Error("want a connection, found none");
    expect(recordOf(stage.redirector, connection)).toMatchObject({ processId: child.pid });
    child.stdin.end();
    expect(await child.exited).toBe(0);
  });
});
