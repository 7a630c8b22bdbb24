// Admits or refuses a new connection: the kernel's record gives its user, the user's share decides about its place, and
// only then identification starts, while the request is still on its way. Nothing is read about a refused connection.

import type { Admission, Connection, ConnectionOrigin, Exchange, Identify, Peer, Redirector } from "../../core/ports.ts";
import type { Caller } from "../../core/request/caller.ts";
import { type Endpoint, endpointAt } from "../../core/request/endpoint.ts";
import {
  type ConnectionShares,
  type Held,
  makeConnectionShares,
  type Owner,
  type ShareLimits,
} from "../../core/tally/connection-shares.ts";
import type { CallerLookup } from "./handle-request.ts";
import { makeIdentifyTurns } from "./identify-turns.ts";

export interface ConnectionPorts {
  readonly redirector: Pick<Redirector, "originOf" | "counters" | "tookFromQueue">;
  readonly identify: Identify;
  readonly handle: (exchange: Exchange, lookup: CallerLookup) => Promise<void>;
  /** A connection was closed because its owner has its share. */
  readonly refused: (owner: Owner, direct: boolean) => void;
  /** A head was refused; called once it is known whose it was. */
  readonly headRefused: (refused: RefusedHead) => void;
  /** The kernel has no record of a connection. */
  readonly unrecorded: () => void;
  readonly limits: ShareLimits;
  readonly monotonicMs: () => number;
}

/** A head that is no request, with what is known about who sent it. */
export interface RefusedHead {
  /** Undefined: not redirected, its record was lost, or it ended before it was identified. */
  readonly caller: Caller | undefined;
  /** Real user id by the kernel's record; undefined when there is none. */
  readonly userId: number | undefined;
  readonly peer: Peer;
  readonly status: number;
  readonly detail: string;
}

export interface ConnectionAdmission {
  admit(connection: Connection, held: Held): Admission;
  readonly shares: Pick<ConnectionShares, "evicted">;
}

const ROOT = 0;
/** Connections of users other than root in one turn of the event loop that are a crowd: some 10 ms of work. */
const CROWD = 512;
/** How long after a record was lost in the kernel an unknown connection is taken for the one that lost it. */
const LOSS_WINDOW_MS = 5_000;

export function makeAdmission(ports: ConnectionPorts): ConnectionAdmission {
  const shares = makeConnectionShares(ports.limits);
  const turns = makeIdentifyTurns();
  let takenThisTurn = 0;
  let lostBefore = 0n;
  let lossUntilMs = Number.NEGATIVE_INFINITY;

  return {
    shares,
    admit(connection, held) {
      const read = ports.redirector.originOf(connection);
      const origin: ConnectionOrigin | undefined = read.ok ? read.value : undefined;
      const owner = ownerOf(origin);
      const direct = origin?.kind !== "redirected";
      if (owner !== ROOT && owner !== "unrecorded") noteTaken();
      if (!shares.admit(owner, direct, held)) {
        ports.refused(owner, direct);
        return { kind: "refuse" };
      }
      let isOpen = true;
      let asked = false;
      const known = direct ? { kind: describeUnknown(origin) } : undefined;
      const lookup = origin?.kind === "redirected" ? identifyOf(origin, connection, () => isOpen) : undefined;
      return {
        kind: "admit",
        owner,
        handle: async (exchange) => {
          const found = known ?? (await lookup) ?? { kind: "record-lost" };
          const again = asked && found.kind === "identified";
          asked = true;
          await ports.handle(exchange, again ? { kind: "identified", caller: found.caller } : found);
        },
        headRefused: (status, detail) => {
          const userId = owner === "unrecorded" ? undefined : owner;
          // Read now: a socket that is closed has no far end any more.
          const peer = { address: connection.address, port: connection.port };
          const report = (caller: Caller | undefined) => ports.headRefused({ caller, userId, peer, status, detail });
          if (lookup === undefined) report(undefined);
          else void lookup.then((found) => report(found.kind === "identified" ? found.caller : undefined));
        },
        closed: () => {
          isOpen = false;
          shares.release(held);
        },
      };
    },
  };

  /**
   * The runtime accepts for as long as connections wait, and nothing else has a turn meanwhile. The kernel therefore hears what was taken
   * only when that is over: until then no more than the backlog's share of others can come in behind, however fast they connect.
   */
  function noteTaken(): void {
    takenThisTurn += 1;
    if (takenThisTurn > 1) return;
    setImmediate(() => {
      const taken = takenThisTurn;
      takenThisTurn = 0;
      ports.redirector.tookFromQueue(taken, taken >= CROWD);
    });
  }

  function identifyOf(
    { record }: Extract<ConnectionOrigin, { kind: "redirected" }>,
    { address, port }: Peer,
    isWanted: () => boolean,
  ): Promise<CallerLookup> {
    const endpoint: Endpoint | undefined = endpointAt(record.destinationAddress, record.destinationPort);
    // Only addresses of the endpoints are redirected; anything else in a record must not be forwarded.
    if (endpoint === undefined) return Promise.resolve({ kind: "not-redirected" });
    const acceptedMs = ports.monotonicMs();
    const identified = turns.run(record.realUid, isWanted, () => ports.identify(record, endpoint, { address, port }));
    return identified.then(
      (caller): CallerLookup =>
        caller === undefined ? { kind: "record-lost" } : { kind: "identified", caller, identifyMs: ports.monotonicMs() - acceptedMs },
      (): CallerLookup => ({ kind: "record-lost" }),
    );
  }

  function describeUnknown(origin: ConnectionOrigin | undefined): "not-redirected" | "record-lost" {
    if (origin === undefined) return "record-lost";
    if (origin.kind === "direct") return "not-redirected";
    ports.unrecorded();
    return wasLost() ? "record-lost" : "not-redirected";
  }

  /** Did the kernel fail to publish a record lately? Then this connection may be that caller's: it gets a 503 to retry. */
  function wasLost(): boolean {
    const counters = ports.redirector.counters();
    if (!counters.ok) return true;
    if (counters.value.publishFailed > lostBefore) lossUntilMs = ports.monotonicMs() + LOSS_WINDOW_MS;
    lostBefore = counters.value.publishFailed;
    return ports.monotonicMs() < lossUntilMs;
  }
}

function ownerOf(origin: ConnectionOrigin | undefined): Owner {
  if (origin?.kind === "redirected") return origin.record.realUid;
  return origin?.kind === "direct" ? origin.realUid : "unrecorded";
}
