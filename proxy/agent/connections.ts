// What happens when a connection arrives: its record is taken from the kernel at once and only once, its user is given a fair share
// of the connections, and identification starts while the request is still on its way.

import { type Endpoint, endpointAt } from "../core/endpoint.ts";
import type { Admission, Exchange, Identify, Peer, Redirector } from "../core/ports.ts";
import { unavailable } from "../core/replies.ts";
import type { CallerLookup } from "./handle-request.ts";

export interface ConnectionLimits {
  /** Of one user id; root has twice as many, because the VM's own agents run as root. */
  readonly perUser: number;
  /** That did not come through the redirect. */
  readonly direct: number;
}

export interface ConnectionPorts {
  readonly redirector: Pick<Redirector, "takeRecord" | "counters">;
  readonly identify: Identify;
  readonly handle: (exchange: Exchange, lookup: CallerLookup) => Promise<void>;
  readonly refused: (peer: Peer, reason: string) => void;
  readonly limits: ConnectionLimits;
  readonly monotonicMs: () => number;
}

const DIRECT = "direct";
/** How long after a record was lost in the kernel an unknown connection is taken for the one that lost it. */
const LOSS_WINDOW_MS = 5_000;

export function makeAdmission(ports: ConnectionPorts): (peer: Peer) => Admission {
  const open = new Map<string, number>();
  let lostBefore = 0n;
  let lossUntilMs = Number.NEGATIVE_INFINITY;

  return function admit(peer) {
    const found = lookUp(peer);
    const owner = found.kind === "identifying" ? String(found.uid) : DIRECT;
    const held = open.get(owner) ?? 0;
    if (held >= shareOf(owner)) {
      ports.refused(peer, "too-many-connections");
      return { kind: "refuse", reply: unavailable("", "too many connections", 1) };
    }
    open.set(owner, held + 1);
    let asked = false;
    return {
      kind: "admit",
      owner: found.kind === "identifying" ? found.uid : undefined,
      handle: async (exchange) => {
        const lookup = found.kind === "identifying" ? await found.lookup : found.lookup;
        const again = asked && lookup.kind === "identified";
        asked = true;
        await ports.handle(exchange, again ? { kind: "identified", caller: lookup.caller } : lookup);
      },
      closed: () => {
        const left = (open.get(owner) ?? 1) - 1;
        if (left === 0) open.delete(owner);
        else open.set(owner, left);
      },
    };
  };

  function shareOf(owner: string): number {
    if (owner === DIRECT) return ports.limits.direct;
    return owner === "0" ? ports.limits.perUser * 2 : ports.limits.perUser;
  }

  function lookUp(peer: Peer): Identifying | Unknown {
    const taken = ports.redirector.takeRecord(peer);
    if (!taken.ok) return { kind: "unknown", lookup: { kind: "record-lost" } };
    const record = taken.value;
    if (record === undefined) return { kind: "unknown", lookup: { kind: wasLost() ? "record-lost" : "not-redirected" } };
    const endpoint: Endpoint | undefined = endpointAt(record.destinationAddress, record.destinationPort);
    // Only guarded addresses are redirected; anything else in a record is not ours to forward.
    if (endpoint === undefined) return { kind: "unknown", lookup: { kind: "not-redirected" } };
    const acceptedMs = ports.monotonicMs();
    const lookup = ports.identify(record, endpoint, peer).then(
      (caller): CallerLookup => ({ kind: "identified", caller, identifyMs: ports.monotonicMs() - acceptedMs }),
      (): CallerLookup => ({ kind: "record-lost" }),
    );
    return { kind: "identifying", uid: record.realUid, lookup };
  }

  /** Did the kernel fail to publish a record lately? Then this connection may be that caller: ask it to come again. */
  function wasLost(): boolean {
    const counters = ports.redirector.counters();
    if (!counters.ok) return true;
    if (counters.value.publishFailed > lostBefore) lossUntilMs = ports.monotonicMs() + LOSS_WINDOW_MS;
    lostBefore = counters.value.publishFailed;
    return ports.monotonicMs() < lossUntilMs;
  }
}

interface Identifying {
  readonly kind: "identifying";
  readonly uid: number;
  readonly lookup: Promise<CallerLookup>;
}

interface Unknown {
  readonly kind: "unknown";
  readonly lookup: CallerLookup;
}
