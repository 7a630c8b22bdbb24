// The HTTP engine on a loopback port with a handler that forwards everything, for conformance tests.

import { DEFAULT_HTTP_LIMITS, type HttpLimits } from "../../proxy/adapters/http/limits.ts";
import { type Listener, startListener } from "../../proxy/adapters/http/listener.ts";
import type { BodyFailure, Exchange, ForwardOutcome, Peer } from "../../proxy/core/ports.ts";
import type { LocalReply } from "../../proxy/core/request/replies.ts";
import type { Held, Owner } from "../../proxy/core/tally/connection-shares.ts";

export interface EngineOptions {
  readonly hostPort?: number;
  readonly limits?: Partial<HttpLimits>;
  readonly handle?: (exchange: Exchange, engine: Engine) => Promise<void>;
  readonly refuse?: boolean;
  /** Gets each connection as those see it who count connections. */
  readonly held?: (held: Held) => void;
  /** User id of a connection's caller; unrecorded without it. */
  readonly owner?: (peer: Peer) => Owner;
}

export interface Engine extends AsyncDisposable {
  readonly listener: Listener;
  readonly port: number;
  readonly host: Peer;
  /** Our own defects that the engine reported: where, and the text. */
  readonly bugs: string[];
  readonly refusals: number[];
  readonly outcomes: ForwardOutcome[];
  readonly requests: string[];
  opened: number;
  closed: number;
}

/** Deadlines are looked at every 10 ms, so that a test with a short limit is short. */
export const SWEEP_MS = 10;

export function startEngine(options: EngineOptions = {}): Engine {
  const bugs: string[] = [];
  const refusals: number[] = [];
  const handle = options.handle ?? forwardBuffered;
  let listener: Listener | undefined;
  const engine = {
    host: { address: "127.0.0.1", port: options.hostPort ?? 1 },
    bugs,
    refusals,
    outcomes: [] as ForwardOutcome[],
    requests: [] as string[],
    opened: 0,
    closed: 0,
    get listener(): Listener {
      if (listener === undefined) throw new Error("internal error: the engine is not listening");
      return listener;
    },
    get port(): number {
      return engine.listener.port;
    },
    async [Symbol.asyncDispose]() {
      await engine.listener.stop(0);
    },
  };
  const started = startListener({
    hostname: "127.0.0.1",
    port: 0,
    limits: { ...DEFAULT_HTTP_LIMITS, sweepMs: SWEEP_MS, ...options.limits },
    onError: (where, error) => bugs.push(`${where}: ${error instanceof Error ? error.message : String(error)}`),
    onRefusal: (_peer, status) => refusals.push(status),
    accept: (connection, held) => {
      if (options.refuse === true) return { kind: "refuse" };
      options.held?.(held);
      engine.opened++;
      return {
        kind: "admit",
        owner: options.owner?.(connection) ?? "unrecorded",
        handle: (exchange) => {
          engine.requests.push(`${exchange.head.method} ${exchange.head.target}`);
          return handle(exchange, engine);
        },
        closed: () => {
          engine.closed++;
        },
      };
    },
  });
  if (!started.ok) throw new Error(started.error.message);
  listener = started.value;
  return engine;
}

/** The head to send on: the client's, less what concerns only its connection. */
export function outboundHead(exchange: Exchange, bodyBytes?: number): Buffer {
  const { method, target, headers } = exchange.head;
  const dropped = ["connection", "expect", ...(bodyBytes === undefined ? [] : ["transfer-encoding", "content-length"])];
  const lines = headers.filter(([name]) => !dropped.includes(name.toLowerCase())).map(([name, value]) => `${name}: ${value}\r\n`);
  if (bodyBytes !== undefined && bodyBytes > 0) lines.push(`Content-Length: ${bodyBytes}\r\n`);
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
}

const BODY_STATUS: Readonly<Record<BodyFailure["kind"], number>> = {
  "too-large": 413,
  malformed: 400,
  busy: 503,
  timeout: 408,
  "client-gone": 400,
};

export function reply(status: number, text = "", close = false): LocalReply {
  return { status, headers: [], body: Buffer.from(text), close };
}

export const MAX_TEST_BODY_BYTES = 1024 * 1024;

export async function forwardBuffered(exchange: Exchange, engine: Engine): Promise<void> {
  const body = await exchange.readBody(MAX_TEST_BODY_BYTES);
  if (!body.ok) {
    exchange.answer(reply(BODY_STATUS[body.error.kind]));
    return;
  }
  const head = outboundHead(exchange, body.value.length);
  const outcome = await exchange.forward(engine.host, {
    method: exchange.head.method,
    head,
    body: { kind: "buffered", bytes: body.value },
    addedResponseHeaders: [["x-added", "by-agent"]],
  });
  engine.outcomes.push(outcome);
  if (outcome.kind === "host-failed") exchange.answer(reply(503, outcome.cause));
}

export async function forwardStreamed(exchange: Exchange, engine: Engine): Promise<void> {
  const outcome = await exchange.forward(engine.host, {
    method: exchange.head.method,
    head: outboundHead(exchange),
    body: { kind: "streamed", maxBytes: 64 * MAX_TEST_BODY_BYTES },
    addedResponseHeaders: [],
  });
  engine.outcomes.push(outcome);
  if (outcome.kind === "host-failed") exchange.answer(reply(503, outcome.cause));
  if (outcome.kind === "body-failed") exchange.answer(reply(BODY_STATUS[outcome.failure.kind]));
}

/** The status codes of all responses in a text. */
export function statuses(text: string): string {
  return [...text.matchAll(/HTTP\/1\.1 ([0-9]{3}) /g)].map((match) => match[1]).join("+");
}
