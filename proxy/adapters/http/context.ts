// What all connections of one listener share, and what one request may request from the connection it came on.
// Types only: they let the request and the connection be read apart from each other.

import type { Peer } from "../../core/ports.ts";
import type { InputBuffer } from "./input-buffer.ts";
import type { HttpLimits } from "./limits.ts";
import type { MemoryAccount, MemoryBudget } from "./memory-budget.ts";
import type { Connect, ReportBug, Stream } from "./socket.ts";
import type { Upstream } from "./upstream.ts";

export interface EngineContext {
  readonly limits: HttpLimits;
  readonly budget: MemoryBudget;
  readonly connect: Connect;
  readonly onError: ReportBug;
  /** A request head was refused before any handler saw it. */
  readonly onRefusal: (peer: Peer, status: number, detail: string) => void;
  /** Milliseconds that the sweep has counted. It stands still while the process does, so our own pauses time out no client. */
  readonly nowMs: number;
  /** The listener is stopping: no connection outlives its current request. */
  readonly stopping: boolean;
}

/** A client connection as its current request sees it. */
export interface ClientLink {
  readonly context: EngineContext;
  readonly stream: Stream;
  /** What the connection holds in memory, all of it. */
  readonly account: MemoryAccount;
  /** Received and not yet consumed: the rest of the body, then the next requests. */
  readonly input: InputBuffer;
  /** The client will send nothing more; it may still read. */
  readonly inputEnded: boolean;
  /** The one connection to the host that belongs to this client, while it is open. */
  upstream: Upstream | undefined;
  /** When {@link upstream} became idle, in {@link EngineContext.nowMs}. */
  upstreamIdleSinceMs: number;
  /** Sets the deadline of whatever is waited for now; replaces the one before. */
  arm(limitMs: number): void;
  /** The answer is written whole. With `keep` the next request follows, otherwise the connection closes in good order. */
  finish(keep: boolean): void;
  /** Resets the connection: the client must not take what it has for a whole answer. */
  abort(): void;
}
