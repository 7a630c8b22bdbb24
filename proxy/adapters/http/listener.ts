// The listening side: accepts, counts, caps, sweeps deadlines, stops. Everything about one connection is in connection.ts.
// Its timer runs only while there are connections, so an idle agent sleeps.

import { readFileSync } from "node:fs";
import type { Admission, Connection, Peer } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Held } from "../../core/tally/connection-shares.ts";
import { ClientConnection } from "./connection.ts";
import type { EngineContext } from "./context.ts";
import { connectionCap, type HttpLimits } from "./limits.ts";
import { bareReply, renderLocalReply } from "./local-reply.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { type ListeningSocket, listenTcp, type Stream, type StreamEvents, tcpConnector } from "./socket.ts";

export interface ListenerOptions {
  readonly hostname: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** An inherited listening descriptor, used instead of address and port. */
  readonly descriptor?: number;
  readonly limits: HttpLimits;
  /**
   * Called at accept, before any byte of the connection is read.
   * @param held - the connection, for those who count it
   */
  readonly accept: (connection: Connection, held: Held) => Admission;
  /** Our own defects, caught: a handler that threw, an exception inside the engine. */
  readonly onError: (where: string, error: unknown) => void;
  /** A request head that was refused before any handler saw it. */
  readonly onRefusal?: (peer: Peer, status: number, detail: string) => void;
}

export interface Listener {
  readonly port: number;
  readonly connectionCount: number;
  /** Memory counted for all connections, in bytes; see {@link HttpLimits.maxHeldBytes}. */
  readonly heldBytes: number;
  /** Client connections that are taken at once: the configured limit, or less where descriptors are scarce. */
  readonly maxConnections: number;
  /**
   * Accepts no more; what is accepted is served. Idle connections may send one more request for a moment, because a client that
   * writes just now would lose it; then they are closed. Requests in progress may take `graceMs`, then what is left is ended.
   */
  stop(graceMs: number): Promise<void>;
}

export interface ListenError {
  readonly kind: "in-use" | "denied" | "failed";
  /** Ready for people. */
  readonly message: string;
}

/** Sent to a connection that is not served, if there is room for it; nothing is waited for. */
const NO_ROOM = renderLocalReply({ ...bareReply(503), headers: [["Retry-After", "1"]], close: true }, undefined, false);
/** When stopping: how long an idle connection may still send a request, and one that was just made its first. */
const LAST_REQUEST_MS = 300;
const FIRST_REQUEST_MS = 1_000;
/** Connects to a host that answers nothing hold a descriptor each, for minutes. */
const MAX_PENDING_CONNECTS = 1024;

const REFUSED: Admission = { kind: "refuse" };

/** A connection for those who count it, from before it exists. */
class Place implements Held {
  connection: ClientConnection | undefined;

  get yields(): boolean {
    return this.connection?.yields ?? false;
  }

  evict(): void {
    this.connection?.evict();
  }
}

class HttpListener implements Listener, EngineContext {
  readonly limits: HttpLimits;
  readonly budget: MemoryBudget;
  readonly connect: EngineContext["connect"];
  readonly onError: EngineContext["onError"];
  readonly onRefusal: EngineContext["onRefusal"];
  nowMs = 0;
  stopping = false;
  readonly #accept: ListenerOptions["accept"];
  readonly #cap: number;
  readonly #connections = new Set<ClientConnection>();
  #socket: ListeningSocket | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: ListenerOptions) {
    this.limits = options.limits;
    this.#accept = options.accept;
    this.onError = options.onError;
    this.onRefusal = options.onRefusal ?? (() => {});
    this.#cap = connectionCap(options.limits.maxConnections, descriptorLimit());
    const { maxHeldBytes, rootReserveBytes } = options.limits;
    this.budget = new MemoryBudget({ totalBytes: maxHeldBytes, rootReserveBytes }, options.onError);
    this.connect = tcpConnector(Math.min(MAX_PENDING_CONNECTS, this.#cap), options.onError);
  }

  open(options: ListenerOptions): void {
    this.#socket = listenTcp(options, (stream, connection) => this.#admit(stream, connection), this.onError);
  }

  get port(): number {
    return this.#socket?.port ?? 0;
  }

  get maxConnections(): number {
    return this.#cap;
  }

  get heldBytes(): number {
    return this.budget.takenBytes;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** A refused connection costs two system calls and is gone: it takes no place, and is never read. */
  #admit(stream: Stream, accepted: Connection): StreamEvents | undefined {
    const place = new Place();
    const admission: Admission = this.#connections.size >= this.#cap || this.stopping ? REFUSED : this.#accept(accepted, place);
    if (admission.kind === "refuse") {
      stream.write(NO_ROOM);
      stream.close();
      return undefined;
    }
    const peer = { address: accepted.address, port: accepted.port };
    const connection = new ClientConnection(this, stream, peer, admission, this.#onGone);
    place.connection = connection;
    this.#connections.add(connection);
    this.#timer ??= setInterval(this.#sweep, this.limits.sweepMs);
    return connection;
  }

  readonly #onGone = (connection: ClientConnection): void => {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#onEmpty?.();
  };

  readonly #sweep = (): void => {
    this.nowMs += this.limits.sweepMs;
    for (const connection of this.#connections) {
      try {
        connection.checkDeadline();
      } catch (error) {
        this.onError("sweep", error);
        connection.abort();
      }
    }
  };

  async stop(graceMs: number): Promise<void> {
    this.#socket?.stop();
    this.stopping = true;
    if (this.#connections.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    const closeIdle = (fresh: boolean) => {
      for (const connection of this.#connections) connection.closeIfIdle(fresh);
    };
    const timers = [
      setTimeout(closeIdle, Math.min(graceMs, LAST_REQUEST_MS), false),
      setTimeout(closeIdle, Math.min(graceMs, FIRST_REQUEST_MS), true),
      setTimeout(resolve, graceMs),
    ];
    await promise;
    for (const timer of timers) clearTimeout(timer);
    for (const connection of this.#connections) connection.abort();
  }
}

/** Listens and serves until stopped. Connections to the host are opened only when a request is forwarded. */
export function startListener(options: ListenerOptions): Result<Listener, ListenError> {
  const listener = new HttpListener(options);
  try {
    listener.open(options);
  } catch (error) {
    return err(describeListenError(options, error));
  }
  return ok(listener);
}

function describeListenError(options: ListenerOptions, error: unknown): ListenError {
  const { code, message } = error as { code?: string; message?: string };
  const kind = code === "EADDRINUSE" ? "in-use" : code === "EACCES" || code === "EPERM" ? "denied" : "failed";
  const where = options.descriptor === undefined ? `"${options.hostname}:${options.port}"` : `descriptor ${options.descriptor}`;
  return { kind, message: `cannot listen on ${where}: ${code ?? message ?? String(error)}` };
}

/** The soft limit of open descriptors; a cautious guess when the system does not report it. */
function descriptorLimit(): number {
  try {
    const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "latin1"));
    return match?.[1] === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(match?.[1] ?? 1024);
  } catch {
    return 1024;
  }
}
