// Breaks WebAssembly binaries, the same way for the same seed: bytes changed, put in, taken out, pieces swapped, cut or copied. Small
// changes are the most frequent, since a large one is refused at its first byte.

import type { Random } from "./random.ts";

/** Bytes that mean something nearly everywhere: type codes, `end`, prefixes, the ends of LEB128's ranges. */
const TELLING = [
  0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0f, 0x10, 0x11, 0x1a, 0x20, 0x23, 0x24, 0x3f, 0x40, 0x41, 0x60, 0x69, 0x6b, 0x70, 0x72,
  0x73, 0x79, 0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0xc0, 0xd0, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
] as const;

type Mutation = (bytes: Uint8Array, at: number, random: Random) => Uint8Array;

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  (bytes, at, random) => withByte(bytes, at, random.pick(TELLING)),
  (bytes, at, random) => withByte(bytes, at, random.below(256)),
  (bytes, at, random) => withByte(bytes, at, (bytes[at] ?? 0) ^ (1 << random.below(8))),
  (bytes, at, random) => withByte(bytes, at, (bytes[at] ?? 0) + (random.oneIn(2) ? 1 : -1)),
  (bytes, at, random) => withByte(bytes, at, bytes[random.below(bytes.length)] ?? 0),
  (bytes, at, random) => splice(bytes, at, 0, Uint8Array.of(random.pick(TELLING))),
  (bytes, at) => splice(bytes, at, 1, new Uint8Array(0)),
  (bytes, at, random) => {
    const from = random.below(bytes.length);
    return splice(bytes, at, random.below(8), bytes.subarray(from, from + random.below(8)));
  },
  (bytes, at, random) => {
    const length = 1 + random.below(16);
    const copy = Uint8Array.from(bytes);
    copy.copyWithin(at, random.below(bytes.length), random.below(bytes.length) + length);
    return copy;
  },
];

/** One to three changes; now and then the file is cut as well. */
export function mutate(original: Uint8Array, random: Random): Uint8Array {
  let bytes = original;
  for (let left = random.oneIn(4) ? 1 + random.below(3) : 1; left > 0; left--) {
    bytes = random.pick(MUTATIONS)(bytes, random.below(bytes.length), random);
  }
  return random.oneIn(40) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = value;
  return changed;
}

function splice(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  const kept = Math.min(bytes.length, at + removed);
  const changed = new Uint8Array(bytes.length - (kept - at) + added.length);
  changed.set(bytes.subarray(0, at));
  changed.set(added, at);
  changed.set(bytes.subarray(kept), at + added.length);
  return changed;
}
