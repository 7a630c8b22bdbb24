// Rate limit for users at their connection share: after a refused connection the kernel refuses that user's connects for a moment, so
// that they do not fill the backlog. Status and log name such users. Does not decide about shares itself.

import type { Log, Redirector } from "../../core/ports.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import type { Owner } from "../../core/tally/connection-shares.ts";

export interface Crowding {
  /** A connection of this owner was refused. */
  refused(owner: Owner): void;
  /** Reads the kernel's counts; cheap enough for every poll. */
  look(): void;
  readonly part: StatusPart;
}

export interface CrowdingPorts {
  readonly redirector: Pick<Redirector, "throttledUsers" | "refuseConnects" | "settleQueue">;
  /** Connections in the listener's backlog now. */
  readonly waiting: () => number;
  readonly log: Log;
  readonly changed: () => void;
  readonly monotonicMs: () => number;
}

/** How long the kernel refuses the connects of a user who has its share. */
const CLOSED_MS = 200;
/** So long after the last refusal a user is still named. */
const NAMED_MS = 300_000;
/** Users that are kept; a crowd of them costs no more. */
const MAX_NAMED = 64;

interface Named {
  refused: number;
  lastMs: number;
}

export function makeCrowding(ports: CrowdingPorts): Crowding {
  const named = new Map<Owner, Named>();
  const { redirector } = ports;
  redirector.settleQueue(ports.waiting());
  const closedUntilMs = new Map<Owner, number>();
  const before = new Map<number, bigint>(redirector.throttledUsers().map(({ uid, refused }) => [uid, refused]));

  function note(owner: Owner, count: number): void {
    const lastMs = ports.monotonicMs();
    const known = named.get(owner);
    if (known !== undefined) {
      known.refused += count;
      known.lastMs = lastMs;
      return;
    }
    if (named.size >= MAX_NAMED) return;
    named.set(owner, { refused: count, lastMs });
    ports.changed();
  }

  function forgetOld(): void {
    for (const [owner, { lastMs }] of named) if (ports.monotonicMs() - lastMs > NAMED_MS) named.delete(owner);
  }

  return {
    refused(owner) {
      note(owner, 1);
      const nowMs = ports.monotonicMs();
      if (owner === "unrecorded" || (closedUntilMs.get(owner) ?? 0) > nowMs) return;
      if (closedUntilMs.size >= MAX_NAMED) closedUntilMs.clear();
      closedUntilMs.set(owner, nowMs + CLOSED_MS);
      redirector.refuseConnects(owner, CLOSED_MS);
    },
    look() {
      redirector.settleQueue(ports.waiting());
      const size = named.size;
      forgetOld();
      if (named.size !== size) ports.changed();
      for (const { uid, refused } of redirector.throttledUsers()) {
        const known = before.get(uid) ?? 0n;
        before.set(uid, refused);
        // The kernel keeps as many as it has room for; one that comes back counts from 1.
        const more = refused >= known ? refused - known : refused;
        if (more === 0n) continue;
        ports.log.warn("records-throttled", { userId: uid, refused: Number(more) });
        note(uid, Number(more));
      }
      if (before.size > MAX_NAMED) before.clear();
    },
    part: {
      name: "crowding",
      report() {
        forgetOld();
        if (named.size === 0) return { health: "ok", message: "", details: undefined };
        const users = [...named].map(([owner, { refused }]) => ({ user: owner, refused })).sort((a, b) => b.refused - a.refused);
        const who = users
          .slice(0, 4)
          .map(({ user, refused }) => `${user === "unrecorded" ? "unrecorded callers" : `user id ${user}`} (${refused})`);
        return { health: "degraded", message: `too many connections, refused: ${who.join(", ")}`, details: { users } };
      },
    },
  };
}
