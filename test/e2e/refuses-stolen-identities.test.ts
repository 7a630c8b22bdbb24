// Attacks on identity: the agent is stopped with SIGSTOP while the attacker prepares, which makes every race certain.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SaidLines } from "../support/said-lines.ts";
import { until } from "../support/until.ts";
import { curl, type Ids, IMDS_INSTANCE, python, runProgram, World } from "../support/world.ts";

const NOBODY = { uid: 65534, gid: 65534 };
const GET =
  'b"GET /metadata/instance?api-version=2021-02-01 HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nMetadata: true\\r\\nConnection: close\\r\\n\\r\\n"';

describe("stolen identities", () => {
  let world: World;
  let programs: string;
  let allowed: string;
  let allowedCurl: string;

  beforeAll(async () => {
    programs = mkdtempSync(join(tmpdir(), "apa-programs-"));
    chmodSync(programs, 0o755);
    // The one program that may read instance metadata; it waits and does nothing of its own accord.
    allowed = join(programs, "allowed-sleep");
    copyFileSync("/usr/bin/sleep", allowed);
    chmodSync(allowed, 0o755);
    allowedCurl = join(programs, "allowed-curl");
    copyFileSync("/usr/bin/curl", allowedCurl);
    chmodSync(allowedCurl, 0o755);
    const rules = {
      privileges: [{ name: "instance", path: "/metadata/instance" }],
      roles: [{ name: "reader", privileges: ["instance"] }],
      identities: [
        { name: "allowed-sleep", exePath: allowed },
        { name: "allowed-curl", exePath: allowedCurl },
        { name: "root-only", userName: "root" },
      ],
      roleAssignments: [{ role: "reader", identities: ["allowed-sleep", "allowed-curl", "root-only"] }],
    };
    world = await World.start({
      host: { imds: "enforce", rules: { imds: { id: "strict", defaultAccess: "deny", mode: "enforce", rules } } },
    });
  });
  afterEach(() => {
    if (world.agent.process.exitCode === null) process.kill(world.agent.pid, "SIGCONT");
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    rmSync(programs, { recursive: true, force: true });
  });

  /**
   * Runs an attack while the agent is stopped. The agent goes on when the script has printed its first line and that holds for it.
   * @returns its first two lines
   */
  async function whileStopped(script: string, ids: Ids, holds: (firstLine: string) => boolean = () => true): Promise<readonly string[]> {
    process.kill(world.agent.pid, "SIGSTOP");
    const as = ["setpriv", `--reuid=${ids.uid}`, `--regid=${ids.gid}`, "--clear-groups", "--"];
    const child = Bun.spawn([...as, "/usr/bin/python3", "-c", script], { stdin: "ignore", stdout: "pipe", stderr: "inherit", cwd: "/" });
    const said = new SaidLines(child.stdout);
    const first = await said.next();
    await until("what the agent must find is there", () => holds(first));
    process.kill(world.agent.pid, "SIGCONT");
    const second = await said.next();
    child.kill("SIGKILL");
    await child.exited;
    return [first, second];
  }

  async function doubtsAbout(processId: number): Promise<string> {
    const line = await world.agent.line("request-denied", (fields) => fields.processId === processId);
    return JSON.stringify(line.doubts ?? []);
  }

  test("the rules hold: root may, nobody may not", async () => {
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect((await curl(IMDS_INSTANCE, { as: NOBODY })).status).toBe(403);
  });

  test("T-39: the allowed program may; its look-alike mounted over the same path may not", async () => {
    const args = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", "-H", "Metadata: true", IMDS_INSTANCE];
    expect((await runProgram([allowedCurl, ...args], NOBODY)).stdout).toBe("200");
    // In a mount namespace of his own a user with a container can put any file where the allowed one is.
    const script = `mount --bind /usr/bin/curl ${allowedCurl} && exec setpriv --reuid=65534 --regid=65534 --clear-groups ${[allowedCurl, ...args].map((word) => `'${word}'`).join(" ")}`;
    expect((await runProgram(["unshare", "-m", "sh", "-c", script])).stdout).toBe("403");
  });

  test("T-30: uid 1000 with gid 0 is not root", async () => {
    expect((await curl(IMDS_INSTANCE, { as: { uid: 1000, gid: 0 } })).status).toBe(403);
    expect((await curl("http://168.63.129.16/machine/?comp=goalstate", { as: { uid: 1000, gid: 0 } })).status).toBe(403);
    const line = await world.agent.line("request-denied", ({ reason }) => reason === "not-root");
    expect(line).toMatchObject({ userId: 1000, runAsElevated: false });
  });

  test("T-31: uid 0 with another gid is root", async () => {
    expect((await curl(IMDS_INSTANCE, { as: { uid: 0, gid: 1000 } })).status).toBe(200);
  });

  test("T-32: a root process that dropped its effective id is not root", async () => {
    const script = `
import os, http.client
os.setegid(65534)
os.seteuid(65534)
c = http.client.HTTPConnection("168.63.129.16", 80, timeout=10)
c.request("GET", "/machine/?comp=goalstate")
print(c.getresponse().status)`;
    expect(await python(script)).toBe("403");
  });

  test("T-33: connect, then exec of an allowed program, gains nothing", async () => {
    const script = `
import os, socket, sys
s = socket.create_connection(("169.254.169.254", 80))
s.sendall(${GET})
print(os.getpid())
sys.stdout.flush()
if os.fork() == 0:
    s.settimeout(10)
    print(s.recv(200).split(b"\\r\\n")[0].decode())
    sys.stdout.flush()
    os._exit(0)
s.set_inheritable(True)
os.execv("${allowed}", ["allowed-sleep", "60"])`;
    const runs = (pid: string) => readlinkSync(`/proc/${pid}/exe`) === allowed;
    const [pid, status] = await whileStopped(script, NOBODY, runs);
    expect(status).toBe("HTTP/1.1 403 Forbidden");
    expect(await doubtsAbout(Number(pid))).toContain("runs another program than when it connected");
  });

  test("T-34: a reused process id gains nothing", async () => {
    // The attacker connects and dies; its socket lives on in a child. Then the allowed program gets its number.
    const attack = `
import os, socket, sys, time
s = socket.create_connection(("169.254.169.254", 80))
s.sendall(${GET})
r, w = os.pipe()
attacker = os.getpid()
if os.fork() == 0:
    os.setsid()
    for fd in (1, 2):
        os.dup2(os.open("/dev/null", os.O_WRONLY), fd)
    s.settimeout(15)
    answer = s.recv(200).split(b"\\r\\n")[0].decode()
    open(sys.argv[1], "w").write(answer)
    os._exit(0)
print(attacker)`;
    const answerFile = join(programs, "answer");
    process.kill(world.agent.pid, "SIGSTOP");
    const died = await runProgram(["/usr/bin/python3", "-c", attack, answerFile]);
    const pid = Number(died.stdout.trim());
    // ns_last_pid decides the next number; others may take one in between, or hold that one for a while, so it is tried until the number fits.
    const reuse = `
import os, signal, sys, time
end = time.monotonic() + 20
while time.monotonic() < end:
    open("/proc/sys/kernel/ns_last_pid", "w").write(str(${pid} - 1))
    child = os.fork()
    if child == 0:
        os.execv("${allowed}", ["allowed-sleep", "6"])
    if child == ${pid}:
        print("reused")
        sys.stdout.flush()
        os.waitpid(child, 0)
        sys.exit(0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    time.sleep(0.002)
print("not reused")`;
    const reusing = Bun.spawn(["/usr/bin/python3", "-c", reuse], { stdin: "ignore", stdout: "pipe", stderr: "inherit", cwd: "/" });
    expect(await new SaidLines(reusing.stdout).next()).toBe("reused");
    process.kill(world.agent.pid, "SIGCONT");
    await until("the request is answered", () => Bun.file(answerFile).exists());
    await reusing.exited;
    // The attacker ran as root; its claim to be root is the kernel's word. What must not be believed is the program.
    const line = await world.agent.line("request-forwarded", ({ processId }) => processId === pid);
    expect([line.processFullPath, line.processCmdLine]).toEqual(["", ""]);
    expect(JSON.stringify(line.doubts)).toContain("start");
  });

  test("T-35: a socket handed to an allowed program keeps the claims of who connected it", async () => {
    const script = `
import os, socket, sys
s = socket.create_connection(("169.254.169.254", 80))
if os.fork() == 0:
    # The child becomes the allowed program with the attacker's socket as its standard input.
    os.dup2(s.fileno(), 0)
    os.execv("${allowed}", ["allowed-sleep", "3"])
s.sendall(${GET})
s.settimeout(10)
print(s.recv(200).split(b"\\r\\n")[0].decode())`;
    expect(await python(script, NOBODY)).toBe("HTTP/1.1 403 Forbidden");
  });

  test("T-36: a record that was left behind is not found from the same source port", async () => {
    const script = `
import socket, struct
def bound():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 45678))
    s.settimeout(10)
    return s
victim = bound()
victim.connect(("169.254.169.254", 80))
victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
victim.close()
thief = bound()
thief.connect(("127.0.0.1", 3080))
thief.sendall(${GET})
print("sent", flush=True)
print(thief.recv(200).split(b"\\r\\n")[0].decode())`;
    expect(await whileStopped(script, { uid: 0, gid: 0 })).toEqual(["sent", "HTTP/1.1 421 Misdirected Request"]);
  });

  test("T-05: a direct connection to the listener gets nothing from the host", async () => {
    const before = (await world.received("imds")).length;
    expect((await curl("http://127.0.0.1:3080/metadata/instance?api-version=2021-02-01")).status).toBe(421);
    expect(await world.received("imds")).toHaveLength(before);
  });

  test("T-37: 2,000 connections of four users at once are all told apart", async () => {
    const script = (uid: number) => `
import os, socket, sys
os.setgid(${uid}); os.setuid(${uid})
opened = []
for n in range(500):
    s = socket.create_connection(("169.254.169.254", 80))
    s.settimeout(30)
    opened.append(s)
print("open", flush=True)
sys.stdin.readline()
for n, s in enumerate(opened):
    s.sendall(b"GET /metadata/instance?api-version=2021-02-01&from=u${uid}n%d HTTP/1.1\\r\\nHost: h\\r\\nMetadata: true\\r\\n\\r\\n" % n)
codes = set(s.recv(4096).split(b" ")[1] for s in opened)
print(codes)`;
    const uids = [5001, 5002, 5003, 5004];
    const children = uids.map((uid) =>
      Bun.spawn(["/usr/bin/python3", "-c", script(uid)], { stdin: "pipe", stdout: "pipe", stderr: "inherit", cwd: "/" }),
    );
    const said = children.map((child) => new SaidLines(child.stdout));
    expect(await Promise.all(said.map((lines) => lines.next()))).toEqual(uids.map(() => "open"));
    for (const child of children) {
      child.stdin.write("go\n");
      child.stdin.end();
    }
    for (const lines of said) expect((await lines.rest()).trim()).toBe("{b'403'}");
    await Promise.all(children.map((child) => child.exited));
    const lines = () =>
      world.agent.lines.filter(({ event, fields }) => event === "request-denied" && String(fields.url).includes("from=u"));
    await until("all are told", () => lines().length >= 2000);
    const seen = lines();
    const wrong = seen.filter(({ fields }) => !String(fields.url).includes(`from=u${fields.userId}n`));
    expect([seen.length, wrong.length]).toEqual([2000, 0]);
  }, 60_000);

  test("T-38: a caller in another network namespace is refused and counted", async () => {
    const inside =
      "ip link set lo up && ip address add 169.254.169.254/32 dev lo && curl -s -o /dev/null --max-time 5 -w '%{http_code} %{exitcode}' http://169.254.169.254/metadata/instance";
    const { stdout } = await runProgram(["unshare", "-n", "sh", "-c", inside]);
    // 7: connect(2) itself failed.
    expect(stdout).toBe("000 7");
    await world.agent.stop();
    expect(world.status()).toMatchObject({ agentDetails: { redirectCounters: { refusedForeignNamespace: 1 } } });
  });
});
