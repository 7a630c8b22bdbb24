// The listening socket: inherited by socket activation (sd_listen_fds(3)), or one of our own. An inherited one is
// checked before it is used: a socket at another address, or one that does not listen, must not be served as the agent's.

import { closeSync } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { AF_INET, lastErrorName, openLibc, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "../native/libc.ts";

export interface ListeningSocketError {
  readonly kind: "in-use" | "denied" | "failed";
  /** Ready for people. */
  readonly message: string;
}

export interface OpenSocket {
  readonly descriptor: number;
  /** The service manager holds it too: it lives on when this process ends. */
  readonly inherited: boolean;
  /** Connections that may wait in it, as configured by its creator. */
  readonly backlog: number;
}

const FIRST_FD = 3;
const SO_REUSEADDR = 2;
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const SO_BINDTODEVICE = 25;
const SO_DOMAIN = 39;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const TCP_FASTOPEN = 23;
/** Up to tcpi_sacked, and that. */
const TCP_INFO_UNACKED = 24;
const TCP_INFO_SACKED = 28;
const TCP_INFO_BYTES = 32;
const LOOPBACK_DEVICE = new TextEncoder().encode("lo\0");
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** The kernel cuts it to net.core.somaxconn. Large, because connects wait in it while an agent makes room for the next. */
const BACKLOG = 4096;

/** Takes the descriptors' count out of the environment, so that no child takes it for its own; undefined when there is none for us. */
export function takeInheritedSocket(
  environment: Record<string, string | undefined>,
  pid: number,
  address: string,
  port: number,
): Result<OpenSocket | undefined, ListeningSocketError> {
  const { LISTEN_FDS: count, LISTEN_PID: forPid } = environment;
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]) delete environment[name];
  if (count === undefined || forPid !== String(pid)) return ok(undefined);
  const fail = (found: string) =>
    err<ListeningSocketError>({
      kind: "failed",
      message: `cannot use the socket of the service manager: found ${found}, want one TCP socket that listens on ${address}:${port}`,
    });
  if (!/^\d{1,4}$/.test(count) || Number(count) < 1) return fail(`LISTEN_FDS "${count}"`);
  const libc = openLibc();
  for (let fd = FIRST_FD; fd < FIRST_FD + Number(count); fd += 1) libc.fcntl(fd, F_SETFD, "int", FD_CLOEXEC);
  if (count !== "1") return fail(`${count} descriptors`);
  const option = (name: number) => {
    const value = new Int32Array(1);
    const size = new Uint32Array([value.byteLength]);
    const code = libc.getsockopt(FIRST_FD, SOL_SOCKET, name, new Uint8Array(value.buffer), new Uint8Array(size.buffer));
    return code === 0 ? value[0] : undefined;
  };
  if (option(SO_TYPE) === undefined) return fail(`descriptor ${FIRST_FD}, which is no socket`);
  if (option(SO_DOMAIN) !== AF_INET || option(SO_TYPE) !== SOCK_STREAM) return fail("a socket of another kind");
  if (option(SO_ACCEPTCONN) !== 1) return fail("a socket that does not listen");
  const bound = boundAddress(FIRST_FD);
  if (bound !== `${address}:${port}`) return fail(`one that listens on ${bound}`);
  return ok({ descriptor: FIRST_FD, inherited: true, backlog: readBacklog(FIRST_FD) });
}

/**
 * Restores the options of a socket that Bun listens on: Bun.listen() lowers the backlog to its own.
 * Connections come in over loopback alone, also where the kernel is set to route its network (route_localnet), and none with data in
 * its SYN: it would be accepted before its client is known. @returns which options could not be set
 */
export function settleListening({ descriptor, backlog }: OpenSocket): readonly string[] {
  const libc = openLibc();
  const refused: string[] = [];
  const check = (code: number, what: string) => {
    if (code !== 0) refused.push(`${what}: ${lastErrorName()}`);
  };
  check(libc.listen(descriptor, backlog), `cannot set the backlog to ${backlog}`);
  check(libc.setsockopt(descriptor, IPPROTO_TCP, TCP_FASTOPEN, new Uint8Array(4), 4), "cannot switch TCP Fast Open off");
  check(libc.setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, LOOPBACK_DEVICE, LOOPBACK_DEVICE.length), 'cannot bind to device "lo"');
  return refused;
}

/** How many connections wait to be accepted. */
export function countWaiting({ descriptor }: Pick<OpenSocket, "descriptor">): number {
  return readQueue(descriptor)?.waiting ?? 0;
}

function readBacklog(fd: number): number {
  const found = readQueue(fd)?.backlog ?? 0;
  return found > 0 ? found : BACKLOG;
}

/** Of a listening socket TCP_INFO has queue and backlog in the fields for unacknowledged segments of others (tcp_get_info in the kernel). */
function readQueue(fd: number): { readonly waiting: number; readonly backlog: number } | undefined {
  const info = new Uint8Array(TCP_INFO_BYTES);
  const size = new Uint32Array([info.byteLength]);
  if (openLibc().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, new Uint8Array(size.buffer)) !== 0) return undefined;
  const view = new DataView(info.buffer);
  return { waiting: view.getUint32(TCP_INFO_UNACKED, true), backlog: view.getUint32(TCP_INFO_SACKED, true) };
}

/** Binds and listens without accepting: connects wait in the backlog. */
export function openOwnSocket(address: string, port: number): Result<OpenSocket, ListeningSocketError> {
  const libc = openLibc();
  const fail = (): Result<OpenSocket, ListeningSocketError> => {
    const code = lastErrorName();
    const kind = code === "EADDRINUSE" ? "in-use" : code === "EACCES" || code === "EPERM" ? "denied" : "failed";
    return err({ kind, message: `cannot listen on "${address}:${port}": ${code}` });
  };
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail();
  const name = socketName(address, port);
  // Connections of an earlier agent that linger in TIME_WAIT must not keep the next from the port.
  libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Uint8Array([1, 0, 0, 0]), 4);
  if (libc.bind(fd, name, name.length) === 0 && libc.listen(fd, BACKLOG) === 0)
    return ok({ descriptor: fd, inherited: false, backlog: BACKLOG });
  const failed = fail();
  closeSync(fd);
  return failed;
}

/** struct sockaddr_in. The family is in host order, which is little-endian on every processor we build for. */
function socketName(address: string, port: number): Uint8Array {
  return new Uint8Array([AF_INET, 0, port >> 8, port & 0xff, ...address.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
}

function boundAddress(fd: number): string {
  const name = new Uint8Array(16);
  const size = new Uint32Array([name.byteLength]);
  if (openLibc().getsockname(fd, name, new Uint8Array(size.buffer)) !== 0) return "nothing";
  return `${name.subarray(4, 8).join(".")}:${((name[2] ?? 0) << 8) | (name[3] ?? 0)}`;
}
