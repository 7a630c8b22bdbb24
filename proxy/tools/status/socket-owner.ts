// Whose is the socket that listens at an address? Read from the kernel's tables in /proc/net, which every user may see. Any user may
// listen on the agent's port while no agent does, and answer as if it were one.

const LISTEN = "0A";
const ANY = "00000000";
/** The four words of ::ffff:0.0.0.0 without the address. */
const MAPPED = "0000000000000000FFFF0000";
const ANY6 = "0".repeat(32);

/**
 * @param tcp - text of /proc/net/tcp
 * @param tcp6 - text of /proc/net/tcp6: its sockets take connections to IPv4 addresses, too
 * @returns user id of who made the socket that connections to this address end at; undefined when none listens
 */
export function findListenerOwner(tcp: string, tcp6: string, address: string, port: number): number | undefined {
  const word = addressWord(address);
  const at = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const owners = new Map([...ownersAt(tcp, at), ...ownersAt(tcp6, at)]);
  // As the kernel chooses: the address itself goes before any address.
  for (const place of [word, MAPPED + word, ANY, MAPPED + ANY, ANY6]) {
    const owner = owners.get(place);
    if (owner !== undefined) return owner;
  }
  return undefined;
}

/** Lines "SL LOCAL:PORT REMOTE:PORT STATE QUEUES TIMER RETRANSMITS UID …". */
function ownersAt(table: string, port: string): (readonly [place: string, uid: number])[] {
  return table.split("\n").flatMap((line) => {
    const [, local, , state, , , , uid] = line.trim().split(/\s+/);
    if (state !== LISTEN || local?.endsWith(port) !== true || uid === undefined || !/^\d+$/.test(uid)) return [];
    return [[local.slice(0, -port.length), Number(uid)] as const];
  });
}

/** The address in network order as one number of this processor, in hex: 0100007F for 127.0.0.1 on all we build for. */
function addressWord(address: string): string {
  const bytes = address.split(".").map((byte) => Number(byte).toString(16).toUpperCase().padStart(2, "0"));
  return bytes.reverse().join("");
}
