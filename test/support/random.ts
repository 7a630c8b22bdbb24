// A small seeded generator for law tests: the same seed gives the same cases on every machine. Not for secrets.

export interface Random {
  /** Give it in the failure message: with it the failing case comes back. */
  readonly seed: number;
  /** Whole number, 0 <= n < limit. */
  below(limit: number): number;
  /** True once in `times` on average. */
  oneIn(times: number): boolean;
  pick<Value>(choices: readonly [Value, ...Value[]]): Value;
  /** Between `min` and `max` values, both included. */
  list<Value>(min: number, max: number, make: (index: number) => Value): Value[];
  shuffled<Value>(values: readonly Value[]): Value[];
}

/** Mulberry32: 32 bits of state, good enough to wander through cases. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number): number => next() % limit;
  return {
    seed,
    below,
    oneIn: (times) => below(times) === 0,
    pick: (choices) => choices[below(choices.length)] ?? choices[0],
    list: (min, max, make) => Array.from({ length: min + below(max - min + 1) }, (_, index) => make(index)),
    shuffled: (values) => {
      const rest = [...values];
      for (let i = rest.length - 1; i > 0; i--) {
        const k = below(i + 1);
        const [a, b] = [rest[i], rest[k]];
        if (a !== undefined && b !== undefined) [rest[i], rest[k]] = [b, a];
      }
      return rest;
    },
  };
}
