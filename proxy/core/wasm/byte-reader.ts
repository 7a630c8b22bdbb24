// Reads a WebAssembly binary strictly: every number in a legal length, every text UTF-8, nothing past the end of the part that is
// being read. All positions are offsets in the whole file, so that each refusal can name one.

import { hex, refuse } from "./refuse.ts";

const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ByteReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  byte(): number {
    const byte = this.position < this.end ? this.bytes[this.position] : undefined;
    if (byte === undefined) return refuse("malformed", this.position, "it is cut off, want a further byte");
    this.position++;
    return byte;
  }

  /** Unsigned LEB128 of at most five bytes and 32 bits. */
  u32(): number {
    const first = this.position < this.end ? (this.bytes[this.position] ?? 0x80) : 0x80;
    if (first < 0x80) {
      this.position++;
      return first;
    }
    return this.#longU32();
  }

  #longU32(): number {
    const start = this.position;
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.byte();
      if (i === 4 && byte > 0x0f) return refuse("malformed", start, "a number is overlong or above 32 bits");
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value >>> 0;
    }
    return refuse("malformed", start, "a number is overlong");
  }

  /** Signed LEB128 of 32 bits. */
  s32(): number {
    return Number(this.#signed(32));
  }

  /** Signed LEB128 of 33 bits: block types. */
  s33(): number {
    return Number(this.#signed(33));
  }

  /** Passes over a signed LEB128; its length and last byte are checked. */
  skipSigned(bits: 32 | 64): void {
    const start = this.position;
    const maxBytes = bits === 32 ? 5 : 10;
    for (let i = 0; i < maxBytes; i++) {
      const byte = this.byte();
      if (byte < 0x80) {
        if (i === maxBytes - 1) checkLastByte(byte, bits, start);
        return;
      }
    }
    refuse("malformed", start, "a number is overlong");
  }

  #signed(bits: 32 | 33): bigint {
    const start = this.position;
    let value = 0n;
    for (let i = 0; i < 5; i++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) {
        if (i === 4) checkLastByte(byte, bits, start);
        return BigInt.asIntN(Math.min(7 * (i + 1), 64), value);
      }
    }
    return refuse("malformed", start, "a number is overlong");
  }

  skip(count: number): void {
    if (this.end - this.position < count) refuse("malformed", this.position, `it is cut off, want ${count} further bytes`);
    this.position += count;
  }

  /** A text with its length in front. */
  text(maxBytes: number): string {
    const start = this.position;
    const length = this.u32();
    if (length > maxBytes) refuse("limit", start, `a name has ${length} bytes, want at most ${maxBytes}`);
    const from = this.position;
    this.skip(length);
    try {
      return TEXT.decode(this.bytes.subarray(from, this.position));
    } catch {
      return refuse("malformed", from, "a name is not UTF-8");
    }
  }

  /** How many entries follow; each takes a byte at least, so more than there are bytes cannot be true. */
  count(what: string, most: number): number {
    const start = this.position;
    const count = this.u32();
    if (count > most) refuse("limit", start, `it has ${count} ${what}, want at most ${most}`);
    if (count > this.end - this.position) refuse("malformed", start, `it is cut off, want ${count} ${what}`);
    return count;
  }

  /** The next `length` bytes as they are. */
  rest(length: number): Uint8Array {
    const start = this.position;
    this.skip(length);
    return this.bytes.subarray(start, this.position);
  }

  /** The next `length` bytes, to be read by themselves. */
  part(length: number): ByteReader {
    const start = this.position;
    this.skip(length);
    return new ByteReader(this.bytes, start, this.position);
  }

  /** INVARIANT: called at the end of every part, so that no byte of a file is left unread. */
  finish(what: string): void {
    if (this.position !== this.end) {
      refuse("malformed", this.position, `${what} has ${this.end - this.position} bytes more than its entries`);
    }
  }

  expect(wanted: number, what: string): void {
    const start = this.position;
    const found = this.byte();
    if (found !== wanted) refuse("malformed", start, `found byte ${hex(found)}, want ${hex(wanted)} (${what})`);
  }
}

/** Bits beyond the number's width must all be copies of its sign. */
function checkLastByte(byte: number, bits: 32 | 33 | 64, start: number): void {
  const used = bits % 7; // payload bits of the last byte: 4, 5 or 1
  const sign = (byte >> (used - 1)) & 1;
  const above = (byte & 0x7f) >> used;
  if (above !== (sign === 1 ? 0x7f >> used : 0)) refuse("malformed", start, `a number does not fit ${bits} bits`);
}
