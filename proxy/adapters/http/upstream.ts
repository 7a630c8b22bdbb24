// One connection to the host. It belongs to exactly one client connection: what the host ties to a connection is never
// shared between callers. Carries one request at a time, may be kept between them, and dies with its client.

import type { Peer } from "../../core/ports.ts";
import type { ResponseHead } from "../../core/request/http-message.ts";
import type { MemoryAccount } from "./memory-budget.ts";
import { ResponseReader, type ResponseSink } from "./response-reader.ts";
import type { Connect, ConnectAttempt, ConnectEvents, Stream } from "./socket.ts";

export interface UpstreamFailure {
  readonly cause: "unreachable" | "closed" | "bad-response";
  readonly detail: string;
}

export interface UpstreamEvents {
  onConnected(): void;
  /** Room to write again. */
  onUpstreamDrain(): void;
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead): "as-received" | "payload-only";
  onBody(bytes: Buffer): void;
  /** All that one piece of input brought has been reported. */
  onBatchEnd(): void;
  /** @param reusable - the connection may be kept for the next request */
  onComplete(reusable: boolean): void;
  /** The connection is gone; no event follows. */
  onFailure(failure: UpstreamFailure): void;
}

export class Upstream implements ConnectEvents, ResponseSink {
  readonly peer: Peer;
  closed = false;
  /** A byte of the current response has arrived. */
  answering = false;
  #stream: Stream | undefined;
  #attempt: ConnectAttempt | undefined;
  #events: UpstreamEvents | undefined;
  readonly #reader: ResponseReader;

  /** Starts to connect; `events` belongs to the first request. @param account - of the client connection it belongs to */
  constructor(peer: Peer, connect: Connect, events: UpstreamEvents, account: MemoryAccount) {
    this.peer = peer;
    this.#events = events;
    this.#reader = new ResponseReader(account);
    this.#attempt = connect(peer, this, account);
  }

  get flushedBytes(): number {
    return this.#stream?.flushedBytes ?? 0;
  }

  /** Bytes of requests that the host has not taken yet. */
  get queuedBytes(): number {
    return this.#stream?.queuedBytes ?? 0;
  }

  /** Announces a request; write() what it consists of afterwards. */
  begin(method: string, events: UpstreamEvents): void {
    this.#events = events;
    this.answering = false;
    this.#reader.begin(method, this);
  }

  /** @param counted - as in {@link Stream.write} */
  write(bytes: Uint8Array, counted = false): boolean {
    return this.#stream?.write(bytes, counted) ?? false;
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  /** Ends the connection and forgets its request, without an event. */
  discard(): void {
    this.#events = undefined;
    this.#reader.abandon();
    this.closed = true;
    this.#attempt?.cancel();
    this.#attempt = undefined;
    this.#stream?.reset();
  }

  #fail(cause: UpstreamFailure["cause"], detail: string): void {
    const events = this.#events;
    this.discard();
    events?.onFailure({ cause, detail });
  }

  // ---- from the stream ----

  onConnect(stream: Stream): void {
    this.#attempt = undefined;
    this.#stream = stream;
    this.#events?.onConnected();
  }

  onConnectFailed(detail: string): void {
    this.#fail("unreachable", detail);
  }

  onData(bytes: Buffer): void {
    // Unrequested bytes would be taken for the answer to the next request.
    if (this.#events === undefined) {
      this.discard();
      return;
    }
    this.answering = true;
    this.#reader.feed(bytes);
    this.#events?.onBatchEnd();
  }

  onDrain(): void {
    this.#events?.onUpstreamDrain();
  }

  onEnd(): void {
    if (!this.#reader.end()) this.#fail("closed", "the host closed the connection");
  }

  onClose(): void {
    this.#fail("closed", "the host reset the connection");
  }

  // ---- from the reader ----

  onInterim(head: ResponseHead): void {
    this.#events?.onInterim(head);
  }

  onHead(head: ResponseHead): "as-received" | "payload-only" {
    return this.#events?.onHead(head) ?? "as-received";
  }

  onBody(bytes: Buffer): void {
    this.#events?.onBody(bytes);
  }

  onComplete(reusable: boolean): void {
    const events = this.#events;
    this.#events = undefined;
    events?.onComplete(reusable);
  }

  onMalformed(detail: string): void {
    this.#fail("bad-response", detail);
  }
}
