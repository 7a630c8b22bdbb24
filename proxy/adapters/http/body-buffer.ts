// Buffering of one request body, counted in its connection's memory, so that many half-sent bodies cannot exhaust it.
// What is counted is released exactly once.

import type { PayloadSink } from "./body.ts";
import type { MemoryAccount } from "./memory-budget.ts";

const SMALLEST_BYTES = 16 * 1024;
/** A body that can be no longer than this is given all its memory at once: growing would leave as much again for the garbage collector. */
const WHOLE_AT_ONCE_BYTES = 128 * 1024;
const EMPTY = Buffer.alloc(0);

/** One body being collected. Larger ones grow by doubling with what really arrives, never ahead of it by more than that. */
export class BodyBuffer implements PayloadSink {
  readonly limitBytes: number;
  /** Set once; what arrives afterwards is dropped. */
  failure: "too-large" | "busy" | undefined;
  readonly #account: MemoryAccount;
  #bytes: Buffer = EMPTY;
  #length = 0;
  #heldBytes = 0;
  #owned = false;

  constructor(account: MemoryAccount, limitBytes: number) {
    this.#account = account;
    this.limitBytes = limitBytes;
  }

  onPayload(bytes: Buffer, start: number, end: number): void {
    if (this.failure !== undefined) return;
    const length = this.#length + (end - start);
    if (length > this.limitBytes) {
      this.failure = "too-large";
      return;
    }
    if (this.#length === 0 && bytes.buffer.byteLength <= 2 * length + SMALLEST_BYTES) {
      // The first piece is often the whole body: keep it where it is, with all that it keeps alive.
      if (!this.#hold(bytes.buffer.byteLength)) return;
      this.#bytes = bytes.subarray(start, end);
      this.#length = length;
      return;
    }
    if (!this.#owned || length > this.#bytes.length) {
      const doubled = Math.max(length, this.#length * 2, SMALLEST_BYTES);
      // Beyond half of the limit the next step is the last one: so growing never needs more than one and a half times the limit.
      const whole = this.limitBytes <= WHOLE_AT_ONCE_BYTES || doubled > this.limitBytes / 2;
      const capacity = whole ? this.limitBytes : doubled;
      // Both are there until the copy is done.
      const heldBytes = this.#heldBytes;
      if (!this.#hold(heldBytes + capacity)) return;
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
      this.#owned = true;
      this.#hold(capacity);
    }
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length = length;
  }

  #hold(bytes: number): boolean {
    if (!this.#account.resize(this.#heldBytes, bytes)) {
      this.failure = "busy";
      return false;
    }
    this.#heldBytes = bytes;
    return true;
  }

  get payload(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives the memory back. May be called more than once. */
  release(): void {
    this.#account.resize(this.#heldBytes, 0);
    this.#heldBytes = 0;
    this.#bytes = EMPTY;
    this.#length = 0;
    this.failure ??= "busy";
  }
}
