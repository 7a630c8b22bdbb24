// How much of the daemon's one thread a failing module may take. A call that fails may have run to the end of its budget, and a fresh
// instance costs time as well: a caller who can make a module fail could slow down everybody. So the time of failures is charged to the
// user who asked, and to the module as a whole; whoever is in debt is denied without asking until the debt is small enough again.

/** A debt that shrinks as time goes by. */
interface Debt {
  readonly ms: number;
  readonly atMs: number;
}

/** One user's failures may take this long at once, then this share of the time: two or three endless loops, then one in seconds. */
export const USER_BURST_MS = 50;
export const USER_SHARE = 0.005;
/** All users' together, so that many cannot do what one cannot. */
export const TOTAL_BURST_MS = 200;
export const TOTAL_SHARE = 0.008;
const MAX_USERS = 64;

export class FailureAllowance {
  readonly #users = new Map<number, Debt>();
  #total: Debt = { ms: 0, atMs: 0 };

  /** @returns false: the module must not be called for this user now; the answer is a deny */
  mayAsk(userId: number, nowMs: number): boolean {
    // Nobody failed lately: the case of nearly every request.
    if (this.#users.size === 0) return true;
    if (left(this.#total, TOTAL_SHARE, nowMs) > TOTAL_BURST_MS) return false;
    const debt = this.#users.get(userId);
    return debt === undefined || left(debt, USER_SHARE, nowMs) <= USER_BURST_MS;
  }

  /** @param costMs - time that the failure took, and what follows from it */
  charge(userId: number, costMs: number, nowMs: number): void {
    this.#total = { ms: left(this.#total, TOTAL_SHARE, nowMs) + costMs, atMs: nowMs };
    const before = this.#users.get(userId);
    if (before === undefined) this.#makeRoom(nowMs);
    this.#users.set(userId, { ms: (before === undefined ? 0 : left(before, USER_SHARE, nowMs)) + costMs, atMs: nowMs });
  }

  /** Beyond the limit the smallest debt is forgiven: the total still counts it. */
  #makeRoom(nowMs: number): void {
    let smallest: { readonly userId: number; readonly ms: number } | undefined;
    for (const [userId, debt] of this.#users) {
      const ms = left(debt, USER_SHARE, nowMs);
      if (ms === 0) this.#users.delete(userId);
      else if (smallest === undefined || ms < smallest.ms) smallest = { userId, ms };
    }
    if (this.#users.size >= MAX_USERS && smallest !== undefined) this.#users.delete(smallest.userId);
  }
}

function left({ ms, atMs }: Debt, share: number, nowMs: number): number {
  return Math.max(0, ms - share * (nowMs - atMs));
}
