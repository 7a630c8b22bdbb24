// Checks CBOR before a decoder reads it: one item, whole, nothing behind it, shallow, and no lengths beyond the bytes that are there.
// Bytes of a trail are untrusted; after this check decoding takes no more time and memory than they are long.

const MAX_DEPTH = 6;

/** True for exactly one well-formed item without tags, indefinite lengths and reserved values. */
export function isWellFormedCbor(bytes: Uint8Array): boolean {
  return itemEnd(bytes, 0, 0) === bytes.length;
}

/** Offset behind the item; -1 when it is not well formed. */
function itemEnd(bytes: Uint8Array, from: number, depth: number): number {
  const head = bytes[from];
  if (head === undefined || depth > MAX_DEPTH) return -1;
  const major = head >> 5;
  const info = head & 0x1f;
  if (info > 27) return -1;
  const headBytes = info < 24 ? 1 : 1 + 2 ** (info - 24);
  if (from + headBytes > bytes.length) return -1;
  let at = from + headBytes;
  switch (major) {
    case 0:
    case 1:
      return at;
    case 7:
      // false, true, null, undefined, and floating point numbers.
      return (info >= 20 && info <= 23) || info >= 25 ? at : -1;
    case 2:
    case 3: {
      const length = argument(bytes, from, info);
      return length <= bytes.length - at ? at + length : -1;
    }
    case 4: {
      // Each item takes at least a byte.
      const count = argument(bytes, from, info);
      if (count > bytes.length - at) return -1;
      for (let item = 0; item < count && at >= 0; item++) at = itemEnd(bytes, at, depth + 1);
      return at;
    }
    default:
      return -1;
  }
}

function argument(bytes: Uint8Array, from: number, info: number): number {
  if (info < 24) return info;
  let value = 0;
  for (let index = 0; index < 2 ** (info - 24); index++) value = value * 256 + (bytes[from + 1 + index] ?? 0);
  return value;
}
