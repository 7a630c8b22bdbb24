// Token buckets for the time that a module may take from the daemon's one thread by failing or by being slow. A call may run to the end of
// its budget, and a fresh instance costs time too: a caller that provokes this could slow down all others. So the time is charged to the
// calling user, and to the module as a whole; while a bucket is overdrawn the call is denied without running.

/** How far a bucket is drawn down; it refills as time passes. */
interface Charge {
  readonly ms: number;
  readonly atMs: number;
}

export interface Allowance {
  /** What one user's calls may take at once, and then as a share of the time. */
  readonly userBurstMs: number;
  readonly userShare: number;
  /** All users' together, so that many cannot do what one cannot. */
  readonly totalBurstMs: number;
  readonly totalShare: number;
}

/** A handful of endless loops, then one in seconds: together, and with what queues up behind them, less than a hundredth of the time. */
export const FOR_FAILURES: Allowance = { userBurstMs: 30, userShare: 0.003, totalBurstMs: 60, totalShare: 0.004 };
/** More, because a compiler at work or a busy machine makes good calls slow now and then; the pauses keep them apart. */
export const FOR_ANSWERS: Allowance = { userBurstMs: 30, userShare: 0.05, totalBurstMs: 60, totalShare: 0.1 };
/** After a charge, charged users are paused for so many times its length: other users' requests run in between, also during a burst. */
export const PAUSE = 9;
/** Below this total no user is paused: one failed request does not delay the next. */
export const PAUSE_FROM_MS = 15;
/** So many charged users are an attack by several: then users without charges are paused too, or each of a hundred would get a call. */
export const CROWD = 4;
const MAX_USERS = 64;
const ROOT = 0;

/** Shorter calls are not charged. */
const SLOW_MS = 1.5;
/**
 * Upper bound of a unit's time in nearly all code. Loads all over a memory that no near cache holds take several times as long, but so do
 * calls while other processes use the processor, and no user must be charged for those.
 */
const MOST_MS_PER_UNIT = 1.6e-6;

/** What is charged for a call that answered. Nothing for nearly every call of nearly every module. */
export function costOfAnswer(tookMs: number, fuelSpent: number): number {
  if (tookMs < SLOW_MS) return 0;
  const costMs = Math.min(tookMs, fuelSpent * MOST_MS_PER_UNIT);
  return costMs < SLOW_MS ? 0 : costMs;
}

export class TimeAllowance {
  readonly #users = new Map<number, Charge>();
  #total: Charge = { ms: 0, atMs: 0 };
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  readonly #allowance: Allowance;

  constructor(allowance: Allowance) {
    this.#allowance = allowance;
  }

  /** @returns false: the module must not be called for this user now; the answer is a deny */
  mayAsk(userId: number, nowMs: number): boolean {
    // No recent charges: the case of nearly every request.
    if (this.#users.size === 0) return true;
    const { userBurstMs, userShare, totalBurstMs, totalShare } = this.#allowance;
    const drawn = this.#users.get(userId);
    const ms = drawn === undefined ? 0 : left(drawn, userShare, nowMs);
    if (ms > userBurstMs) return false;
    // Other users must not get root denied: the VM's own agents are root. Root itself needs no such attack.
    if (userId === ROOT) return true;
    const totalMs = left(this.#total, totalShare, nowMs);
    const pauses = totalMs > PAUSE_FROM_MS && nowMs < this.#pausedUntilMs;
    const waits = pauses && (ms > 0 || this.#countCharged(nowMs) >= CROWD);
    return totalMs <= totalBurstMs && !waits;
  }

  /** @param costMs - time that the call took, and what follows from it */
  charge(userId: number, costMs: number, nowMs: number): void {
    const { userShare, totalShare } = this.#allowance;
    this.#total = { ms: left(this.#total, totalShare, nowMs) + costMs, atMs: nowMs };
    this.#pausedUntilMs = nowMs + PAUSE * costMs;
    const before = this.#users.get(userId);
    if (before === undefined) this.#makeRoom(nowMs);
    this.#users.set(userId, { ms: (before === undefined ? 0 : left(before, userShare, nowMs)) + costMs, atMs: nowMs });
  }

  /** Users whose bucket is full again are dropped first. */
  #countCharged(nowMs: number): number {
    for (const [userId, drawn] of this.#users) if (left(drawn, this.#allowance.userShare, nowMs) === 0) this.#users.delete(userId);
    return this.#users.size;
  }

  /** Beyond the limit the smallest entry is dropped: the total still counts it. */
  #makeRoom(nowMs: number): void {
    let smallest: { readonly userId: number; readonly ms: number } | undefined;
    for (const [userId, drawn] of this.#users) {
      const ms = left(drawn, this.#allowance.userShare, nowMs);
      if (ms === 0) this.#users.delete(userId);
      else if (smallest === undefined || ms < smallest.ms) smallest = { userId, ms };
    }
    if (this.#users.size >= MAX_USERS && smallest !== undefined) this.#users.delete(smallest.userId);
  }
}

function left({ ms, atMs }: Charge, share: number, nowMs: number): number {
  return Math.max(0, ms - share * (nowMs - atMs));
}
