// Remembers what the simulator received: the newest requests in a bounded ring, and counters per endpoint.
// Keeps heads and digests, never bodies, so that a long run stays small.

import { createHash } from "node:crypto";
import {
  type EndpointCounters,
  HOST_ENDPOINTS,
  type HostCounters,
  type HostEndpoint,
  type RequestRecord,
  type SignatureVerdict,
} from "./host-model.ts";
import { headerPairsOf } from "./request-head.ts";

/** What is known when a request has been answered (or has failed). */
export interface Observation {
  readonly endpoint: HostEndpoint;
  readonly clientPort: number;
  readonly method: string;
  readonly target: string;
  readonly head: string;
  readonly bodyBytes: number;
  readonly bodySha256: string;
  readonly signature: SignatureVerdict;
  readonly claims: string | null;
  readonly status: number;
  readonly faults: readonly string[];
  readonly problem: string | null;
}

export interface RecordQuery {
  readonly endpoint?: HostEndpoint;
  readonly verdict?: SignatureVerdict["kind"];
  /** Only records with a greater id. */
  readonly afterId?: number;
  /** The newest so many of those that match. */
  readonly limit?: number;
}

interface Kept extends Observation {
  readonly id: number;
  readonly timeMs: number;
}

interface Tally {
  connections: number;
  requests: number;
  unsigned: number;
  valid: number;
  invalid: number;
  broken: number;
  statuses: Map<number, number>;
}

export const EMPTY_SHA256 = createHash("sha256").digest("hex");

export class RequestLog {
  readonly #capacity: number;
  #ring: Kept[] = [];
  #oldest = 0;
  #lastId = 0;
  #tallies = freshTallies();
  readonly #listener: ((record: RequestRecord) => void) | undefined;

  /**
   * @param capacity - records kept; the oldest is dropped
   * @param listener - called with every record; it must not throw
   */
  constructor(capacity: number, listener: ((record: RequestRecord) => void) | undefined) {
    this.#capacity = Math.max(1, capacity);
    this.#listener = listener;
  }

  add(seen: Observation, nowMs: number): void {
    const kept: Kept = { ...seen, id: ++this.#lastId, timeMs: nowMs };
    if (this.#ring.length < this.#capacity) this.#ring.push(kept);
    else {
      this.#ring[this.#oldest] = kept;
      this.#oldest = (this.#oldest + 1) % this.#capacity;
    }
    const tally = this.#tallies[seen.endpoint];
    tally.requests++;
    if (seen.problem === null) tally[seen.signature.kind]++;
    else tally.broken++;
    tally.statuses.set(seen.status, (tally.statuses.get(seen.status) ?? 0) + 1);
    if (this.#listener !== undefined) this.#listener(recordOf(kept));
  }

  addConnection(endpoint: HostEndpoint): void {
    this.#tallies[endpoint].connections++;
  }

  /** Oldest first. */
  list(query: RecordQuery = {}): RequestRecord[] {
    const found: Kept[] = [];
    for (let i = 0; i < this.#ring.length; i++) {
      const kept = this.#ring[(this.#oldest + i) % this.#ring.length];
      if (kept === undefined) continue;
      if (query.endpoint !== undefined && kept.endpoint !== query.endpoint) continue;
      if (query.verdict !== undefined && kept.signature.kind !== query.verdict) continue;
      if (query.afterId !== undefined && kept.id <= query.afterId) continue;
      found.push(kept);
    }
    const from = query.limit === undefined ? 0 : Math.max(0, found.length - query.limit);
    return found.slice(from).map(recordOf);
  }

  counters(): HostCounters {
    return {
      wireserver: countersOf(this.#tallies.wireserver),
      hostga: countersOf(this.#tallies.hostga),
      imds: countersOf(this.#tallies.imds),
    };
  }

  /** Forgets records and counters; ids go on counting. */
  clear(): void {
    this.#ring = [];
    this.#oldest = 0;
    this.#tallies = freshTallies();
  }
}

function recordOf(kept: Kept): RequestRecord {
  return { ...kept, headers: headerPairsOf(kept.head) };
}

function freshTallies(): Record<HostEndpoint, Tally> {
  const fresh = (): Tally => ({ connections: 0, requests: 0, unsigned: 0, valid: 0, invalid: 0, broken: 0, statuses: new Map() });
  return { wireserver: fresh(), hostga: fresh(), imds: fresh() };
}

function countersOf(tally: Tally): EndpointCounters {
  const statuses: Record<string, number> = {};
  for (const [status, count] of [...tally.statuses].sort((a, b) => a[0] - b[0])) statuses[String(status)] = count;
  return { ...tally, statuses };
}

/** Sum of requests over all endpoints. */
export function totalRequests(counters: HostCounters): number {
  return HOST_ENDPOINTS.reduce((sum, endpoint) => sum + counters[endpoint].requests, 0);
}
