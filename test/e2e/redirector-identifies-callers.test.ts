// Every way to connect to a guarded endpoint ends at the listener, with a record that says who it was and where it was going.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { type Answer, openStage, python, run, type SentRecord, type Stage } from "../support/redirected-listener.ts";
import { requireSandbox } from "../support/sandbox.ts";

const sandbox = requireSandbox();
let stage: Stage;

beforeAll(() => {
  stage = openStage(["imds", "wireserver", "hostga"]);
});
afterAll(() => stage[Symbol.dispose]());

async function one(script: string, prefix: readonly string[] = []): Promise<SentRecord & { readonly extra: unknown }> {
  const [answer] = (await python(stage, script, prefix)) as [Answer];
  if (answer.record === null) throw new Error("want a record, found none");
  return { ...answer.record, extra: answer };
}

/** Device of a file as the kernel writes it, from what stat(2) reports. */
function kernelDevice(dev: number): number {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return major * 2 ** 20 + minor;
}

describe("a redirected connect", () => {
  test.each([
    ["curl", ["http://169.254.169.254/metadata"], "169.254.169.254", 80, false],
    ["curl to an IPv4-mapped address", ["http://[::ffff:169.254.169.254]/metadata"], "169.254.169.254", 80, true],
    ["curl to WireServer", ["http://168.63.129.16/"], "168.63.129.16", 80, false],
    ["curl to HostGAPlugin", ["http://168.63.129.16:32526/"], "168.63.129.16", 32526, false],
    ["curl from another source address", ["--interface", "10.0.0.4", "http://168.63.129.16/"], "168.63.129.16", 80, false],
  ] as const)("T-42: of %s is identified", async (_, args, address, port, mapped) => {
    const finished = await run(["curl", "-sS", "--noproxy", "*", ...args]);
    const { record } = JSON.parse(finished.stdout) as Answer;
    expect(record).toMatchObject({
      processId: finished.processId,
      threadId: finished.processId,
      realUid: 0,
      realGid: 0,
      effectiveUid: 0,
      effectiveGid: 0,
      comm: "curl",
      destinationAddress: address,
      destinationPort: port,
      mapped,
    });
  });

  test("carries cgroup, namespace, start time and executable of its process", async () => {
    const record = await one(`
s = tcp(); s.connect(IMDS)
say({**ask(s), "start": open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19], "exe": os.path.realpath("/proc/self/exe"),
     "cookie": struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 57, 8))[0], "netns": struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 71, 8))[0]})`);
    const extra = record.extra as { start: string; exe: string; cookie: number; netns: number };
    const exe = statSync(extra.exe, { bigint: true });
    expect(record.cgroupId).toBe(String(statSync(sandbox.cgroupPath, { bigint: true }).ino));
    expect(record.socketCookie).toBe(String(extra.cookie));
    expect(record.networkNamespaceCookie).toBe(String(extra.netns));
    expect(BigInt(record.startTimeNs ?? 0) / 10_000_000n).toBe(BigInt(extra.start));
    expect(record.executable?.inode).toBe(String(exe.ino));
    expect(record.executable?.device).toBe(kernelDevice(Number(exe.dev)));
  });

  test("from a second thread has the thread's id and the process's start time", async () => {
    const record = await one(`
def go():
    s = tcp(); s.connect(IMDS)
    say({**ask(s), "tid": threading.get_native_id(), "pid": os.getpid(), "start": open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]})
t = threading.Thread(target=go); t.start(); t.join()`);
    const extra = record.extra as { tid: number; pid: number; start: string };
    expect(extra.tid).not.toBe(extra.pid);
    expect(record).toMatchObject({ processId: extra.pid, threadId: extra.tid });
    expect(BigInt(record.startTimeNs ?? 0) / 10_000_000n).toBe(BigInt(extra.start));
  });

  test.each([
    ["an ordinary user", "os.setgroups([]); os.setresgid(100, 100, 100); os.setresuid(1000, 1000, 1000)", [1000, 100, 1000, 100]],
    ["a user in root's group", "os.setresgid(0, 0, 0); os.setresuid(1000, 1000, 1000)", [1000, 0, 1000, 0]],
    ["root in a user's group", "os.setresgid(1000, 1000, 1000)", [0, 1000, 0, 1000]],
    ["root that dropped its effective ids", "os.setegid(1002); os.seteuid(1001)", [0, 0, 1001, 1002]],
    ["a user with root's effective ids, as in a setuid program", "os.setresgid(1000, 0, 0); os.setresuid(1000, 0, 0)", [1000, 1000, 0, 0]],
    ["the largest id", "os.setresuid(4294967294, 4294967294, 4294967294)", [4294967294, 0, 4294967294, 0]],
  ] as const)("T-30: of %s has its real and effective ids", async (_, become, [realUid, realGid, effectiveUid, effectiveGid]) => {
    const record = await one(`${become}\ns = tcp(); s.connect(IMDS); say(ask(s))`);
    expect(record).toMatchObject({ realUid, realGid, effectiveUid, effectiveGid });
  });

  test("T-44: of a user that is root only in its own user namespace has the outer ids", async () => {
    const record = await one("s = tcp(); s.connect(IMDS); say({**ask(s), 'uid': os.getuid()})", [
      ...["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "unshare", "--user", "--map-root-user"],
    ]);
    expect((record.extra as { uid: number }).uid).toBe(0);
    expect(record).toMatchObject({ realUid: 1000, realGid: 1000, effectiveUid: 1000, effectiveGid: 1000 });
  });

  test("T-45: keeps the ids it had at connect when the process changes them afterwards", async () => {
    const record = await one("s = tcp(); s.connect(IMDS); os.setresuid(1000, 1000, 1000); say(ask(s))");
    expect(record).toMatchObject({ realUid: 0, effectiveUid: 0 });
  });

  test.each([
    ["IPv4", "tcp()", "IMDS", ["169.254.169.254", 80]],
    ["IPv4-mapped", "tcp(socket.AF_INET6)", "('::ffff:168.63.129.16', 32526)", ["::ffff:168.63.129.16", 32526]],
  ])("over %s sees the address it asked for as its peer", async (_, make, target, peer) => {
    const record = await one(`s = ${make}; s.connect(${target}); peer = s.getpeername()[:2]; say({**ask(s), "peer": peer})`);
    expect((record.extra as { peer: unknown }).peer).toEqual(peer);
  });

  test.each([
    ["a non-blocking connect", "s = tcp(); s.setblocking(False); assert s.connect_ex(IMDS) in (0, errno.EINPROGRESS)"],
    [
      "a non-blocking connect that is called again",
      "s = tcp(); s.setblocking(False); s.connect_ex(IMDS); s.connect_ex(IMDS); s.connect_ex(IMDS)",
    ],
    ["TCP Fast Open by sendto", "s = tcp(); s.sendto(b'GET / HTTP/1.0\\r\\n\\r\\n', socket.MSG_FASTOPEN, IMDS)"],
    ["TCP Fast Open by sendto, mapped", "s = tcp(socket.AF_INET6); s.sendto(b'x', socket.MSG_FASTOPEN, ('::ffff:169.254.169.254', 80))"],
    ["TCP Fast Open by deferred connect", "s = tcp(); s.setsockopt(socket.IPPROTO_TCP, 30, 1); s.connect(IMDS); s.send(b'x')"],
    ["a bound source port", "s = tcp(); s.bind(('10.0.0.4', 0)); s.connect(IMDS)"],
    [
      "a socket that was bound to a mapped address",
      "s = tcp(socket.AF_INET6); s.bind(('::ffff:10.0.0.4', 0)); s.connect(('::ffff:169.254.169.254', 80))",
    ],
  ])("T-43: by %s is identified", async (_, connect) => {
    const record = await one(`${connect}\nsay({**ask(s), "pid": os.getpid()})`);
    expect(record).toMatchObject({ processId: (record.extra as { pid: number }).pid, destinationAddress: "169.254.169.254" });
  });

  test("by MPTCP is identified as its caller or has no record, never another's", async () => {
    if (readFileSync("/proc/sys/net/mptcp/enabled", "utf8").trim() !== "1") throw new Error("this kernel has no MPTCP; it should");
    const before = stage.accepted();
    const [answer] = (await python(stage, "s = tcp(protocol=262); s.connect(IMDS); say({**ask(s), 'pid': os.getpid()})")) as [
      Answer & { pid: number },
    ];
    expect(stage.accepted()).toBe(before + 1);
    if (answer.record !== null) expect(answer.record).toMatchObject({ processId: answer.pid, destinationAddress: "169.254.169.254" });
  });
});

describe("what is left alone", () => {
  test.each([
    ["another port of the same address", "s = tcp(); say(s.connect_ex(('169.254.169.254', 81)))", 111],
    [
      "a UDP socket to the guarded address and port",
      "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(IMDS); say(list(s.getpeername()))",
      ["169.254.169.254", 80],
    ],
    ["a true IPv6 address", "s = tcp(socket.AF_INET6); say(s.connect_ex(('::1', 80)))", 111],
  ] as const)("%s", async (_, script, expected: unknown) => {
    const before = stage.counters();
    const accepted = stage.accepted();
    const [found] = await python(stage, script);
    expect(found).toEqual(expected);
    expect(stage.accepted()).toBe(accepted);
    expect(stage.counters()).toEqual(before);
  });
});
