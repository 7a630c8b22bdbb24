// Buffering of request bodies under one budget for all connections, so that many half-sent bodies cannot fill the memory.
// What is taken from the budget is given back exactly once.

import type { PayloadSink } from "./body.ts";

const SMALLEST_BYTES = 16 * 1024;
const EMPTY = Buffer.alloc(0);

/** The memory that all buffered bodies share, in bytes. */
export class BodyBudget {
  readonly #limitBytes: number;
  #takenBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#limitBytes) return false;
    this.#takenBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}

/** One body being collected. Grows by doubling with what really arrives, never ahead of it by more than that. */
export class BodyBuffer implements PayloadSink {
  readonly limitBytes: number;
  /** Set once; what arrives afterwards is dropped. */
  failure: "too-large" | "busy" | undefined;
  readonly #budget: BodyBudget;
  #bytes: Buffer = EMPTY;
  #length = 0;
  #takenBytes = 0;
  #owned = false;

  constructor(budget: BodyBudget, limitBytes: number) {
    this.#budget = budget;
    this.limitBytes = limitBytes;
  }

  onPayload(bytes: Buffer, start: number, end: number): void {
    if (this.failure !== undefined) return;
    const length = this.#length + (end - start);
    if (length > this.limitBytes) {
      this.failure = "too-large";
      return;
    }
    if (this.#length === 0) {
      // The first piece is often the whole body: keep it where it is.
      if (!this.#reserve(end - start)) return;
      this.#bytes = bytes.subarray(start, end);
      this.#length = length;
      return;
    }
    if (!this.#owned || length > this.#bytes.length) {
      const capacity = Math.min(Math.max(length, this.#length * 2, SMALLEST_BYTES), this.limitBytes);
      if (!this.#reserve(capacity)) return;
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
      this.#owned = true;
    }
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length = length;
  }

  #reserve(capacity: number): boolean {
    const more = Math.max(0, capacity - this.#takenBytes);
    if (!this.#budget.take(more)) {
      this.failure = "busy";
      return false;
    }
    this.#takenBytes += more;
    return true;
  }

  get payload(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives the memory back to the budget. May be called more than once. */
  release(): void {
    this.#budget.give(this.#takenBytes);
    this.#takenBytes = 0;
    this.#bytes = EMPTY;
    this.#length = 0;
    this.failure ??= "busy";
  }
}
