// One request on a client connection, as the handler sees it: read the body, answer, or forward. Holds the order of these
// steps; once it has ended it is inert, so a late handler can never write into the next request's answer.

import type { BodyFailure, Exchange, ForwardOutcome, OutboundRequest, Peer } from "../../core/ports.ts";
import type { RequestHead } from "../../core/request/http-message.ts";
import type { LocalReply } from "../../core/request/replies.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type BodyDecoder, bodyDecoder } from "./body.ts";
import { BodyBuffer } from "./body-buffer.ts";
import type { ClientLink } from "./context.ts";
import { bareReply, renderLocalReply } from "./local-reply.ts";
import { Relay, type RelayEnd, type RelayOwner } from "./relay.ts";

type State =
  /** The handler thinks. */
  | "open"
  | "reading"
  | "forwarding"
  /** Answered by the handler. */
  | "answered"
  /** Ended over the handler's head: the client is gone, or the engine answered. */
  | "over";

const EMPTY = new Uint8Array(0);
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
const CLIENT_GONE = { kind: "client-gone" } as const;

export class ClientExchange implements Exchange, RelayOwner {
  readonly head: RequestHead;
  readonly #link: ClientLink;
  readonly #body: BodyDecoder | undefined;
  #state: State = "open";
  #bodyTaken = false;
  #buffer: BodyBuffer | undefined;
  #bufferDeadlineMs = 0;
  #resolveBody: ((result: Result<Uint8Array, BodyFailure>) => void) | undefined;
  #relay: Relay | undefined;
  #resolveForward: ((outcome: ForwardOutcome) => void) | undefined;

  constructor(link: ClientLink, head: RequestHead) {
    this.#link = link;
    this.head = head;
    this.#body = bodyDecoder(head.framing);
  }

  /** Neither answered nor on the way to it. */
  get unanswered(): boolean {
    return this.#state === "open";
  }

  /** It goes no further before its client sends more of the body, or reads more of the answer. */
  get waitsForClient(): boolean {
    return this.#state === "reading" || (this.#state === "forwarding" && this.#relay?.waitsForClient === true);
  }

  // ---- for the handler ----

  readBody(maxBytes: number): Promise<Result<Uint8Array, BodyFailure>> {
    if (this.#state === "over") return Promise.resolve(err(CLIENT_GONE));
    this.#expectOpen("read its body");
    if (this.#bodyTaken) throw new Error("internal error: the request body was read before");
    const { framing } = this.head;
    if (this.#body === undefined) return Promise.resolve(ok(EMPTY));
    if (framing.kind === "length" && framing.lengthBytes > maxBytes)
      return Promise.resolve(err({ kind: "too-large", limitBytes: maxBytes }));
    this.#bodyTaken = true;
    // A declared length also bounds how far the buffer grows ahead of what has arrived.
    this.#buffer = new BodyBuffer(this.#link.account, framing.kind === "length" ? framing.lengthBytes : maxBytes);
    const { context, stream, input } = this.#link;
    this.#bufferDeadlineMs = context.nowMs + context.limits.bufferedBodyMs;
    this.#state = "reading";
    if (this.head.expectsContinue && input.length === 0) stream.write(CONTINUE);
    const { promise, resolve } = Promise.withResolvers<Result<Uint8Array, BodyFailure>>();
    this.#resolveBody = resolve;
    stream.resume();
    this.#fillBuffer(this.#body, this.#buffer);
    return promise;
  }

  answer(reply: LocalReply): void {
    if (this.#state === "over") return;
    this.#expectOpen("answer it");
    const keep = !reply.close && this.#mayKeep();
    const bytes = renderLocalReply(reply, this.head, keep);
    this.#state = "answered";
    this.#link.stream.write(bytes);
    this.#endRequest(keep);
  }

  forward(upstream: Peer, request: OutboundRequest): Promise<ForwardOutcome> {
    if (this.#state === "over") return Promise.resolve(CLIENT_GONE);
    this.#expectOpen("forward it");
    const { framing } = this.head;
    const streams = request.body.kind === "streamed" && this.#body !== undefined;
    if (streams && this.#bodyTaken) throw new Error("internal error: the request body was read before");
    if (request.body.kind === "streamed" && framing.kind === "length" && framing.lengthBytes > request.body.maxBytes) {
      return Promise.resolve({ kind: "body-failed", failure: { kind: "too-large", limitBytes: request.body.maxBytes } });
    }
    if (streams) this.#bodyTaken = true;
    const { promise, resolve } = Promise.withResolvers<ForwardOutcome>();
    this.#resolveForward = resolve;
    this.#state = "forwarding";
    this.#relay = new Relay(this.#link, this, this.head, request, streams ? this.#body : undefined);
    this.#relay.start(upstream);
    return promise;
  }

  #expectOpen(what: string): void {
    if (this.#state !== "open") throw new Error(`internal error: cannot ${what}: the request is ${this.#state}`);
  }

  // ---- for the connection ----

  /** More input has arrived, or it has ended. */
  onInput(): void {
    if (this.#state === "reading" && this.#body !== undefined && this.#buffer !== undefined) {
      this.#fillBuffer(this.#body, this.#buffer);
    } else {
      this.#relay?.onInput();
    }
  }

  onClientDrain(): void {
    this.#relay?.onClientDrain();
  }

  onDeadline(): void {
    const { context } = this.#link;
    if (this.#state === "forwarding") this.#relay?.onDeadline();
    else if (this.#state === "reading") this.#settleBody(err({ kind: "timeout" }));
    else if (this.#state === "open") {
      context.onError("handler", new Error(`internal error: no answer within ${context.limits.handlerMs} ms`));
      this.fail();
    }
  }

  /** The handler broke: the client gets 500 if nothing of another answer has left, else a broken connection. */
  fail(): void {
    if (this.#state === "answered" || this.#state === "over") return;
    const clean = this.#relay?.abandon() ?? true;
    this.#relay = undefined;
    this.#state = "over";
    this.#buffer?.release();
    // A handler that reads or forwards without waiting for it learns nothing more.
    this.#settlePending();
    if (!clean) {
      this.#link.abort();
      return;
    }
    this.#link.stream.write(renderLocalReply(bareReply(500), this.head, false));
    this.#endRequest(false);
  }

  /** The memory of this connection is wanted for others, or there is none for more of it. */
  onEvicted(): void {
    if (this.#state === "reading") this.#settleBody(err({ kind: "busy" }));
    else if (this.#state === "forwarding") this.#relay?.onEvicted();
    else this.#link.abort();
  }

  onClientGone(): void {
    if (this.#state !== "answered") this.#state = "over";
    this.#buffer?.release();
    this.#relay?.abandon();
    this.#relay = undefined;
    this.#settlePending();
  }

  /** Notifies a handler that still waits that the client is gone. */
  #settlePending(): void {
    this.#resolveBody?.(err(CLIENT_GONE));
    this.#resolveBody = undefined;
    this.#resolveForward?.(CLIENT_GONE);
    this.#resolveForward = undefined;
  }

  // ---- body ----

  #fillBuffer(body: BodyDecoder, buffer: BodyBuffer): void {
    const { input, inputEnded, context } = this.#link;
    if (input.length > 0) input.consumeTo(body.feed(input.bytes, input.start, input.end, buffer));
    if (buffer.failure === "too-large") {
      this.#settleBody(err({ kind: "too-large", limitBytes: buffer.limitBytes }));
      return;
    }
    if (buffer.failure === "busy") {
      this.#settleBody(err({ kind: "busy" }));
      return;
    }
    if (body.status === "malformed") {
      this.#settleBody(err({ kind: "malformed", detail: body.detail }));
      return;
    }
    if (body.status === "done") {
      this.#settleBody(ok(buffer.payload));
      return;
    }
    if (inputEnded) {
      this.#link.abort();
      return;
    }
    this.#link.arm(Math.min(context.limits.bodyProgressMs, this.#bufferDeadlineMs - context.nowMs));
  }

  #settleBody(result: Result<Uint8Array, BodyFailure>): void {
    if (!result.ok) this.#buffer?.release();
    this.#state = "open";
    this.#link.arm(this.#link.context.limits.handlerMs);
    const resolve = this.#resolveBody;
    this.#resolveBody = undefined;
    resolve?.(result);
  }

  isBodySettled(): boolean {
    const body = this.#body;
    if (body === undefined) return true;
    const { input } = this.#link;
    // What has arrived of an unread body is skipped; what has not is no reason to wait, the connection closes instead.
    if (body.status === "reading" && input.length > 0) input.consumeTo(body.feed(input.bytes, input.start, input.end, undefined));
    return body.status === "done";
  }

  #mayKeep(): boolean {
    const { context, input } = this.#link;
    if (this.head.closeAfter || context.stopping || !this.isBodySettled()) return false;
    return !(this.#link.inputEnded && input.length === 0);
  }

  // ---- endings ----

  onRelayEnd(outcome: ForwardOutcome, end: RelayEnd): void {
    const resolve = this.#resolveForward;
    this.#resolveForward = undefined;
    this.#relay = undefined;
    if (end === "unanswered") {
      this.#state = "open";
      this.#link.arm(this.#link.context.limits.handlerMs);
      this.#link.stream.resume();
    } else if (end === "abort") {
      this.#state = "over";
      this.#link.abort();
    } else {
      this.#state = "answered";
      this.#endRequest(end === "answered-keep");
    }
    resolve?.(outcome);
  }

  #endRequest(keep: boolean): void {
    this.#buffer?.release();
    this.#link.finish(keep);
  }
}
