// Bytes received and not yet consumed, on one connection. Usually just the last piece, unchanged and not copied;
// pieces that must be joined grow one buffer by doubling, so that a head sent byte by byte costs linear work.

const EMPTY = Buffer.alloc(0);
const SMALLEST_GROWN_BYTES = 1024;

export class InputBuffer {
  /** Unconsumed are `bytes[start, end)`. INVARIANT: bytes before `end` never change, so ranges of them may be kept. */
  bytes: Buffer = EMPTY;
  start = 0;
  end = 0;
  #owned = false;

  get length(): number {
    return this.end - this.start;
  }

  append(piece: Buffer): void {
    const length = this.length;
    if (length === 0) {
      this.bytes = piece;
      this.start = 0;
      this.end = piece.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.end + piece.length > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(SMALLEST_GROWN_BYTES, (length + piece.length) * 2));
      this.bytes.copy(grown, 0, this.start, this.end);
      this.bytes = grown;
      this.start = 0;
      this.end = length;
      this.#owned = true;
    }
    piece.copy(this.bytes, this.end);
    this.end += piece.length;
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
  }
}
