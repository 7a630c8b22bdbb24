// A client exchange without a network: remembers how it was answered and what was forwarded.

import type { BodyFailure, Exchange, ForwardOutcome, OutboundRequest, Peer } from "../../proxy/core/ports.ts";
import type { HeaderField, RequestHead } from "../../proxy/core/request/http-message.ts";
import type { LocalReply } from "../../proxy/core/request/replies.ts";
import { err, ok, type Result } from "../../proxy/core/result.ts";

export interface FakeRequest {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly HeaderField[];
  readonly body?: string;
  readonly bodyFailure?: BodyFailure;
  readonly outcome?: ForwardOutcome;
  /** Runs while the body is being read. */
  readonly whileReading?: () => void;
}

export class FakeExchange implements Exchange {
  readonly head: RequestHead;
  readonly answers: LocalReply[] = [];
  readonly forwarded: { readonly upstream: Peer; readonly request: OutboundRequest }[] = [];
  readonly #request: FakeRequest;

  constructor(request: FakeRequest = {}) {
    this.#request = request;
    const lengthBytes = request.body?.length ?? 0;
    this.head = {
      method: request.method ?? "GET",
      target: request.target ?? "/metadata/instance?api-version=2021-02-01",
      minorVersion: 1,
      headers: request.headers ?? [
        ["Host", "169.254.169.254"],
        ["Metadata", "true"],
      ],
      framing: request.body === undefined ? { kind: "none" } : { kind: "length", lengthBytes },
      closeAfter: false,
      expectsContinue: false,
      host: "169.254.169.254",
    };
  }

  async readBody(maxBytes: number): Promise<Result<Uint8Array, BodyFailure>> {
    this.#request.whileReading?.();
    if (this.#request.bodyFailure !== undefined) return err(this.#request.bodyFailure);
    const bytes = Buffer.from(this.#request.body ?? "");
    return bytes.length > maxBytes ? err({ kind: "too-large", limitBytes: maxBytes }) : ok(bytes);
  }

  answer(reply: LocalReply): void {
    this.answers.push(reply);
  }

  async forward(upstream: Peer, request: OutboundRequest): Promise<ForwardOutcome> {
    this.forwarded.push({ upstream, request });
    return this.#request.outcome ?? { kind: "completed", status: 200, reason: "OK", responseBytes: 2 };
  }

  /** The one head that was sent to the host, as text. */
  sentHead(): string {
    const [only, ...more] = this.forwarded;
    if (only === undefined || more.length > 0) throw new Error(`found ${this.forwarded.length} forwarded requests, want 1`);
    return Buffer.from(only.request.head).toString("latin1");
  }
}
