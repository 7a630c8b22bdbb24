// Bytes received and not yet consumed, on one connection. Usually just the last piece, unchanged and not copied;
// pieces that must be joined grow one buffer in steps, so that a head sent byte by byte costs little. Counts what it keeps alive.

import type { MemoryAccount } from "./memory-budget.ts";

const EMPTY = Buffer.alloc(0);
const SMALLEST_GROWN_BYTES = 1024;
const LARGEST_STEP_BYTES = 16 * 1024;

export class InputBuffer {
  /** Unconsumed are `bytes[start, end)`. INVARIANT: bytes before `end` never change, so ranges of them may be kept. */
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;
  #owned = false;
  readonly #account: MemoryAccount | undefined;
  #heldBytes = 0;

  constructor(account?: MemoryAccount) {
    this.#account = account;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** False when there is no room for it: nothing was added. */
  append(piece: Buffer): boolean {
    const length = this.length;
    if (length === 0) {
      if (!this.#hold(piece.length)) return false;
      this.bytes = piece;
      this.start = 0;
      this.end = piece.length;
      this.#owned = false;
      return true;
    }
    if (!this.#owned || this.end + piece.length > this.bytes.length) {
      const wanted = length + piece.length;
      const size = Math.max(SMALLEST_GROWN_BYTES, wanted + Math.min(wanted, LARGEST_STEP_BYTES));
      if (!this.#hold(size)) return false;
      const grown = Buffer.allocUnsafeSlow(size);
      this.bytes.copy(grown, 0, this.start, this.end);
      this.bytes = grown;
      this.start = 0;
      this.end = length;
      this.#owned = true;
    }
    piece.copy(this.bytes, this.end);
    this.end += piece.length;
    return true;
  }

  #hold(bytes: number): boolean {
    if (this.#account?.resize(this.#heldBytes, bytes) === false) return false;
    this.#heldBytes = bytes;
    return true;
  }

  /** Marks everything before `index` as consumed. */
  consumeTo(index: number): void {
    this.start = index;
    if (index === this.end) this.clear();
  }

  clear(): void {
    this.bytes = EMPTY;
    this.start = 0;
    this.end = 0;
    this.#owned = false;
    this.#hold(0);
  }
}
