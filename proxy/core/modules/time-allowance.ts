// How much of the daemon's one thread a module may take by failing or by being slow. A call may run to the end of its budget, and a
// fresh instance costs time as well: a caller who can bring that about could slow down everybody. So such time is charged to the user who
// asked, and to the module as a whole; whoever is in debt is denied without asking until the debt is small enough again.

/** A debt that shrinks as time goes by. */
interface Debt {
  readonly ms: number;
  readonly atMs: number;
}

/** One user's calls may take this long at first, then this share of the time: a dozen endless loops, then one in seconds. */
export const USER_BURST_MS = 50;
export const USER_SHARE = 0.005;
/** All users' together, so that many cannot do what one cannot. */
export const TOTAL_BURST_MS = 200;
export const TOTAL_SHARE = 0.008;
/** After a charge, users in debt wait so many times as long: others' requests get in between, also while a burst lasts. */
export const PAUSE = 9;
/** As long as all debts are not more than this, nobody waits: one request that failed does not spoil the next. */
export const PAUSE_FROM_MS = 15;
const MAX_USERS = 64;
const ROOT = 0;

/** Shorter calls are nobody's debt. */
const SLOW_MS = 1;
/** The slowest instructions need no longer for a unit; what goes beyond was time that other processes took. */
const MOST_MS_PER_UNIT = 1.5e-6;

/** What is charged for a call that answered. Nothing for nearly every call of nearly every module. */
export function costOfAnswer(tookMs: number, fuelSpent: number): number {
  if (tookMs < SLOW_MS) return 0;
  const costMs = Math.min(tookMs, fuelSpent * MOST_MS_PER_UNIT);
  return costMs < SLOW_MS ? 0 : costMs;
}

export class TimeAllowance {
  readonly #users = new Map<number, Debt>();
  #total: Debt = { ms: 0, atMs: 0 };
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  /** @returns false: the module must not be called for this user now; the answer is a deny */
  mayAsk(userId: number, nowMs: number): boolean {
    // Nobody was charged lately: the case of nearly every request.
    if (this.#users.size === 0) return true;
    const debt = this.#users.get(userId);
    const ms = debt === undefined ? 0 : left(debt, USER_SHARE, nowMs);
    if (ms > USER_BURST_MS) return false;
    // Others must not have root denied, whose requests the machine's own agents send; root needs no help to do harm.
    if (userId === ROOT) return true;
    const totalMs = left(this.#total, TOTAL_SHARE, nowMs);
    const waits = ms > 0 && totalMs > PAUSE_FROM_MS && nowMs < this.#pausedUntilMs;
    return totalMs <= TOTAL_BURST_MS && !waits;
  }

  /** @param costMs - time that the call took, and what follows from it */
  charge(userId: number, costMs: number, nowMs: number): void {
    this.#total = { ms: left(this.#total, TOTAL_SHARE, nowMs) + costMs, atMs: nowMs };
    this.#pausedUntilMs = nowMs + PAUSE * costMs;
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
