// The memory that the engine holds for connections: one budget for all, shared max-min between users, with a reserve for root.
// It counts bytes of buffers, queues, bodies and heads. What is taken is released exactly once; it never waits.

import type { Owner } from "../../core/tally/connection-shares.ts";

export interface MemoryShares {
  /** Everything held together, in bytes, {@link rootReserveBytes} included. */
  readonly totalBytes: number;
  /** Of these, what only connections of root may take. */
  readonly rootReserveBytes: number;
}

const ROOT = 0;
/** A connection holds this much without counting: ordinary requests never touch the budget. Bounded by the number of connections. */
export const UNCOUNTED_BYTES = 4 * 1024;

interface Holdings {
  readonly owner: Owner;
  bytes: number;
  /** That can still be evicted, the one that began to hold first comes first. */
  readonly accounts: Set<MemoryAccount>;
}

/**
 * Max-min fair: a user that holds less than another is never refused for lack of room; accounts of the largest holder are evicted
 * instead, the oldest first. Beyond its reserve root is one user among the others, but what it has is never evicted.
 */
export class MemoryBudget {
  readonly #commonBytes: number;
  readonly #reserveBytes: number;
  readonly #onError: (where: string, error: unknown) => void;
  readonly #owners = new Map<Owner, Holdings>();
  #takenBytes = 0;

  constructor({ totalBytes, rootReserveBytes }: MemoryShares, onError: (where: string, error: unknown) => void = () => {}) {
    this.#commonBytes = totalBytes - rootReserveBytes;
    this.#reserveBytes = rootReserveBytes;
    this.#onError = onError;
  }

  /** Counted bytes of all accounts. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Counted bytes of one user. */
  takenBy(owner: Owner): number {
    return this.#owners.get(owner)?.bytes ?? 0;
  }

  /** For {@link MemoryAccount} alone. */
  take(account: MemoryAccount, bytes: number): boolean {
    const { owner } = account;
    const held = this.takenBy(owner);
    if (!this.#makeRoom(owner, held + bytes)) return false;
    let holdings = this.#owners.get(owner);
    if (holdings === undefined) {
      holdings = { owner, bytes: 0, accounts: new Set() };
      this.#owners.set(owner, holdings);
    }
    holdings.bytes += bytes;
    this.#takenBytes += bytes;
    if (!account.evicted) holdings.accounts.add(account);
    return true;
  }

  /** For {@link MemoryAccount} alone. @param empty - the account holds nothing more */
  give(account: MemoryAccount, bytes: number, empty: boolean): void {
    const holdings = this.#owners.get(account.owner);
    if (holdings === undefined) return;
    holdings.bytes -= bytes;
    this.#takenBytes -= bytes;
    if (empty) holdings.accounts.delete(account);
    if (holdings.bytes === 0) this.#owners.delete(account.owner);
  }

  /** What a user that holds `bytes` in all takes of the part that is not root's alone. */
  #commonPart(owner: Owner, bytes: number): number {
    return owner === ROOT ? Math.max(0, bytes - this.#reserveBytes) : bytes;
  }

  #commonTaken(): number {
    const root = this.takenBy(ROOT);
    return this.#takenBytes - root + this.#commonPart(ROOT, root);
  }

  /** Is there room for `owner` to hold `wantedBytes` in all? Evicts accounts of users who would still hold more. */
  #makeRoom(owner: Owner, wantedBytes: number): boolean {
    const wanted = this.#commonPart(owner, wantedBytes);
    for (;;) {
      const others = this.#commonTaken() - this.#commonPart(owner, this.takenBy(owner));
      if (wanted === 0 || others + wanted <= this.#commonBytes) return true;
      const largest = this.#largestBut(owner);
      if (largest === undefined || largest.bytes <= wanted) return false;
      for (const account of largest.accounts) {
        this.#evict(largest, account);
        break;
      }
    }
  }

  #largestBut(owner: Owner): Holdings | undefined {
    let largest: Holdings | undefined;
    for (const holdings of this.#owners.values()) {
      if (holdings.owner === owner || holdings.owner === ROOT || holdings.accounts.size === 0) continue;
      if (largest === undefined || holdings.bytes > largest.bytes) largest = holdings;
    }
    return largest;
  }

  /** Takes it off the list first, so that an account that is slow to give back is not evicted again. */
  #evict(holdings: Holdings, account: MemoryAccount): void {
    holdings.accounts.delete(account);
    try {
      account.evict();
    } catch (error) {
      this.#onError("eviction", error);
    }
  }
}

/** What one connection holds. */
export class MemoryAccount {
  readonly owner: Owner;
  evicted = false;
  readonly #budget: MemoryBudget;
  readonly #onEvict: () => void;
  #heldBytes = 0;
  #closed = false;

  /** @param onEvict - must give back what is held, soon; not called again before that */
  constructor(budget: MemoryBudget, owner: Owner, onEvict: () => void) {
    this.#budget = budget;
    this.owner = owner;
    this.#onEvict = onEvict;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** A part of the connection holds `toBytes` instead of `fromBytes`. False: no room, it must go on with `fromBytes`. Less always fits. */
  resize(fromBytes: number, toBytes: number): boolean {
    if (this.#closed) return toBytes <= fromBytes;
    const before = counted(this.#heldBytes);
    const after = counted(this.#heldBytes + toBytes - fromBytes);
    if (after > before && !this.#budget.take(this, after - before)) return false;
    this.#heldBytes += toBytes - fromBytes;
    if (after < before) this.#budget.give(this, before - after, after === 0);
    // The connection may live on, and hold again.
    if (after === 0) this.evicted = false;
    return true;
  }

  /** Gives up the connection's memory, and with it whatever waits for it. */
  evict(): void {
    if (this.evicted || this.#closed) return;
    this.evicted = true;
    this.#onEvict();
  }

  /** Gives everything back; nothing can be held any more. */
  close(): void {
    if (this.#closed) return;
    this.resize(this.#heldBytes, 0);
    this.#closed = true;
  }
}

function counted(heldBytes: number): number {
  return Math.max(0, heldBytes - UNCOUNTED_BYTES);
}
