// Decisions that wait to be written, already encoded: bytes in sequence in one buffer, so that a decision leaves no
// objects that live until it is on disk. Bounded in number and bytes.

export class DecisionQueue {
  readonly #memory: Buffer;
  readonly #lengths: Uint32Array;
  readonly #max: number;
  /** Of the oldest one: its bytes, and its place among the lengths, which are used in a circle. */
  #from = 0;
  #oldest = 0;
  #to = 0;
  #count = 0;

  constructor(maxDecisions: number, bytes: number) {
    // Pages that nothing was ever written to cost nothing.
    this.#memory = Buffer.allocUnsafeSlow(bytes);
    this.#lengths = new Uint32Array(maxDecisions);
    this.#max = maxDecisions;
  }

  get length(): number {
    return this.#count;
  }

  /** False when there is no room; then nothing changed. */
  push(body: Uint8Array): boolean {
    const { length } = body;
    if (this.#count >= this.#max) return false;
    if (this.#to + length > this.#memory.length && !this.#moveToFront(length)) return false;
    this.#memory.set(body, this.#to);
    this.#to += length;
    this.#lengths[(this.#oldest + this.#count) % this.#max] = length;
    this.#count++;
    return true;
  }

  /** The oldest one, in memory that the next push may use again; undefined when there is none. */
  take(): Uint8Array | undefined {
    if (this.#count === 0) return undefined;
    const end = this.#from + (this.#lengths[this.#oldest] ?? 0);
    const body = this.#memory.subarray(this.#from, end);
    this.#oldest = (this.#oldest + 1) % this.#max;
    this.#count--;
    this.#from = this.#count === 0 ? 0 : end;
    if (this.#count === 0) this.#to = 0;
    return body;
  }

  #moveToFront(length: number): boolean {
    if (this.#to - this.#from + length > this.#memory.length) return false;
    this.#memory.copyWithin(0, this.#from, this.#to);
    this.#to -= this.#from;
    this.#from = 0;
    return true;
  }
}
