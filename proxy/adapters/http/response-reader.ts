// Parses responses from a byte stream, piece by piece, and reports them to a sink. Pure: no socket, no clock.
// It stops for good at the first byte that is not strict HTTP/1.1; it never throws on any bytes.

import type { ResponseHead } from "../../core/request/http-message.ts";
import { type BodyDecoder, ChunkDecoder, LengthDecoder, PayloadJoiner } from "./body.ts";
import { hasBareLineFeed } from "./header-fields.ts";
import { InputBuffer } from "./input-buffer.ts";
import { MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES } from "./limits.ts";
import type { MemoryAccount } from "./memory-budget.ts";
import { parseResponseHead } from "./response-head.ts";

export interface ResponseSink {
  /** An informational (1xx) head; a final one follows. */
  onInterim(head: ResponseHead): void;
  /** The final head. The answer says what onBody gets of a chunked body: the chunks as received, or the payload only. */
  onHead(head: ResponseHead): "as-received" | "payload-only";
  onBody(bytes: Buffer): void;
  /** @param reusable - the connection may carry another request */
  onComplete(reusable: boolean): void;
  onMalformed(detail: string): void;
}

const NO_ROOM = "no memory left for what the host sends";

export class ResponseReader {
  #sink: ResponseSink | undefined;
  #method = "";
  #head: ResponseHead | undefined;
  #decoder: BodyDecoder | undefined;
  #chunks: ChunkDecoder | undefined;
  #interimCount = 0;
  readonly #account: MemoryAccount | undefined;
  readonly #input: InputBuffer;
  readonly #joiner = new PayloadJoiner();
  /** Counted for what the decoder keeps. */
  #decoderBytes = 0;

  /** @param account - where what is kept is counted; without room there the response is malformed */
  constructor(account?: MemoryAccount) {
    this.#account = account;
    this.#input = new InputBuffer(account);
  }

  /** Expects one response, to a request with this method. */
  begin(method: string, sink: ResponseSink): void {
    this.#sink = sink;
    this.#method = method;
    this.#head = undefined;
    this.#decoder = undefined;
    this.#chunks = undefined;
    this.#interimCount = 0;
  }

  /** Drops the response; further input is ignored. */
  abandon(): void {
    this.#sink = undefined;
    this.#input.clear();
    this.#account?.resize(this.#decoderBytes, 0);
    this.#decoderBytes = 0;
  }

  feed(bytes: Buffer): void {
    if (this.#sink === undefined) return;
    if (this.#head === undefined) {
      if (this.#input.append(bytes)) this.#readHeads();
      else this.#fail(NO_ROOM);
      return;
    }
    this.#readBody(this.#head, bytes, 0, bytes.length);
  }

  /** The stream ended cleanly. True when that ends the response, too. */
  end(): boolean {
    const untilClose = this.#head !== undefined && this.#head.framing.kind === "until-close";
    if (untilClose) this.#complete(false);
    return untilClose;
  }

  #readHeads(): void {
    const input = this.#input;
    while (this.#sink !== undefined && this.#head === undefined) {
      const found = input.bytes.indexOf("\r\n\r\n", input.start, "latin1");
      const complete = found >= 0 && found + 4 <= input.end;
      if ((complete ? found - input.start : input.length) > MAX_HEAD_BYTES) {
        this.#fail("the response head is too long");
        return;
      }
      if (!complete) {
        this.#checkBeginning();
        return;
      }
      const head = parseResponseHead(input.bytes.toString("latin1", input.start, found + 2), this.#method);
      input.consumeTo(found + 4);
      if (!head.ok) {
        this.#fail(head.error);
        return;
      }
      if (head.value.status < 200) {
        if (++this.#interimCount > MAX_INTERIM_RESPONSES) {
          this.#fail("too many informational responses");
          return;
        }
        this.#sink.onInterim(head.value);
      } else {
        this.#startBody(head.value);
      }
    }
  }

  /** Distinguishes bytes that can never become a response from a head that is still arriving. */
  #checkBeginning(): void {
    const { bytes, start, end } = this.#input;
    const prefix = bytes.toString("latin1", start, Math.min(end, start + 7));
    if (!"HTTP/1.".startsWith(prefix)) this.#fail("not an HTTP/1 response");
    else if (hasBareLineFeed(bytes, start, end)) this.#fail("a line ends in a bare LF");
  }

  #startBody(head: ResponseHead): void {
    this.#head = head;
    const wanted = this.#sink?.onHead(head);
    if (this.#sink === undefined) return;
    const { framing } = head;
    if (framing.kind === "none") {
      this.#complete(head.keepAlive && this.#input.length === 0);
      return;
    }
    if (framing.kind === "length") this.#decoder = new LengthDecoder(framing.lengthBytes);
    if (framing.kind === "chunked") {
      this.#decoder = new ChunkDecoder("allow-trailers");
      if (wanted === "as-received") this.#chunks = this.#decoder as ChunkDecoder;
    }
    const { bytes, start, end } = this.#input;
    this.#input.clear();
    if (end > start) this.#readBody(head, bytes, start, end);
  }

  #readBody(head: ResponseHead, bytes: Buffer, from: number, to: number): void {
    const decoder = this.#decoder;
    if (decoder === undefined) {
      this.#pass(bytes, from, to);
      return;
    }
    const next = decoder.feed(bytes, from, to, this.#chunks === undefined ? this.#joiner : undefined);
    if (this.#chunks === undefined) {
      const payload = this.#joiner.take();
      if (payload !== undefined) this.#sink?.onBody(payload);
    } else {
      if (this.#chunks.passableEnd > from) this.#pass(bytes, from, this.#chunks.passableEnd);
      if (this.#chunks.heldTail !== "") this.#sink?.onBody(Buffer.from(this.#chunks.heldTail, "latin1"));
    }
    const { heldBytes } = decoder;
    if (heldBytes !== this.#decoderBytes && this.#sink !== undefined) {
      if (this.#account?.resize(this.#decoderBytes, heldBytes) === false) {
        this.#fail(NO_ROOM);
        return;
      }
      this.#decoderBytes = heldBytes;
    }
    if (decoder.status === "malformed") this.#fail(decoder.detail);
    // More bytes than the response has were not requested, so they cannot be the next response.
    else if (decoder.status === "done") this.#complete(head.keepAlive && next === to);
  }

  #pass(bytes: Buffer, start: number, end: number): void {
    this.#sink?.onBody(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  }

  #complete(reusable: boolean): void {
    const sink = this.#sink;
    this.abandon();
    sink?.onComplete(reusable);
  }

  #fail(detail: string): void {
    const sink = this.#sink;
    this.abandon();
    sink?.onMalformed(detail);
  }
}
