// The agent's own calls to the host: one new TCP connection, the exact bytes given, one response, one deadline for all.
// Never fetch(): that obeys proxy variables and rewrites what it sends. Nothing is kept between calls.

import type { Peer } from "../../core/ports.ts";
import type { ResponseHead } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { ResponseReader, type ResponseSink } from "./response-reader.ts";
import { type Connect, type ConnectAttempt, type ConnectEvents, type Stream, tcpConnector } from "./socket.ts";

export interface SendOptions {
  readonly peer: Peer;
  readonly method: string;
  /** The whole head with its empty line; its framing must match `body`, and it should say `Connection: close`. */
  readonly head: Uint8Array;
  readonly body?: Uint8Array;
  /** For everything, from the connect to the last byte. */
  readonly deadlineMs: number;
  /** A longer response body is an error. */
  readonly maxResponseBytes: number;
}

export interface Answer {
  readonly head: ResponseHead;
  readonly body: Uint8Array;
}

export interface SendFailure {
  readonly kind: "unreachable" | "timeout" | "closed" | "bad-response" | "too-large";
  /** In words, without the address. */
  readonly detail: string;
}

/** These calls come from one loop with a deadline each; many at once would mean it has run wild. */
const MAX_PENDING_CONNECTS = 64;
const connect: Connect = tcpConnector(MAX_PENDING_CONNECTS, () => {});

/** Sends one request and reads its whole response. Resolves always, at the latest at the deadline. */
export function sendOnce(options: SendOptions): Promise<Result<Answer, SendFailure>> {
  return new Promise((resolve) => new Call(options, resolve).start());
}

class Call implements ConnectEvents, ResponseSink {
  readonly #options: SendOptions;
  #resolve: ((result: Result<Answer, SendFailure>) => void) | undefined;
  #attempt: ConnectAttempt | undefined;
  #stream: Stream | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #reader = new ResponseReader();
  #head: ResponseHead | undefined;
  readonly #parts: Buffer[] = [];
  #bodyBytes = 0;

  constructor(options: SendOptions, resolve: (result: Result<Answer, SendFailure>) => void) {
    this.#options = options;
    this.#resolve = resolve;
  }

  start(): void {
    const { peer, deadlineMs } = this.#options;
    this.#timer = setTimeout(() => this.#fail("timeout", `no answer within ${deadlineMs} ms`), deadlineMs);
    this.#attempt = connect(peer, this);
  }

  #settle(result: Result<Answer, SendFailure>): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    clearTimeout(this.#timer);
    this.#reader.abandon();
    this.#attempt?.cancel();
    this.#stream?.close();
    resolve?.(result);
  }

  #fail(kind: SendFailure["kind"], detail: string): void {
    this.#settle(err({ kind, detail }));
  }

  onConnect(stream: Stream): void {
    this.#stream = stream;
    const { head, body, method } = this.#options;
    this.#reader.begin(method, this);
    stream.write(body === undefined || body.length === 0 ? head : Buffer.concat([head, body]));
  }

  onConnectFailed(detail: string): void {
    this.#fail("unreachable", detail);
  }

  onData(bytes: Buffer): void {
    this.#reader.feed(bytes);
  }

  onDrain(): void {}

  onEnd(): void {
    if (!this.#reader.end()) this.#fail("closed", "the host closed the connection before its answer was whole");
  }

  onClose(): void {
    this.#fail("closed", "the host reset the connection before its answer was whole");
  }

  onInterim(): void {}

  onHead(head: ResponseHead): "payload-only" {
    this.#head = head;
    if (head.framing.kind === "length" && head.framing.lengthBytes > this.#options.maxResponseBytes) this.#tooLarge();
    return "payload-only";
  }

  onBody(bytes: Buffer): void {
    this.#bodyBytes += bytes.length;
    if (this.#bodyBytes > this.#options.maxResponseBytes) this.#tooLarge();
    else this.#parts.push(bytes);
  }

  #tooLarge(): void {
    this.#fail("too-large", `the response body is longer than ${this.#options.maxResponseBytes} bytes`);
  }

  onComplete(): void {
    if (this.#head === undefined) return;
    this.#settle(ok({ head: this.#head, body: Buffer.concat(this.#parts) }));
  }

  onMalformed(detail: string): void {
    this.#fail("bad-response", detail);
  }
}
