// The linear memory of a component's instance as the host reads and writes it. Every pointer, length and text that comes from the
// guest is checked before it is used: what does not fit is thrown as a GuestFault, which component-instance.ts turns into a value.

/** The guest broke the canonical ABI, or answered what its world does not allow. Never leaves component-instance.ts. */
export class GuestFault extends Error {}

export type Realloc = (old: number, oldBytes: number, align: number, bytes: number) => unknown;
export type TextEncoding = "utf8" | "utf16";

/** Longer texts are written by the engine's own encoder: a call into it costs as much as a loop over this many characters. */
const SHORT_TEXT = 48;
const NOTHING = new Uint8Array(0);
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const UTF8_ENCODER = new TextEncoder();
const NON_ASCII = /[^\x00-\x7f]/;

export class GuestMemory {
  readonly #memory: WebAssembly.Memory;
  readonly #realloc: Realloc;
  readonly #encoding: TextEncoding;
  #buffer: ArrayBuffer | undefined;
  #bytes: Uint8Array = NOTHING;
  #words: Uint32Array = new Uint32Array(0);
  #longs: BigUint64Array = new BigUint64Array(0);

  constructor(memory: WebAssembly.Memory, realloc: Realloc, encoding: TextEncoding) {
    this.#memory = memory;
    this.#realloc = realloc;
    this.#encoding = encoding;
  }

  /** Before each call and after each: growing a memory leaves the views of it empty. */
  refresh(): void {
    const { buffer } = this.#memory;
    if (buffer === this.#buffer && this.#bytes.length !== 0) return;
    this.#buffer = buffer;
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#longs = new BigUint64Array(buffer);
  }

  get byteLength(): number {
    return this.#memory.buffer.byteLength;
  }

  // ---- writing: only into what the guest's own allocator gave ------------------------------------------------------

  allocate(align: number, bytes: number): number {
    const found = this.#realloc(0, 0, align, bytes);
    // INVARIANT: what was allocated lies within the views; the writers below do not check again.
    if (this.#bytes.length === 0) this.refresh();
    if (typeof found !== "number") throw new GuestFault("its allocator answers no pointer");
    const pointer = found >>> 0;
    if ((pointer & (align - 1)) !== 0) throw new GuestFault(`its allocator answers ${pointer}, which is not a multiple of ${align}`);
    if (pointer + bytes > this.#bytes.length) {
      this.refresh();
      if (pointer + bytes > this.#bytes.length) throw new GuestFault(`its allocator answers ${pointer}, outside its memory`);
    }
    return pointer;
  }

  writeByte(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  writeWord(at: number, value: number): void {
    this.#words[at >>> 2] = value;
  }

  writeLong(at: number, value: bigint): void {
    this.#longs[at >>> 3] = value;
  }

  /** A number of whole seconds and the like: at most 2^53. */
  writeWholeNumber(at: number, value: number): void {
    this.#words[at >>> 2] = value >>> 0;
    this.#words[(at >>> 2) + 1] = value / 2 ** 32;
  }

  /** Copies bytes into fresh memory; returns where. */
  writeBytes(content: Uint8Array): number {
    const pointer = this.allocate(1, content.length);
    this.#bytes.set(content, pointer);
    return pointer;
  }

  /** A text, as pointer and length at `at`. */
  writeText(at: number, text: string): void {
    if (this.#encoding === "utf16") {
      this.#writeUtf16(at, text);
      return;
    }
    const { length } = text;
    if (length > SHORT_TEXT ? NON_ASCII.test(text) : !isAscii(text)) {
      const encoded = UTF8_ENCODER.encode(text);
      const pointer = this.writeBytes(encoded);
      this.#words[at >>> 2] = pointer;
      this.#words[(at >>> 2) + 1] = encoded.length;
      return;
    }
    const pointer = this.allocate(1, length);
    const bytes = this.#bytes;
    if (length > SHORT_TEXT) UTF8_ENCODER.encodeInto(text, bytes.subarray(pointer, pointer + length));
    else for (let i = 0; i < length; i++) bytes[pointer + i] = text.charCodeAt(i);
    this.#words[at >>> 2] = pointer;
    this.#words[(at >>> 2) + 1] = length;
  }

  #writeUtf16(at: number, raw: string): void {
    const text = raw.isWellFormed() ? raw : raw.toWellFormed();
    const pointer = this.allocate(2, 2 * text.length);
    const units = new Uint16Array(this.#bytes.buffer, pointer, text.length);
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    this.#words[at >>> 2] = pointer;
    this.#words[(at >>> 2) + 1] = text.length;
  }

  /** `option<string>` at `at`: a flag, then the text. */
  writeOptionalText(at: number, text: string | undefined): void {
    this.#bytes[at] = text === undefined ? 0 : 1;
    if (text !== undefined) this.writeText(at + 4, text);
  }

  // ---- reading: nothing before it was checked ----------------------------------------------------------------------

  /** A pointer to a record of so many bytes, aligned to words. */
  checkRecord(pointer: unknown, bytes: number): number {
    if (typeof pointer !== "number") throw new GuestFault("it answers no pointer");
    const at = pointer >>> 0;
    if ((at & 3) !== 0) throw new GuestFault(`it answers at ${at}, which is not a multiple of 4`);
    if (at + bytes > this.#bytes.length) throw new GuestFault(`it answers at ${at}, outside its memory`);
    return at;
  }

  readByte(at: number): number {
    return this.#bytes[at] ?? 0;
  }

  readWord(at: number): number {
    return this.#words[at >>> 2] ?? 0;
  }

  /**
   * The text whose pointer and length stand at `at`.
   * @param maxBytes - of its UTF-8; a longer one is a fault, found before anything of it is read
   */
  readText(at: number, maxBytes: number, what: string): string {
    const pointer = this.readWord(at);
    const length = this.readWord(at + 4);
    const wide = this.#encoding === "utf16";
    const bytes = wide ? 2 * length : length;
    if (pointer + bytes > this.#bytes.length)
      throw new GuestFault(`${what}: found a text of ${bytes} bytes at ${pointer}, outside its memory`);
    if (wide && (pointer & 1) !== 0) throw new GuestFault(`${what}: found a UTF-16 text at ${pointer}, want an even address`);
    if (length > maxBytes)
      throw new GuestFault(`${what}: found ${length} ${wide ? "code units" : "bytes"}, want at most ${maxBytes} bytes`);
    if (length === 0) return "";
    return wide ? this.#readUtf16(pointer, length, maxBytes, what) : this.#readUtf8(pointer, length, what);
  }

  #readUtf8(pointer: number, length: number, what: string): string {
    const bytes = this.#bytes;
    const end = pointer + length;
    let seen = 0;
    for (let i = pointer; i < end; i++) seen |= bytes[i] ?? 0;
    if (seen < 0x80 && length <= SHORT_TEXT) return asciiText(bytes, pointer, end);
    try {
      return UTF8.decode(bytes.subarray(pointer, end));
    } catch {
      throw new GuestFault(`${what}: found bytes that are not UTF-8`);
    }
  }

  #readUtf16(pointer: number, length: number, maxBytes: number, what: string): string {
    const units = new Uint16Array(this.#bytes.buffer, pointer, length);
    let text = "";
    for (const unit of units) text += String.fromCharCode(unit);
    if (!text.isWellFormed()) throw new GuestFault(`${what}: found half of a surrogate pair`);
    const bytes = Buffer.byteLength(text);
    if (bytes > maxBytes) throw new GuestFault(`${what}: found ${bytes} bytes, want at most ${maxBytes}`);
    return text;
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false;
  return true;
}

function asciiText(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] ?? 0);
  return text;
}
