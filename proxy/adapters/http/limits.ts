// Every bound of the HTTP engine in one place: timeouts and sizes.
// Owns numbers only. A wait without a limit, or a buffer without a bound, is a bug of the engine.

const KIB = 1024;
const MIB = 1024 * KIB;

export interface HttpLimits {
  /** From the first byte of a request head to its end. Slower: 408. */
  readonly headMs: number;
  /** A connection on which no request is in progress, also a new one that stays silent. Longer: closed without a word. */
  readonly idleMs: number;
  /** Between two pieces of a request body. Slower: the body fails with `timeout`. */
  readonly bodyProgressMs: number;
  /** A buffered request body as a whole, so that a drip of single bytes cannot hold its share of the budget for long. */
  readonly bufferedBodyMs: number;
  /** The handler thinks: it neither reads the body nor answers nor forwards. Longer: 500 and a report. */
  readonly handlerMs: number;
  /** TCP connect to the host. */
  readonly connectMs: number;
  /** From the end of the request to the first byte of the response. Scheduled events may take minutes. */
  readonly firstByteMs: number;
  /** Between two pieces of a response. */
  readonly responseProgressMs: number;
  /** Between two pieces that the client takes off us. */
  readonly clientWriteMs: number;
  /** After the last answer on a connection: how long to wait, discarding, until the client has read it and closed. */
  readonly lingerMs: number;
  /** How much is discarded meanwhile. Generous: plain clients send a whole upload before they read the answer. */
  readonly lingerBytes: number;
  /** A kept host connection idle for longer is not used for a request that must not be sent twice. */
  readonly freshForUnsafeMs: number;
  /** How often deadlines are checked; every limit above may be exceeded by up to twice this. */
  readonly sweepMs: number;
  /** Client connections at the same time, before {@link connectionCap}. */
  readonly maxConnections: number;
  /**
   * What is held for all connections together, see memory-budget.ts: bodies, queues, heads, what was read ahead. Users share it max-min: without room, the
   * largest holder's oldest connection gives way, or a body is `busy`, or a connection ends.
   */
  readonly maxHeldBytes: number;
  /** Of these, what only connections of root may take: enough for its largest body (16 MiB) while that grows, which takes half as much again, and what comes with it. */
  readonly rootReserveBytes: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  headMs: 10_000,
  idleMs: 120_000,
  bodyProgressMs: 30_000,
  bufferedBodyMs: 120_000,
  handlerMs: 60_000,
  connectMs: 5_000,
  firstByteMs: 300_000,
  responseProgressMs: 60_000,
  clientWriteMs: 60_000,
  lingerMs: 2_000,
  lingerBytes: 16 * MIB,
  freshForUnsafeMs: 2_000,
  sweepMs: 1_000,
  maxConnections: 4096,
  maxHeldBytes: 60 * MIB,
  rootReserveBytes: 26 * MIB,
};

// One connection holds at most, in counted bytes: what of two reads the other side has not taken (32 KiB each, the first of the host
// 64 KiB); of its heads twice MAX_HEAD_BYTES, 200 for each field and 600 for each parameter, and as much again while one arrives; one and a
// half times its body. All together never hold more than maxHeldBytes, and 4 KiB each that are not counted.

/** Most bytes of a message head, request or response, with its start line. */
export const MAX_HEAD_BYTES = 64 * KIB;
export const MAX_REQUEST_FIELDS = 128;
export const MAX_RESPONSE_FIELDS = 256;
export const MAX_METHOD_BYTES = 32;
export const MAX_TARGET_BYTES = 32 * KIB;
/** Chunk extensions: of one chunk, and of all chunks of a body together. */
export const MAX_CHUNK_EXTENSION_BYTES = 256;
export const MAX_CHUNK_EXTENSIONS_BYTES = 16 * KIB;
export const MAX_CHUNK_SIZE_DIGITS = 8;
export const MAX_TRAILER_BYTES = 8 * KIB;
/** Informational (1xx) heads before the final one. */
export const MAX_INTERIM_RESPONSES = 16;
/** Bytes of later requests that are taken in while one is in progress; then reading stops. */
export const MAX_READ_AHEAD_BYTES = 16 * KIB;

/**
 * For the kernel's receive buffer of each connection, both sides; it doubles the number. One read brings at most 32 KiB, the first one
 * from the host 64 KiB, which the kernel may have taken before the limit was set. Without it the runtime reads 512 KiB at once, and all
 * of that has to be kept when the other side does not take it.
 */
export const RECEIVE_BUFFER_BYTES = 16 * KIB;
/** So many bytes may be read between two collections of garbage. */
export const COLLECT_AFTER_BYTES = 32 * MIB;
/** For the kernel's send buffer of each connection, which it doubles: it would take megabytes for a peer that does not read. */
export const SEND_BUFFER_BYTES = 64 * KIB;

/** Descriptors kept free for everything that is not a proxied connection: maps, logs, state, our own calls. */
const RESERVED_DESCRIPTORS = 128;

/**
 * How many clients fit under the descriptor limit. Each may need two descriptors (its own and one to the host);
 * running out of them would make accept(2) fail in a busy loop.
 */
export function connectionCap(maxConnections: number, descriptorLimit: number): number {
  return Math.max(1, Math.min(maxConnections, Math.floor((descriptorLimit - RESERVED_DESCRIPTORS) / 2)));
}
