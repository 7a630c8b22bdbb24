// Writes CBOR directly into one buffer, which the next record reuses: no intermediate values, no garbage. Supports only the
// kinds that records of the trail need; cbor-x reads the result.

/** The memory is used up: the caller makes the record shorter. */
export class OutOfRoom extends Error {}

const UNSIGNED = 0x00;
const BYTES = 0x40;
const TEXT = 0x60;
const ARRAY = 0x80;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
const FLOAT64 = 0xfb;
const MAX_HEAD_BYTES = 9;

export class CborWriter {
  readonly #memory: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: number) {
    this.#memory = Buffer.alloc(bytes);
    this.#view = new DataView(this.#memory.buffer, this.#memory.byteOffset, bytes);
  }

  begin(): void {
    this.#at = 0;
  }

  /** Valid until the next {@link begin}. */
  end(): Uint8Array {
    return this.#memory.subarray(0, this.#at);
  }

  array(length: number): void {
    this.#head(ARRAY, length);
  }

  /** A whole number from 0; beyond 32 bits as a float, as other writers do. */
  number(value: number): void {
    if (value <= 0xffff_ffff) {
      this.#head(UNSIGNED, value);
      return;
    }
    this.#need(MAX_HEAD_BYTES);
    this.#view.setUint8(this.#at, FLOAT64);
    this.#view.setFloat64(this.#at + 1, value, false);
    this.#at += MAX_HEAD_BYTES;
  }

  flag(value: boolean): void {
    this.#simple(value ? TRUE : FALSE);
  }

  none(): void {
    this.#simple(NULL);
  }

  bytes(value: Uint8Array): void {
    this.#head(BYTES, value.length);
    this.raw(value);
  }

  /** What is CBOR already. */
  raw(value: Uint8Array): void {
    this.#need(value.length);
    this.#memory.set(value, this.#at);
    this.#at += value.length;
  }

  text(value: string): void {
    const { length } = value;
    const start = this.#at;
    this.#head(TEXT, length);
    this.#need(length);
    const memory = this.#memory;
    let at = this.#at;
    for (let index = 0; index < length; index += 1) {
      const code = value.charCodeAt(index);
      if (code > 0x7f) {
        this.#at = start;
        this.#longText(value);
        return;
      }
      memory[at++] = code;
    }
    this.#at = at;
  }

  /** With characters of more than one byte. */
  #longText(value: string): void {
    const length = Buffer.byteLength(value, "utf8");
    this.#head(TEXT, length);
    this.#need(length);
    this.#at += this.#memory.write(value, this.#at, length, "utf8");
  }

  #head(kind: number, value: number): void {
    this.#need(MAX_HEAD_BYTES);
    const at = this.#at;
    if (value < 24) {
      this.#memory[at] = kind | value;
      this.#at = at + 1;
    } else if (value < 0x100) {
      this.#memory[at] = kind | 24;
      this.#memory[at + 1] = value;
      this.#at = at + 2;
    } else if (value < 0x1_0000) {
      this.#memory[at] = kind | 25;
      this.#view.setUint16(at + 1, value, false);
      this.#at = at + 3;
    } else {
      this.#memory[at] = kind | 26;
      this.#view.setUint32(at + 1, value, false);
      this.#at = at + 5;
    }
  }

  #simple(byte: number): void {
    this.#need(1);
    this.#memory[this.#at++] = byte;
  }

  #need(bytes: number): void {
    if (this.#at + bytes > this.#memory.length) throw new OutOfRoom();
  }
}
