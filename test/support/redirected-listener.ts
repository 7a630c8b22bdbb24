// What the redirector tests share: an attached redirector with a listener that answers every connection with the record the
// kernel kept for it, and clients that ask. It decides nothing; a test compares the answer with what it knows.

import { join } from "node:path";
import type { RedirectorOptions } from "../../proxy/adapters/ebpf/attachment.ts";
import { type AttachedRedirector, openRedirector } from "../../proxy/adapters/ebpf/redirector.ts";
import type { Connection, RedirectCounters } from "../../proxy/core/ports.ts";
import type { AuditRecord } from "../../proxy/core/request/caller.ts";
import type { Endpoint } from "../../proxy/core/request/endpoint.ts";
import { requireSandbox } from "./sandbox.ts";

const BUILD = join(import.meta.dir, "../../build/ebpf");
export const OBJECT_FILE = join(BUILD, "redirect.bpf.o");
export const OBJECT_FILE_WITHOUT_BTF = join(BUILD, "redirect-nobtf.bpf.o");

/** An {@link AuditRecord} as the listener sends it: 64-bit numbers as text. */
export interface SentRecord {
  readonly processId: number;
  readonly threadId: number;
  readonly realUid: number;
  readonly realGid: number;
  readonly effectiveUid?: number;
  readonly effectiveGid?: number;
  readonly comm: string;
  readonly cgroupId: string;
  readonly networkNamespaceCookie: string;
  readonly socketCookie: string;
  readonly startTimeNs?: string;
  readonly executable?: { readonly device: number; readonly inode: string; readonly inodeGeneration: number };
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly mapped: boolean;
}

/** What the listener answers: the record of the connection, or that there is none. */
export interface Answer {
  readonly record: SentRecord | null;
  /** The connection went straight to the listener, by a process that the programs see. */
  readonly direct: boolean;
}

export interface Stage extends Disposable {
  readonly redirector: AttachedRedirector;
  readonly port: number;
  /** Connections accepted so far. */
  accepted(): number;
  counters(): RedirectCounters;
}

export function unwrap<Value>(
  result: { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: unknown },
): Value {
  if (result.ok) return result.value;
  throw new Error(`want success, found ${JSON.stringify(result.error)}`);
}

/** Listens on a free port, attaches to the sandbox's cgroup, guards the endpoints. */
export function openStage(guarded: readonly Endpoint[], options: Partial<RedirectorOptions> = {}): Stage {
  const { cgroupPath } = requireSandbox();
  let redirector: AttachedRedirector | undefined;
  let accepted = 0;
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        accepted += 1;
        if (redirector === undefined) return;
        const origin = unwrap(redirector.originOf(connectionOf(socket)));
        const record = origin.kind === "redirected" ? origin.record : null;
        const body = JSON.stringify({ record, direct: origin.kind === "direct" }, (_, value) =>
          typeof value === "bigint" ? String(value) : value,
        );
        socket.write(`HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n${body}`);
        // Only our half: closing with unread data of the client would reset the connection and lose the answer.
        socket.shutdown();
      },
      data() {},
      end: (socket) => void socket.end(),
    },
  });
  const opened = openRedirector({
    objectFile: OBJECT_FILE,
    objectFileWithoutBtf: OBJECT_FILE_WITHOUT_BTF,
    cgroupPath,
    listenerPort: listener.port,
    passForeignNamespaces: false,
    pinFolder: "",
    ...options,
  });
  if (!opened.ok) {
    listener.stop(true);
    throw new Error(opened.error.message);
  }
  const attached = opened.value;
  redirector = attached;
  for (const endpoint of guarded) unwrap(attached.setEndpoint(endpoint, true));
  return {
    redirector: attached,
    port: listener.port,
    accepted: () => accepted,
    counters: () => unwrap(attached.counters()),
    [Symbol.dispose]: () => {
      attached[Symbol.dispose]();
      listener.stop(true);
    },
  };
}

/** An accepted socket as the redirector is asked about it; one that was reset already has no far end any more. */
export function connectionOf(socket: Bun.Socket<unknown>): Connection {
  return {
    address: socket.remoteAddress ?? "",
    port: socket.remotePort ?? 0,
    descriptor: (socket as typeof socket & { readonly fd: number }).fd,
  };
}

/** The record of an accepted connection; undefined when it went straight to the listener, or has none. */
export function recordOf(redirector: Pick<AttachedRedirector, "originOf">, connection: Connection): AuditRecord | undefined {
  const origin = unwrap(redirector.originOf(connection));
  return origin.kind === "redirected" ? origin.record : undefined;
}

/**
 * A listener that takes no connection before its client has sent something (TCP_DEFER_ACCEPT): until then the client is established
 * and nothing is there that could have its record.
 */
export async function openDeferredListener(): Promise<Disposable & { readonly port: number }> {
  const code = `import socket, sys
l = socket.socket(); l.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60); l.bind(("127.0.0.1", 0)); l.listen(8192)
print(l.getsockname()[1], flush=True); sys.stdin.read()`;
  const child = Bun.spawn([PYTHON, "-c", code], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  return { port: Number(new TextDecoder().decode(value)), [Symbol.dispose]: () => void child.stdin.end() };
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly processId: number;
}

/** Runs a command in the sandbox; it is killed after 20 seconds. */
export async function run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const child = Bun.spawn([...command], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: 20_000,
    killSignal: "SIGKILL",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...environment },
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, stdout, stderr, processId: child.pid };
}

const PYTHON = "/usr/bin/python3";

/** Helpers every Python client starts with: `ask(s)` reads the listener's answer, `say(x)` prints one JSON line. */
const PRELUDE = `
import errno, json, os, socket, struct, sys, threading
IMDS = ("169.254.169.254", 80)
WIRESERVER = ("168.63.129.16", 80)
PORT = int(os.environ.get("LISTENER_PORT", "0"))
def ask(s):
    s.settimeout(10)
    text = b""
    while True:
        part = s.recv(65536)
        if not part: break
        text += part
    return json.loads(text.split(b"\\r\\n\\r\\n", 1)[1])
def tcp(family=socket.AF_INET, protocol=0):
    return socket.socket(family, socket.SOCK_STREAM, protocol)
def disconnect(s):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(s.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16): raise OSError(ctypes.get_errno(), "disconnect")
def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
def say(value):
    print(json.dumps(value), flush=True)
`;

/** Runs a Python client; what it says comes back parsed, line by line. Throws with its stderr when it fails. */
export async function python(stage: Stage | undefined, script: string, prefix: readonly string[] = []): Promise<unknown[]> {
  const finished = await run([...prefix, PYTHON, "-c", PRELUDE + script], { LISTENER_PORT: String(stage?.port ?? 0) });
  if (finished.code !== 0) throw new Error(`client ended with ${finished.code}: ${finished.stderr}`);
  return finished.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}

/** Waits until the condition holds; throws when it does not within five seconds. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`did not happen within 30 s: ${what}`);
    await Bun.sleep(5);
  }
}
