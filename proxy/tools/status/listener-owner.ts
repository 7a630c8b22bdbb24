// Owner of the listening socket at the agent's address, from the kernel's tables. Read in a fraction of a millisecond: listeners come first
// in the tables, and the rest is not read.

import { closeSync, openSync, readSync } from "node:fs";
import { findListenerOwner } from "./socket-owner.ts";

const MAX_TABLE_BYTES = 256 * 1024;

/** `unknown`: the tables cannot be read. `nobody`: there is no listener. */
export type ListenerOwner = { readonly kind: "user"; readonly uid: number } | { readonly kind: "nobody" } | { readonly kind: "unknown" };

export function readListenerOwner(address: string, port: number): ListenerOwner {
  const tcp = readListeners("/proc/net/tcp");
  if (tcp === undefined) return { kind: "unknown" };
  // Without IPv6 there is no such table.
  const uid = findListenerOwner(tcp, readListeners("/proc/net/tcp6") ?? "", address, port);
  return uid === undefined ? { kind: "nobody" } : { kind: "user", uid };
}

function readListeners(path: string): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const bytes = Buffer.alloc(MAX_TABLE_BYTES);
    let filled = 0;
    while (filled < bytes.length) {
      const read = readSync(descriptor, bytes, filled, bytes.length - filled, null);
      if (read === 0) break;
      filled += read;
      if (isPastListeners(bytes.toString("latin1", filled - read, filled))) break;
    }
    return bytes.toString("latin1", 0, filled);
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** A line in any state but LISTEN: "SL LOCAL REMOTE STATE …". */
function isPastListeners(text: string): boolean {
  return /^\s*\d+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:[0-9A-F]{4} (?!0A)[0-9A-F]{2} /m.test(text);
}
