// Bytes that wait to be written, on one stream (backpressure). Small writes are joined into blocks, so that memory use
// is a small multiple of what was written, whatever the size of the pieces. Counts all of it.

import type { MemoryAccount } from "./memory-budget.ts";

/** Shorter pieces are copied into a block; longer ones stay where they are, unless that keeps much more alive than themselves. */
const KEPT_PIECE_BYTES = 8 * 1024;
const SMALLEST_BLOCK_BYTES = 1024;
const LARGEST_BLOCK_BYTES = 16 * 1024;

interface Part {
  /** What is still to be sent. */
  bytes: Uint8Array;
  /** Memory that goes when this part goes. */
  readonly heldBytes: number;
  /** A block of ours: its whole memory, and where it is filled up to. */
  readonly block: Buffer | undefined;
  start: number;
  end: number;
}

export class OutputQueue {
  /** Bytes that wait. */
  length = 0;
  readonly #account: MemoryAccount | undefined;
  #parts: Part[] = [];
  #heldBytes = 0;

  constructor(account: MemoryAccount | undefined) {
    this.#account = account;
  }

  /** Memory that the queue keeps alive and counts. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * @param counted - the memory of `bytes` is counted elsewhere for as long as it waits here
   * @returns false when there is no room for it: the queue lacks these bytes and is of no use any more
   */
  push(bytes: Uint8Array, counted: boolean): boolean {
    if (counted) return this.#add(bytes, 0, undefined);
    const backingBytes = bytes.buffer.byteLength;
    if (bytes.length >= KEPT_PIECE_BYTES && backingBytes <= 2 * bytes.length) return this.#add(bytes, backingBytes, undefined);
    let from = this.#fillLast(bytes);
    while (from < bytes.length) {
      // As large as what waits already: a short rest costs little, a long drip few blocks.
      const size = Math.min(Math.max(this.length, bytes.length - from, SMALLEST_BLOCK_BYTES), LARGEST_BLOCK_BYTES);
      const taken = Math.min(size, bytes.length - from);
      if (!this.#grow(size)) return false;
      const block = Buffer.allocUnsafeSlow(size);
      block.set(bytes.subarray(from, from + taken));
      this.#parts.push({ bytes: block.subarray(0, taken), heldBytes: size, block, start: 0, end: taken });
      this.length += taken;
      from += taken;
    }
    return true;
  }

  #add(bytes: Uint8Array, heldBytes: number, block: Buffer | undefined): boolean {
    if (!this.#grow(heldBytes)) return false;
    this.#parts.push({ bytes, heldBytes, block, start: 0, end: bytes.length });
    this.length += bytes.length;
    return true;
  }

  /** Copies as much as the last block has room for; returns how much that was. */
  #fillLast(bytes: Uint8Array): number {
    const last = this.#parts.at(-1);
    if (last?.block === undefined) return 0;
    const taken = Math.min(last.block.length - last.end, bytes.length);
    if (taken === 0) return 0;
    last.block.set(bytes.subarray(0, taken), last.end);
    last.end += taken;
    last.bytes = last.block.subarray(last.start, last.end);
    this.length += taken;
    return taken;
  }

  #grow(bytes: number): boolean {
    if (this.#account?.resize(this.#heldBytes, this.#heldBytes + bytes) === false) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** The bytes to send next; undefined when nothing waits. */
  get first(): Uint8Array | undefined {
    return this.#parts[0]?.bytes;
  }

  /** The first `bytes` of {@link first} were taken. */
  drop(bytes: number): void {
    const first = this.#parts[0];
    if (first === undefined) return;
    this.length -= bytes;
    first.start += bytes;
    if (bytes < first.bytes.length) {
      first.bytes = first.bytes.subarray(bytes);
      return;
    }
    this.#parts.shift();
    this.#shrink(first.heldBytes);
  }

  clear(): void {
    this.#parts = [];
    this.length = 0;
    this.#shrink(this.#heldBytes);
  }

  #shrink(bytes: number): void {
    this.#account?.resize(this.#heldBytes, this.#heldBytes - bytes);
    this.#heldBytes -= bytes;
  }
}
