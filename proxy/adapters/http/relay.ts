// One forwarded request: sends it to the host, streams the response back, and names how it ended. Backpressure: pauses each side while
// the other cannot take more, so memory stays bounded. Never changes a byte of what the agent built and the host answered.

import type { BodyFailure, ForwardOutcome, OutboundRequest, Peer } from "../../core/ports.ts";
import type { RequestHead, ResponseHead } from "../../core/request/http-message.ts";
import { type BodyDecoder, PayloadJoiner } from "./body.ts";
import type { ClientLink } from "./context.ts";
import { headCost } from "./header-fields.ts";
import { renderInterimHead, renderResponseHead } from "./response-render.ts";
import { Upstream, type UpstreamEvents, type UpstreamFailure } from "./upstream.ts";

/** What remains to be done for the request once the relay has ended. */
export type RelayEnd = "answered-keep" | "answered-close" | "unanswered" | "abort";

export interface RelayOwner {
  /** The request body is read to its end, or what is left of it can be skipped without waiting. */
  isBodySettled(): boolean;
  onRelayEnd(outcome: ForwardOutcome, end: RelayEnd): void;
}

type State = "connecting" | "uploading" | "waiting" | "receiving" | "flushing" | "ended";

/** Up to this size two parts are joined and sent in one call; above it copying costs more than a call. */
const JOIN_BYTES = 64 * 1024;
const LAST_CHUNK = Buffer.from("0\r\n\r\n", "latin1");
const CHUNK_END = Buffer.from("\r\n", "latin1");
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
/** Methods that may be sent a second time when a kept connection turns out to be dead (RFC 9110 9.2.2). */
const IDEMPOTENT: readonly string[] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

export class Relay implements UpstreamEvents {
  readonly #link: ClientLink;
  readonly #owner: RelayOwner;
  readonly #head: RequestHead;
  readonly #request: OutboundRequest;
  /** Of the client's body while it is streamed; undefined when there is nothing to stream. */
  readonly #body: BodyDecoder | undefined;
  #state: State = "connecting";
  #peer: Peer | undefined;
  #upstream: Upstream | undefined;
  #reused = false;
  #written = false;

  #uploadBytes = 0;
  #joiner: PayloadJoiner | undefined;
  #upstreamBlocked = false;

  #response: ResponseHead | undefined;
  #responseHeldBytes = 0;
  #heldHead: Buffer | undefined;
  #headWritten = false;
  #keep = false;
  #responseBytes = 0;
  #clientBlocked = false;
  #flushedBefore = 0;

  constructor(link: ClientLink, owner: RelayOwner, head: RequestHead, request: OutboundRequest, body: BodyDecoder | undefined) {
    this.#link = link;
    this.#owner = owner;
    this.#head = head;
    this.#request = request;
    this.#body = body;
  }

  /** It goes no further before the client sends more of its body, or reads more of the answer. */
  get waitsForClient(): boolean {
    return this.#clientBlocked || (this.#state === "uploading" && !this.#upstreamBlocked);
  }

  /** Sends on the client's kept connection if it is still good, else on a new one. */
  start(peer: Peer): void {
    this.#peer = peer;
    const kept = this.#link.upstream;
    if (kept !== undefined && this.#isUsable(kept, peer)) {
      this.#upstream = kept;
      this.#reused = true;
      this.#send(kept);
      return;
    }
    kept?.discard();
    this.#connect(peer);
  }

  #isUsable(kept: Upstream, peer: Peer): boolean {
    if (kept.closed || kept.peer.port !== peer.port || kept.peer.address !== peer.address) return false;
    const { nowMs, limits } = this.#link.context;
    // A host closes idle connections; a request that must not be sent twice does not run that risk.
    return IDEMPOTENT.includes(this.#head.method) || nowMs - this.#link.upstreamIdleSinceMs < limits.freshForUnsafeMs;
  }

  #connect(peer: Peer): void {
    this.#state = "connecting";
    this.#reused = false;
    this.#link.arm(this.#link.context.limits.connectMs);
    this.#upstream = new Upstream(peer, this.#link.context.connect, this, this.#link.account);
    this.#link.upstream = this.#upstream;
  }

  onConnected(): void {
    if (this.#upstream !== undefined) this.#send(this.#upstream);
  }

  #send(upstream: Upstream): void {
    const { head, body } = this.#request;
    const { limits } = this.#link.context;
    upstream.begin(this.#request.method, this);
    this.#written = true;
    if (this.#body !== undefined) {
      this.#state = "uploading";
      this.#joiner = new PayloadJoiner();
      this.#upstreamBlocked = !upstream.write(head, true);
      // The body is wanted now; the host's own 100 is swallowed later.
      if (this.#head.expectsContinue && this.#link.input.length === 0) this.#link.stream.write(CONTINUE);
      this.#link.stream.resume();
      this.onInput();
      return;
    }
    this.#state = "waiting";
    this.#link.arm(limits.firstByteMs);
    const bytes = body.kind === "buffered" ? body.bytes : undefined;
    // Head and body are counted by the request; they live as long as this connection to the host is used for it.
    if (bytes === undefined || bytes.length === 0) upstream.write(head, true);
    else if (head.length + bytes.length <= JOIN_BYTES) upstream.write(Buffer.concat([head, bytes]));
    else {
      upstream.write(head, true);
      upstream.write(bytes, true);
    }
  }

  // ---- the client's body, streamed ----

  /** More of the client's input has arrived, or it has ended, or the host can take more. */
  onInput(): void {
    const body = this.#body;
    const upstream = this.#upstream;
    if (body === undefined || upstream === undefined || !isReading(body) || this.#upstreamBlocked) return;
    if (this.#state !== "uploading" && this.#state !== "receiving") return;
    const { input, context } = this.#link;
    if (input.length > 0) input.consumeTo(body.feed(input.bytes, input.start, input.end, this.#joiner));
    const payload = this.#joiner?.take();
    this.#uploadBytes += payload?.length ?? 0;
    const { status } = body;
    if (status === "malformed") {
      this.#failBody({ kind: "malformed", detail: body.detail });
      return;
    }
    const { body: outbound } = this.#request;
    if (outbound.kind === "streamed" && this.#uploadBytes > outbound.maxBytes) {
      this.#failBody({ kind: "too-large", limitBytes: outbound.maxBytes });
      return;
    }
    if (status === "reading" && this.#link.inputEnded) {
      this.#link.abort();
      return;
    }
    this.#upstreamBlocked = !this.#writePayload(upstream, payload, status === "done");
    if (this.#upstreamBlocked && status === "reading") this.#link.stream.pause();
    if (this.#state !== "uploading") return;
    if (status === "done") {
      this.#state = "waiting";
      this.#link.arm(context.limits.firstByteMs);
    } else {
      this.#link.arm(this.#upstreamBlocked ? context.limits.responseProgressMs : context.limits.bodyProgressMs);
    }
  }

  /** Chunks are framed again, one for each piece of input: the client's extensions and sizes end here. */
  #writePayload(upstream: Upstream, payload: Buffer | undefined, last: boolean): boolean {
    if (this.#head.framing.kind !== "chunked") return payload === undefined || upstream.write(payload);
    const parts: Buffer[] = payload === undefined ? [] : [chunkStart(payload.length), payload, CHUNK_END];
    if (last) parts.push(LAST_CHUNK);
    return parts.length === 0 || upstream.write(Buffer.concat(parts));
  }

  #failBody(failure: BodyFailure): void {
    this.#dropUpstream();
    if (this.#headWritten) this.#breakMidway("the request body failed while the response was under way");
    else this.#end({ kind: "body-failed", failure }, "unanswered");
  }

  onUpstreamDrain(): void {
    if (!this.#upstreamBlocked) return;
    this.#upstreamBlocked = false;
    if (this.#state === "ended") return;
    this.#link.stream.resume();
    this.onInput();
  }

  // ---- the host's response ----

  onInterim(head: ResponseHead): void {
    // We send 100 ourselves when it is due, and a 1.0 client knows no informational answers.
    if (head.status === 100 || this.#head.minorVersion === 0) return;
    this.#link.stream.write(Buffer.from(renderInterimHead(head), "latin1"));
  }

  onHead(head: ResponseHead): "as-received" | "payload-only" {
    const link = this.#link;
    const uploadDone = this.#body === undefined || this.#body.status === "done";
    const dechunk = this.#head.minorVersion === 0 && head.framing.kind === "chunked";
    const inputUsedUp = link.inputEnded && link.input.length === 0;
    this.#keep =
      uploadDone &&
      !dechunk &&
      !inputUsedUp &&
      !this.#head.closeAfter &&
      !link.context.stopping &&
      head.framing.kind !== "until-close" &&
      this.#owner.isBodySettled();
    this.#response = head;
    this.#state = "receiving";
    const heldBytes = headCost(head.headers);
    if (!link.account.resize(0, heldBytes)) {
      this.onEvicted();
      return "as-received";
    }
    this.#responseHeldBytes = heldBytes;
    const shape = { clientMinorVersion: this.#head.minorVersion, close: !this.#keep, dechunk, added: this.#request.addedResponseHeaders };
    // Held until the end of this piece of input: head and first bytes of the body leave in one write, and a response
    // that turns out malformed right away has sent nothing.
    this.#heldHead = Buffer.from(renderResponseHead(head, shape), "latin1");
    return dechunk ? "payload-only" : "as-received";
  }

  onBody(bytes: Buffer): void {
    this.#responseBytes += bytes.length;
    const held = this.#heldHead;
    if (held === undefined) {
      this.#writeToClient(bytes);
    } else if (held.length + bytes.length <= JOIN_BYTES) {
      this.#heldHead = Buffer.concat([held, bytes]);
    } else {
      this.#flushHead();
      this.#writeToClient(bytes);
    }
  }

  #flushHead(): void {
    const held = this.#heldHead;
    if (held === undefined) return;
    this.#heldHead = undefined;
    this.#headWritten = true;
    this.#writeToClient(held);
  }

  #writeToClient(bytes: Buffer): void {
    if (this.#link.stream.write(bytes) || this.#clientBlocked) return;
    this.#clientBlocked = true;
    this.#flushedBefore = this.#link.stream.flushedBytes;
    this.#upstream?.pause();
  }

  onBatchEnd(): void {
    if (this.#state !== "receiving") return;
    this.#flushHead();
    const { limits } = this.#link.context;
    this.#link.arm(this.#clientBlocked ? limits.clientWriteMs : limits.responseProgressMs);
  }

  onComplete(reusable: boolean): void {
    this.#flushHead();
    const upstream = this.#upstream;
    this.#upstream = undefined;
    if (upstream === undefined) return;
    const uploadDone = this.#body === undefined || this.#body.status === "done";
    // What the host has not taken of this request would keep its memory in use behind the next one.
    if (reusable && uploadDone && upstream.queuedBytes === 0) {
      upstream.resume();
      this.#link.upstreamIdleSinceMs = this.#link.context.nowMs;
    } else {
      upstream.discard();
      this.#link.upstream = undefined;
    }
    if (!this.#clientBlocked) {
      this.#complete();
      return;
    }
    this.#state = "flushing";
    this.#link.arm(this.#link.context.limits.clientWriteMs);
  }

  #complete(): void {
    const response = this.#response;
    const { status, reason } = response ?? { status: 0, reason: "" };
    this.#end({ kind: "completed", status, reason, responseBytes: this.#responseBytes }, this.#keep ? "answered-keep" : "answered-close");
  }

  /** The client has taken all that was queued for it. */
  onClientDrain(): void {
    if (!this.#clientBlocked) return;
    this.#clientBlocked = false;
    if (this.#state === "flushing") {
      this.#complete();
      return;
    }
    if (this.#state !== "receiving") return;
    this.#link.arm(this.#link.context.limits.responseProgressMs);
    this.#upstream?.resume();
  }

  // ---- endings ----

  onFailure(failure: UpstreamFailure): void {
    const answering = this.#upstream?.answering ?? false;
    if (failure.cause === "closed" && !answering && this.#mayRetry() && this.#peer !== undefined) {
      this.#connect(this.#peer);
      return;
    }
    this.#failHost(failure.cause, failure.detail);
  }

  /** A kept connection may have been closed by the host unnoticed: retry once, on a new one, if the request is safe to repeat. */
  #mayRetry(): boolean {
    return this.#reused && this.#body === undefined && (IDEMPOTENT.includes(this.#head.method) || !this.#written);
  }

  #failHost(cause: "unreachable" | "silent" | "closed" | "bad-response", detail: string): void {
    this.#dropUpstream();
    if (this.#headWritten) this.#breakMidway(detail);
    else this.#end({ kind: "host-failed", cause, detail }, "unanswered");
  }

  #breakMidway(detail: string): void {
    this.#end({ kind: "broken-midway", status: this.#response?.status ?? 0, detail }, "abort");
  }

  /** Nothing has come or gone within the armed limit. */
  onDeadline(): void {
    const { limits } = this.#link.context;
    switch (this.#state) {
      case "connecting":
        this.#failHost("unreachable", `no connection within ${limits.connectMs} ms`);
        return;
      case "uploading":
        if (!this.#upstreamBlocked) {
          this.#failBody({ kind: "timeout" });
          return;
        }
        if (this.#hasMoved(this.#upstream?.flushedBytes ?? 0)) {
          this.#link.arm(limits.responseProgressMs);
          return;
        }
        this.#failHost("silent", `the host took nothing of the request body for ${limits.responseProgressMs} ms`);
        return;
      case "waiting":
        this.#failHost("silent", `no response within ${limits.firstByteMs} ms`);
        return;
      case "receiving":
      case "flushing":
        if (!this.#clientBlocked) {
          this.#failHost("silent", `the response stood still for ${limits.responseProgressMs} ms`);
          return;
        }
        if (this.#hasMoved(this.#link.stream.flushedBytes)) {
          this.#link.arm(limits.clientWriteMs);
          return;
        }
        this.#dropUpstream();
        this.#breakMidway(`the client read nothing for ${limits.clientWriteMs} ms`);
        return;
      case "ended":
        return;
    }
  }

  /** The memory it holds is wanted elsewhere, or there is none for more. */
  onEvicted(): void {
    this.#dropUpstream();
    if (this.#headWritten) this.#breakMidway("no memory left for what the client has not taken");
    else this.#end({ kind: "body-failed", failure: { kind: "busy" } }, "unanswered");
  }

  #hasMoved(flushedBytes: number): boolean {
    const moved = flushedBytes > this.#flushedBefore;
    this.#flushedBefore = flushedBytes;
    return moved;
  }

  /** Stops at once without an outcome. True when nothing of the final response has left, so that another answer may. */
  abandon(): boolean {
    this.#state = "ended";
    this.#release();
    this.#dropUpstream();
    return !this.#headWritten;
  }

  #release(): void {
    this.#heldHead = undefined;
    this.#link.account.resize(this.#responseHeldBytes, 0);
    this.#responseHeldBytes = 0;
  }

  #dropUpstream(): void {
    this.#upstream?.discard();
    this.#upstream = undefined;
    this.#link.upstream = undefined;
  }

  #end(outcome: ForwardOutcome, end: RelayEnd): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#release();
    this.#owner.onRelayEnd(outcome, end);
  }
}

function chunkStart(length: number): Buffer {
  return Buffer.from(`${length.toString(16)}\r\n`, "latin1");
}

function isReading(body: BodyDecoder): boolean {
  return body.status === "reading";
}
