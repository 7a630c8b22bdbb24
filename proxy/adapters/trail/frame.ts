// The bytes of a segment of the decision trail: a header with the previous hash, then frames. A frame is its payload's length,
// the same inverted (so that a damaged length is not taken for a torn end), the payload and the hash that chains it to all before.

export const SEGMENT_MAGIC = Buffer.from("APATRL1\n", "latin1");
export const HASH_BYTES = 32;
export const HEADER_BYTES = SEGMENT_MAGIC.length + HASH_BYTES;
export const LENGTH_BYTES = 4;
export const MAX_PAYLOAD_BYTES = 0xffff;
export const FRAME_OVERHEAD_BYTES = LENGTH_BYTES + HASH_BYTES;
const NOTHING = new Uint8Array(0);
/** What the first segment of all follows. */
export const NO_HASH: Uint8Array = new Uint8Array(HASH_BYTES);

export function writeHeader(into: Uint8Array, previousHash: Uint8Array): number {
  into.set(SEGMENT_MAGIC, 0);
  into.set(previousHash, SEGMENT_MAGIC.length);
  return HEADER_BYTES;
}

/**
 * Writes a frame at `at`, directly behind the hash that it follows.
 * @param opening - goes before the payload and belongs to it
 * @returns the offset behind it
 */
export function writeFrame(into: Uint8Array, at: number, payload: Uint8Array, opening: Uint8Array = NOTHING): number {
  const length = opening.length + payload.length;
  into[at] = length >> 8;
  into[at + 1] = length & 0xff;
  into[at + 2] = (length >> 8) ^ 0xff;
  into[at + 3] = (length & 0xff) ^ 0xff;
  into.set(opening, at + LENGTH_BYTES);
  into.set(payload, at + LENGTH_BYTES + opening.length);
  const end = at + LENGTH_BYTES + length;
  Bun.SHA256.hash(into.subarray(at - HASH_BYTES, end), into.subarray(end, end + HASH_BYTES));
  return end + HASH_BYTES;
}

export type FrameReading =
  | { readonly kind: "frame"; readonly payload: Uint8Array; readonly end: number; readonly intact: boolean }
  /** The bytes end before the frame does. */
  | { readonly kind: "cut" }
  /** The length says two different things. */
  | { readonly kind: "bad-length" };

/** Reads the frame at `at`; the 32 bytes before it must be the hash that it follows. */
export function readFrame(bytes: Uint8Array, at: number): FrameReading {
  const [a, b, c, d] = bytes.subarray(at, at + LENGTH_BYTES);
  if (a === undefined || b === undefined || c === undefined || d === undefined) return { kind: "cut" };
  if ((a ^ c) !== 0xff || (b ^ d) !== 0xff) return { kind: "bad-length" };
  const end = at + LENGTH_BYTES + a * 256 + b;
  if (end + HASH_BYTES > bytes.length) return { kind: "cut" };
  const hash = Bun.SHA256.hash(bytes.subarray(at - HASH_BYTES, end)) as Uint8Array;
  const intact = Buffer.compare(hash, bytes.subarray(end, end + HASH_BYTES)) === 0;
  return { kind: "frame", payload: bytes.subarray(at + LENGTH_BYTES, end), end: end + HASH_BYTES, intact };
}

/** Skips whole frames without checking their hashes; the offset where the last one ends. */
export function skipFrames(bytes: Uint8Array): { readonly lastStart: number | undefined; readonly end: number } {
  let at = HEADER_BYTES;
  let lastStart: number | undefined;
  for (;;) {
    const [a, b, c, d] = bytes.subarray(at, at + LENGTH_BYTES);
    if (a === undefined || b === undefined || c === undefined || d === undefined) break;
    const end = at + FRAME_OVERHEAD_BYTES + a * 256 + b;
    if ((a ^ c) !== 0xff || (b ^ d) !== 0xff || end > bytes.length) break;
    lastStart = at;
    at = end;
  }
  return { lastStart, end: at };
}
