// Where a message body ends: decoders for a declared length and for chunks, which get it piece by piece. Pure.
// They report payload as ranges of their input and never copy it; they never throw on any bytes.

import type { BodyFraming } from "../../core/request/http-message.ts";
import { parseFieldLines } from "./header-fields.ts";
import { MAX_CHUNK_EXTENSION_BYTES, MAX_CHUNK_EXTENSIONS_BYTES, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILER_BYTES } from "./limits.ts";

const EMPTY = Buffer.alloc(0);

export interface PayloadSink {
  /** Payload is `bytes[start, end)`, never empty. */
  onPayload(bytes: Buffer, start: number, end: number): void;
}

/** Joins the payload of one feed() call, so that bodies in tiny chunks cost no more than others: one range stays where it is, several are copied. */
export class PayloadJoiner implements PayloadSink {
  #bytes: Buffer = EMPTY;
  #length = 0;
  #copied = false;

  onPayload(bytes: Buffer, start: number, end: number): void {
    if (this.#length === 0) {
      this.#bytes = bytes.subarray(start, end);
      this.#length = end - start;
      return;
    }
    if (!this.#copied) {
      // All payload of one feed() call is at most as long as its input.
      const joined = Buffer.allocUnsafeSlow(bytes.length);
      this.#bytes.copy(joined);
      this.#bytes = joined;
      this.#copied = true;
    }
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length += end - start;
  }

  /** The payload since the last call; undefined when there was none. */
  take(): Buffer | undefined {
    if (this.#length === 0) return undefined;
    const payload = this.#bytes.subarray(0, this.#length);
    this.#bytes = EMPTY;
    this.#length = 0;
    this.#copied = false;
    return payload;
  }
}

export interface BodyDecoder {
  readonly status: "reading" | "done" | "malformed";
  /** What is malformed, in words. */
  readonly detail: string;
  /** Memory it keeps of its input. */
  readonly heldBytes: number;
  /** Reads `bytes[from, to)`; returns where it stopped: `to`, or the first byte after the body, or the malformed one. */
  feed(bytes: Buffer, from: number, to: number, sink: PayloadSink | undefined): number;
}

/** The decoder for a framing, or undefined when there is no body. Request trailers are refused. */
export function bodyDecoder(framing: BodyFraming): BodyDecoder | undefined {
  if (framing.kind === "none") return undefined;
  return framing.kind === "length" ? new LengthDecoder(framing.lengthBytes) : new ChunkDecoder("refuse-trailers");
}

export class LengthDecoder implements BodyDecoder {
  readonly detail = "";
  readonly heldBytes = 0;
  #leftBytes: number;

  constructor(lengthBytes: number) {
    this.#leftBytes = lengthBytes;
  }

  get status(): "reading" | "done" {
    return this.#leftBytes === 0 ? "done" : "reading";
  }

  feed(bytes: Buffer, from: number, to: number, sink: PayloadSink | undefined): number {
    const end = Math.min(to, from + this.#leftBytes);
    this.#leftBytes -= end - from;
    if (end > from) sink?.onPayload(bytes, from, end);
    return end;
  }
}

// States of the chunk decoder: what the next byte belongs to.
const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const PAYLOAD = 3;
const PAYLOAD_CR = 4;
const PAYLOAD_LF = 5;
const TRAILER_LINE_START = 6;
const TRAILER_LINE = 7;
const END_LF = 8;

const CR = 13;
const LF = 10;
const TAB = 9;
const SEMICOLON = 59;
const SMALLEST_TRAILER_BYTES = 256;
const MAX_TRAILER_FIELDS = 64;
/** Fields that would change framing, routing or access after the fact (RFC 9110 6.5.1). */
const NEVER_A_TRAILER = /^(?:content-length|transfer-encoding|host|connection|keep-alive|trailer|te|upgrade|set-cookie|authorization)$/i;
const FORBIDDEN_BYTE = /[^\t\r\n\x20-\x7e\x80-\xff]/;

export class ChunkDecoder implements BodyDecoder {
  status: "reading" | "done" | "malformed" = "reading";
  detail = "";
  /** After feed(): the input before this index may be passed on unchanged. A trailer section is held back until it is whole. */
  passableEnd = 0;
  /** When done: bytes that were held back in earlier feed() calls and belong after the passable ones, latin1. */
  heldTail = "";
  readonly #trailersAllowed: boolean;
  #state = SIZE;
  #sizeBytes = 0;
  #sizeDigits = 0;
  #extensionBytes = 0;
  #extensionsBytes = 0;
  /** As a buffer, not as text that grows: each step of that costs more than the byte. */
  #trailer: Buffer = EMPTY;
  #trailerLength = 0;

  constructor(trailers: "refuse-trailers" | "allow-trailers") {
    this.#trailersAllowed = trailers === "allow-trailers";
  }

  feed(bytes: Buffer, from: number, to: number, sink: PayloadSink | undefined): number {
    const heldBefore = this.#state >= TRAILER_LINE_START ? this.#heldText() : undefined;
    this.passableEnd = to;
    let trailerStart = from;
    let at = from;
    while (at < to && this.status === "reading") {
      if (this.#state === PAYLOAD) {
        const end = Math.min(to, at + this.#sizeBytes);
        sink?.onPayload(bytes, at, end);
        this.#sizeBytes -= end - at;
        at = end;
        if (this.#sizeBytes === 0) this.#state = PAYLOAD_CR;
        continue;
      }
      const wasInTrailer = this.#state >= TRAILER_LINE_START;
      if (!this.#step(bytes[at] as number)) break;
      at++;
      if (!wasInTrailer && this.#state === TRAILER_LINE_START) trailerStart = at;
    }
    if (this.status === "done") {
      this.heldTail = heldBefore === undefined ? "" : heldBefore + bytes.toString("latin1", from, at);
      this.passableEnd = heldBefore === undefined ? at : from;
    } else if (this.#state >= TRAILER_LINE_START) {
      this.passableEnd = trailerStart;
    } else {
      this.passableEnd = at;
    }
    return at;
  }

  get heldBytes(): number {
    return this.#trailer.length;
  }

  /** What of the trailer section has been taken in so far. */
  #heldText(): string {
    const text = this.#trailerText();
    return this.#state === END_LF ? `${text}\r` : text;
  }

  #trailerText(): string {
    return this.#trailer.toString("latin1", 0, this.#trailerLength);
  }

  #fail(detail: string): false {
    this.status = "malformed";
    this.detail = detail;
    return false;
  }

  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE:
        return this.#stepSize(byte);
      case EXTENSION:
        if (byte === CR) {
          this.#state = SIZE_LF;
          return true;
        }
        if (byte !== TAB && (byte < 0x20 || byte > 0x7e)) return this.#fail("a chunk extension holds a control byte");
        if (++this.#extensionBytes > MAX_CHUNK_EXTENSION_BYTES || ++this.#extensionsBytes > MAX_CHUNK_EXTENSIONS_BYTES) {
          return this.#fail("chunk extensions are too long");
        }
        return true;
      case SIZE_LF:
        if (byte !== LF) return this.#fail("a chunk size does not end in CR LF");
        this.#state = this.#sizeBytes > 0 ? PAYLOAD : TRAILER_LINE_START;
        return true;
      case PAYLOAD_CR:
        if (byte !== CR) return this.#fail("a chunk is longer than its size");
        this.#state = PAYLOAD_LF;
        return true;
      case PAYLOAD_LF:
        if (byte !== LF) return this.#fail("a chunk does not end in CR LF");
        this.#state = SIZE;
        this.#sizeDigits = 0;
        this.#extensionBytes = 0;
        return true;
      default:
        return this.#stepTrailer(byte);
    }
  }

  #stepSize(byte: number): boolean {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#sizeDigits > MAX_CHUNK_SIZE_DIGITS) return this.#fail("a chunk size has too many digits");
      this.#sizeBytes = this.#sizeBytes * 16 + digit;
      return true;
    }
    if (this.#sizeDigits === 0) return this.#fail("a chunk size is missing");
    if (byte === CR) this.#state = SIZE_LF;
    else if (byte === SEMICOLON) this.#state = EXTENSION;
    else return this.#fail("a chunk size is not a hexadecimal number");
    return true;
  }

  #stepTrailer(byte: number): boolean {
    if (this.#state === END_LF) {
      if (byte !== LF) return this.#fail("the last chunk does not end in CR LF");
      return this.#finish();
    }
    if (this.#state === TRAILER_LINE_START && byte === CR) {
      this.#state = END_LF;
      return true;
    }
    if (!this.#trailersAllowed) return this.#fail("a trailer section");
    if (this.#trailerLength >= MAX_TRAILER_BYTES) return this.#fail("the trailer section is too long");
    if (this.#trailerLength === this.#trailer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(SMALLEST_TRAILER_BYTES, this.#trailer.length * 2));
      this.#trailer.copy(grown);
      this.#trailer = grown;
    }
    this.#trailer[this.#trailerLength++] = byte;
    this.#state = byte === LF ? TRAILER_LINE_START : TRAILER_LINE;
    return true;
  }

  #finish(): boolean {
    if (this.#trailerLength > 0) {
      const text = this.#trailerText();
      const fields = parseFieldLines(text, 0, MAX_TRAILER_FIELDS);
      if (!fields.ok || FORBIDDEN_BYTE.test(text)) return this.#fail("the trailer section is malformed");
      if (fields.value.some(([name]) => NEVER_A_TRAILER.test(name))) return this.#fail("a trailer that must not be one");
    }
    this.status = "done";
    return true;
  }
}

/** The digit's value, or -1 when the byte is none. */
function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
