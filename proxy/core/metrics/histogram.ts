// Counts durations in buckets. Made once and then only added to: an observation allocates nothing.

import type { HistogramSample, Labels } from "./exposition.ts";

/** What this process does itself, from microseconds on. */
export const OWN_WORK_SECONDS = [0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1] as const;
/** What others take part in: callers, the host, the account database. */
export const SHARED_WORK_SECONDS = [
  0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #boundsMs: Float64Array;
  readonly #counts: Float64Array;
  #sumMs = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#boundsMs = Float64Array.from(bounds, (seconds) => seconds * 1000);
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** A bucket holds what is at most its bound, as the format wants it. */
  observeMs(ms: number): void {
    const bounds = this.#boundsMs;
    let bucket = 0;
    while (bucket < bounds.length && ms > (bounds[bucket] ?? 0)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sumMs += ms;
  }

  sample(labels: Labels): HistogramSample {
    return { labels, bounds: this.#bounds, counts: this.#counts, sum: this.#sumMs / 1000 };
  }
}
