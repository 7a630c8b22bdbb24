// One client connection: reads request heads, runs one request at a time in the order received, closes cleanly.
// Owns the phase and the deadline. A bug met here ends this connection and no other.

import type { Admission, Peer } from "../../core/ports.ts";
import type { ClientLink, EngineContext } from "./context.ts";
import { ClientExchange } from "./exchange.ts";
import { headCost } from "./header-fields.ts";
import { InputBuffer } from "./input-buffer.ts";
import { MAX_READ_AHEAD_BYTES } from "./limits.ts";
import { bareReply, renderLocalReply } from "./local-reply.ts";
import { MemoryAccount } from "./memory-budget.ts";
import { parseRequestHead, scanRequestHead } from "./request-head.ts";
import type { Stream, StreamEvents } from "./socket.ts";
import type { Upstream } from "./upstream.ts";

type Phase =
  /** Between requests, or a head is arriving. */
  | "head"
  /** A request is with the handler. */
  | "request"
  /** Answered; the handler has not returned yet. */
  | "settling"
  /** Our last byte and FIN are on their way; input is discarded so that no reset overtakes them. */
  | "lingering"
  | "closed";

const NO_ROOM = "no memory left for this user's connections";

export type Admitted = Extract<Admission, { kind: "admit" }>;

export class ClientConnection implements StreamEvents, ClientLink {
  readonly context: EngineContext;
  readonly stream: Stream;
  readonly peer: Peer;
  readonly account: MemoryAccount;
  readonly input: InputBuffer;
  inputEnded = false;
  upstream: Upstream | undefined;
  upstreamIdleSinceMs = 0;
  readonly #admitted: Admitted;
  readonly #onGone: (connection: ClientConnection) => void;
  #phase: Phase = "head";
  #deadlineMs: number;
  #headStarted = false;
  #served = false;
  #exchange: ClientExchange | undefined;
  #handlerReturned = true;
  #discardedBytes = 0;
  /** Counted for the head of the request in progress. */
  #headBytes = 0;

  /** @param admitted - what to do with its requests */
  constructor(context: EngineContext, stream: Stream, peer: Peer, admitted: Admitted, onGone: (connection: ClientConnection) => void) {
    this.context = context;
    this.stream = stream;
    this.peer = peer;
    this.#admitted = admitted;
    this.#onGone = onGone;
    this.account = new MemoryAccount(context.budget, admitted.owner, this.#onEvicted);
    this.input = new InputBuffer(this.account);
    stream.account = this.account;
    this.#deadlineMs = context.nowMs + context.limits.idleMs;
  }

  /** Nothing of ours is under way: it waits for its client to send a request, the rest of one, or to read an answer. */
  get yields(): boolean {
    return this.#phase === "head" || this.#phase === "lingering" || this.#exchange?.waitsForClient === true;
  }

  /** Closes at once, to make room. */
  evict(): void {
    if (this.#phase === "head" && this.input.length === 0) this.stream.close();
    else this.stream.reset();
  }

  /** Closes now if no request is in progress. @param fresh - also one that has not sent its first request yet */
  closeIfIdle(fresh: boolean): void {
    if (this.#phase === "head" && this.input.length === 0 && (fresh || this.#served)) this.stream.close();
  }

  // ---- for the request ----

  arm(limitMs: number): void {
    this.#deadlineMs = this.context.nowMs + limitMs;
  }

  finish(keep: boolean): void {
    if (this.#phase !== "request") return;
    if (!keep) {
      this.#linger();
      return;
    }
    this.#phase = "settling";
    this.arm(this.context.limits.handlerMs);
    if (this.#handlerReturned) this.#nextRequest();
  }

  abort(): void {
    this.stream.reset();
  }

  // ---- from the stream ----

  onData(bytes: Buffer): void {
    if (this.#phase === "lingering") {
      this.#discardedBytes += bytes.length;
      if (this.#discardedBytes > this.context.limits.lingerBytes) this.stream.close();
      return;
    }
    if (this.#phase === "closed") return;
    if (!this.input.append(bytes)) {
      this.account.evict();
      return;
    }
    if (this.#phase === "head") this.#readHead();
    else this.#takeInput();
  }

  onDrain(): void {
    this.#exchange?.onClientDrain();
  }

  onEnd(): void {
    this.inputEnded = true;
    if (this.#phase === "head") this.#readHead();
    else if (this.#phase === "request") this.#exchange?.onInput();
    else if (this.#phase === "lingering" && this.stream.queuedBytes === 0) this.stream.close();
  }

  onClose(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.input.clear();
    this.account.close();
    // Unregistered first: whatever fails below, the connection is no longer counted and its owner is notified.
    this.#onGone(this);
    try {
      this.#admitted.closed();
    } catch (error) {
      this.context.onError("admission closed", error);
    }
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onClientGone();
    this.#dropUpstream();
  }

  /** The sweep's question: has what is waited for taken too long? */
  checkDeadline(): void {
    if (this.context.nowMs < this.#deadlineMs) return;
    switch (this.#phase) {
      case "head":
        if (this.input.length === 0) this.stream.close();
        else this.#refuseHead(408, "the request head did not arrive in time");
        return;
      case "request":
        this.#exchange?.onDeadline();
        return;
      case "settling":
        this.context.onError("handler", new Error(`internal error: not returned ${this.context.limits.handlerMs} ms after its answer`));
        this.#linger();
        return;
      case "lingering":
        // Not a reset: what the kernel still holds for a slow reader is delivered.
        this.stream.close();
        return;
      case "closed":
        return;
    }
  }

  // ---- requests ----

  #readHead(): void {
    const { input } = this;
    const scan = scanRequestHead(input.bytes, input.start, input.end);
    if (scan.kind === "refused") {
      this.#refuseHead(scan.refusal.status, scan.refusal.detail);
      return;
    }
    if (scan.kind === "more") {
      if (this.inputEnded) {
        input.length === 0 ? this.#linger() : this.#refuseHead(400, "the request head is incomplete");
        return;
      }
      if (!this.#headStarted && input.length > 0) {
        this.#headStarted = true;
        this.arm(this.context.limits.headMs);
      }
      return;
    }
    const head = parseRequestHead(input.bytes.toString("latin1", scan.start, scan.end));
    if (!head.ok) {
      this.#refuseHead(head.error.status, head.error.detail);
      return;
    }
    input.consumeTo(scan.next);
    if (!this.#holdHead(headCost(head.value.headers, head.value.target))) {
      this.#refuseHead(503, NO_ROOM);
      return;
    }
    this.#headStarted = false;
    this.#served = true;
    this.#phase = "request";
    this.arm(this.context.limits.handlerMs);
    this.#run(new ClientExchange(this, head.value));
  }

  #holdHead(bytes: number): boolean {
    if (!this.account.resize(this.#headBytes, bytes)) return false;
    this.#headBytes = bytes;
    return true;
  }

  /** Another user's connection needs the memory of this one, or there is none for more. */
  readonly #onEvicted = (): void => {
    if (this.#phase === "head") this.#refuseHead(503, NO_ROOM);
    else if (this.#phase === "request" && this.#exchange !== undefined) this.#exchange.onEvicted();
    else this.stream.reset();
  };

  #refuseHead(status: number, detail: string): void {
    this.context.onRefusal(this.peer, status, detail);
    this.#admitted.headRefused?.(status, detail);
    this.stream.write(renderLocalReply(bareReply(status), undefined, false));
    this.#linger();
  }

  #run(exchange: ClientExchange): void {
    this.#exchange = exchange;
    this.#handlerReturned = false;
    let handled: Promise<void>;
    try {
      handled = this.#admitted.handle(exchange);
    } catch (error) {
      this.#onHandlerFailed(error);
      return;
    }
    handled.then(this.#onHandlerReturned, this.#onHandlerFailed);
    if (this.input.length > 0) this.#takeInput();
  }

  // Made once for each connection. They run as promise reactions, where an exception would reach the process.
  readonly #onHandlerReturned = (): void => {
    this.#contain(() => {
      this.#handlerReturned = true;
      if (this.#phase === "settling") this.#nextRequest();
      else if (this.#phase === "request" && this.#exchange?.unanswered === true) {
        this.context.onError("handler", new Error("internal error: the handler returned without an answer"));
        this.#exchange.fail();
      }
    });
  };

  readonly #onHandlerFailed = (error: unknown): void => {
    this.#contain(() => {
      this.#handlerReturned = true;
      this.context.onError("handler", error);
      if (this.#phase === "request") this.#exchange?.fail();
      else if (this.#phase === "settling") this.#linger();
    });
  };

  #contain(step: () => void): void {
    try {
      step();
    } catch (error) {
      try {
        this.context.onError("client connection", error);
      } finally {
        this.stream.reset();
      }
    }
  }

  #takeInput(): void {
    if (this.#phase === "request") this.#exchange?.onInput();
    if (this.input.length > MAX_READ_AHEAD_BYTES) this.stream.pause();
  }

  #nextRequest(): void {
    this.#exchange = undefined;
    this.#holdHead(0);
    this.#phase = "head";
    if (this.context.stopping && this.input.length === 0) {
      this.#linger();
      return;
    }
    this.arm(this.context.limits.idleMs);
    this.stream.resume();
    if (this.input.length > 0 || this.inputEnded) this.#readHead();
  }

  #linger(): void {
    if (this.#phase === "closed") return;
    this.#phase = "lingering";
    this.#exchange = undefined;
    this.#holdHead(0);
    this.#dropUpstream();
    this.input.clear();
    const { limits } = this.context;
    this.arm(this.stream.queuedBytes > 0 ? limits.clientWriteMs : limits.lingerMs);
    this.stream.shutdown();
    this.stream.resume();
  }

  #dropUpstream(): void {
    const { upstream } = this;
    this.upstream = undefined;
    upstream?.discard();
  }
}
