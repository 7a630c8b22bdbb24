// A sliding-window count: the last four hours in buckets of a quarter of an hour. Keeps one number per bucket in
// which something happened, and is cut when it is touched or read, so it needs no timer.

const BUCKET_MS = 15 * 60_000;
/** Four hours back, and the quarter that runs. */
const KEPT_BUCKETS = 17;

/** The number of the quarter of an hour in which this moment lies. */
export function bucketAt(nowMs: number): number {
  return Math.floor(nowMs / BUCKET_MS);
}

export class WindowCount {
  /** Pairs of bucket number and count, oldest first. */
  #pairs: number[] = [];
  #total = 0;

  /** @param bucket - {@link bucketAt} now; one that lies before the newest counts as the newest (the clock was set back) */
  add(bucket: number, times: number): void {
    const newest = this.#pairs.at(-2) ?? Number.NEGATIVE_INFINITY;
    if (bucket > newest) {
      this.#forgetBefore(bucket - KEPT_BUCKETS + 1);
      this.#pairs.push(bucket, times);
    } else {
      this.#pairs[this.#pairs.length - 1] = (this.#pairs.at(-1) ?? 0) + times;
    }
    this.#total += times;
  }

  /** Adds what another one holds, bucket by bucket. */
  addAll(other: WindowCount): void {
    const merged = new Map<number, number>();
    for (const [bucket, times] of [...this.#each(), ...other.#each()]) merged.set(bucket, (merged.get(bucket) ?? 0) + times);
    this.#pairs = [...merged].sort(([a], [b]) => a - b).flat();
    this.#total += other.#total;
    this.#forgetBefore((this.#pairs.at(-2) ?? 0) - KEPT_BUCKETS + 1);
  }

  /** What is left of it, seen from this bucket. */
  total(bucket: number): number {
    // The clock was set back: what was counted in the future counts as now, or it would stay until then.
    if ((this.#pairs.at(-2) ?? bucket) > bucket) this.#pairs = [bucket, this.#total];
    this.#forgetBefore(bucket - KEPT_BUCKETS + 1);
    return this.#total;
  }

  /** Without forgetting: at most what {@link total} was when it was last touched. */
  get held(): number {
    return this.#total;
  }

  *#each(): Generator<readonly [bucket: number, times: number]> {
    for (let at = 0; at < this.#pairs.length; at += 2) yield [this.#pairs[at] ?? 0, this.#pairs[at + 1] ?? 0];
  }

  #forgetBefore(bucket: number): void {
    let gone = 0;
    while (gone < this.#pairs.length && (this.#pairs[gone] ?? 0) < bucket) {
      this.#total -= this.#pairs[gone + 1] ?? 0;
      gone += 2;
    }
    if (gone > 0) this.#pairs = this.#pairs.slice(gone);
  }
}
