// Records of record version 1, which earlier agents published under a connection's namespace, source address and source port. Two
// sockets can share these, so a record is believed only where the kernel's own table shows that no second one did. Serves connections
// that were made before this agent took over; nothing publishes such records afterwards.

import { closeSync, readFileSync } from "node:fs";
import type { Peer } from "../../core/ports.ts";
import { writeAddress } from "./address.ts";

const KEY_BYTES = 16;
/** `sl local remote st …` of /proc/net/tcp, addresses in hexadecimal as the kernel holds them. */
const SOCKET_LINE = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) /;
const LOOPBACK = "0100007F";
const MAPPED = "0000000000000000FFFF0000";

/** How many sockets there are at the client's end of each connection to the listener, by `address:port` as the kernel writes them. */
export function countClients(tables: readonly string[], listenerPort: number): ReadonlyMap<string, number> {
  const port = hexadecimal(listenerPort);
  const counts = new Map<string, number>();
  for (const table of tables) {
    for (const line of table.split("\n")) {
      const [, local = "", localPort = "", remote = "", remotePort] = SOCKET_LINE.exec(line) ?? [];
      if (remotePort !== port || unmapped(remote) !== LOOPBACK) continue;
      const client = `${unmapped(local)}:${localPort}`;
      counts.set(client, (counts.get(client) ?? 0) + 1);
    }
  }
  return counts;
}

export class FirstRecords {
  readonly map: number;
  readonly #clients: ReadonlyMap<string, number>;
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #view = new DataView(this.#key.buffer);

  /** To be made when no program begins redirects any more that publish there: whatever could confuse two connections exists by then. */
  constructor(map: number, networkNamespaceCookie: bigint, listenerPort: number) {
    this.map = map;
    this.#view.setBigUint64(0, networkNamespaceCookie, true);
    this.#clients = countClients(["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(readTable), listenerPort);
  }

  /** The key to take the record of this connection with; undefined when it may be another's. Valid until the next call. */
  keyOf(peer: Peer): Uint8Array | undefined {
    if (!writeAddress(this.#view, 8, peer.address)) return undefined;
    // Host order, as the socket holds its own port; the address before it is in network order.
    this.#view.setUint16(12, peer.port, true);
    const address = this.#view.getUint32(8, true).toString(16).toUpperCase().padStart(8, "0");
    return this.#clients.get(`${address}:${hexadecimal(peer.port)}`) === 1 ? this.#key : undefined;
  }

  close(): void {
    closeSync(this.map);
  }
}

function hexadecimal(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

function unmapped(address: string): string {
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address;
}

/** A kernel without IPv6 has no second table. */
function readTable(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
