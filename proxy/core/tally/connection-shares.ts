// How many of the listener's connections each user may hold. Root has a reserve that no other user can take; all others share the rest by
// max-min fairness: when it is used up, the user with the most is evicted in favour of one with fewer. Decides about numbers only, never
// about requests.

export interface ShareLimits {
  /** Connections in all. */
  readonly places: number;
  /** Of these, places that only root can take. */
  readonly rootReserve: number;
  /** Of one user other than root, however empty the rest is. */
  readonly perUser: number;
  /** Of one user, made straight to the listener; part of `perUser`. */
  readonly directPerUser: number;
}

/** Whose share a connection counts in: a real user id, or those of whom the kernel has no record, who share one. */
export type Owner = number | "unrecorded";

/** A connection as the shares see it. */
export interface Held {
  /** It waits for its client, so that closing it costs no work: no request is in progress, or its client does not go on with one. */
  readonly yields: boolean;
  /** Closes it, to make room. {@link ConnectionShares.release} may be called from inside. */
  evict(): void;
}

export interface ConnectionShares {
  /** Takes a place. False: the owner is at its share, and no larger holder has a connection that can be evicted. */
  admit(owner: Owner, direct: boolean, held: Held): boolean;
  release(held: Held): void;
  /** Connections that were closed to make room for another user's, so far. */
  evicted(): number;
}

interface Share {
  readonly owner: Owner;
  /** Oldest first. The value is true for direct connections. */
  readonly held: Map<Held, boolean>;
  direct: number;
}

const ROOT = 0;
/** How many connections of one share are searched for one that can be evicted: a user with thousands of busy ones costs others no more. */
const MAX_SEARCH = 256;
/** How many users are tried: a crowd of them costs a newcomer no more. */
const MAX_SHARES_TRIED = 4;

export function makeConnectionShares(limits: ShareLimits): ConnectionShares {
  const shares = new Map<Owner, Share>();
  const owners = new Map<Held, Share>();
  let evicted = 0;

  function countOf(owner: Owner): number {
    return shares.get(owner)?.held.size ?? 0;
  }

  function hasPlace(owner: Owner): boolean {
    const ofRoot = countOf(ROOT);
    if (owner === ROOT) return owners.size < limits.places;
    return owners.size - ofRoot < limits.places - Math.max(limits.rootReserve, ofRoot);
  }

  /** The share with the most that may give way and was not tried: of those who have more than the owner; root's only for root. */
  function findLargest(owner: Owner, tried: readonly Share[]): Share | undefined {
    let largest: Share | undefined;
    let most = countOf(owner) + 1;
    for (const share of shares.values()) {
      if (share.owner === ROOT || share.held.size <= most || tried.includes(share)) continue;
      largest = share;
      most = share.held.size;
    }
    if (largest !== undefined || owner !== ROOT) return largest;
    const own = shares.get(ROOT);
    return own === undefined || tried.includes(own) ? undefined : own;
  }

  function makeRoom(owner: Owner): boolean {
    const tried: Share[] = [];
    while (tried.length < MAX_SHARES_TRIED) {
      const share = findLargest(owner, tried);
      if (share === undefined) return false;
      tried.push(share);
      const victim = findYielding(share);
      if (victim === undefined) continue;
      evicted++;
      release(victim);
      victim.evict();
      return true;
    }
    return false;
  }

  function release(held: Held): void {
    const share = owners.get(held);
    if (share === undefined) return;
    owners.delete(held);
    if (share.held.get(held) === true) share.direct--;
    share.held.delete(held);
    if (share.held.size === 0) shares.delete(share.owner);
  }

  return {
    admit(owner, direct, held) {
      const share = shares.get(owner) ?? { owner, held: new Map(), direct: 0 };
      if (direct && share.direct >= limits.directPerUser) return false;
      if (owner !== ROOT && share.held.size >= limits.perUser) return false;
      if (!hasPlace(owner) && !(makeRoom(owner) && hasPlace(owner))) return false;
      // Set again: the evicted connection may have been this owner's last one.
      shares.set(owner, share);
      share.held.set(held, direct);
      if (direct) share.direct++;
      owners.set(held, share);
      return true;
    },
    release,
    evicted: () => evicted,
  };
}

function findYielding({ held }: Share): Held | undefined {
  let looked = 0;
  for (const one of held.keys()) {
    if (one.yields) return one;
    looked++;
    if (looked >= MAX_SEARCH) return undefined;
  }
  return undefined;
}
