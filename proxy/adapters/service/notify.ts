// Notifies the service manager: one datagram to the socket it named (sd_notify(3)). Never waits, never throws; without a
// service manager it does nothing.

import { closeSync } from "node:fs";
import { AF_UNIX, openLibc, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "../native/libc.ts";

export interface Notify {
  /** `READY=1`, `STATUS=text`, …; one per line. False: not sent. */
  send(...lines: readonly string[]): boolean;
  /** How often the service manager wants `WATCHDOG=1`; undefined: not at all. */
  readonly watchdogMs: number | undefined;
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** struct sockaddr_un: the family, then at most 108 bytes of path. */
const MAX_PATH_BYTES = 108;

/**
 * Reads what the service manager set in the environment, and removes it there: children are not the service.
 * @param pid - of this process; a watchdog that is meant for another must not be notified
 */
export function takeNotify(environment: Record<string, string | undefined>, pid: number): Notify {
  const { NOTIFY_SOCKET: path, WATCHDOG_USEC: microseconds, WATCHDOG_PID: watched } = environment;
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
  const address = path === undefined ? undefined : socketAddress(path);
  const wanted = /^[1-9]\d{0,15}$/.test(microseconds ?? "") && (watched === undefined || watched === String(pid));
  return {
    watchdogMs: address !== undefined && wanted ? Number(microseconds) / 1000 : undefined,
    send: (...lines) => address !== undefined && sendDatagram(address, lines.map((line) => line.replace(/\n/g, " ")).join("\n")),
  };
}

/** Undefined for what is no address of a Unix socket. `@name` is an abstract one. */
export function socketAddress(path: string): Uint8Array | undefined {
  if (!/^[/@]./.test(path)) return undefined;
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > MAX_PATH_BYTES) return undefined;
  // The family is in host order, which is little-endian on every processor we build for.
  return Buffer.concat([Buffer.from([AF_UNIX, 0]), name]);
}

function sendDatagram(address: Uint8Array, text: string): boolean {
  try {
    const libc = openLibc();
    const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    try {
      const bytes = Buffer.from(text);
      return libc.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length) === bytes.length;
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}
