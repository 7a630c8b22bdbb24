// TCP as the engine sees it: a small stream interface, and its one implementation on Bun's sockets.
// Owns the write queue, because a Bun socket takes only what the kernel has room for, and bounds what one read brings.
// Knows nothing of HTTP.

import type { TCPSocketListener } from "bun";
import type { Connection, Peer } from "../../core/ports.ts";
import { limitReceiveBuffer, limitSendBuffer } from "../native/socket-options.ts";
import { COLLECT_AFTER_BYTES, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES } from "./limits.ts";
import type { MemoryAccount } from "./memory-budget.ts";
import { OutputQueue } from "./output-queue.ts";

/** Events of a stream for its owner. After onClose nothing more comes. */
export interface StreamEvents {
  /** May come once more after pause(), with bytes the kernel had already handed over. */
  onData(bytes: Buffer): void;
  /** The write queue is empty again after write() returned false. */
  onDrain(): void;
  /** The peer finished sending; we may still send. */
  onEnd(): void;
  /** The stream is gone, whichever side ended it. Comes exactly once; may come from inside close() and reset(). */
  onClose(): void;
}

export interface Stream {
  readonly closed: boolean;
  /** Bytes given to write() that the kernel has not taken yet. */
  readonly queuedBytes: number;
  /** Bytes the kernel has taken; grows while the peer reads, so it distinguishes a slow reader from a dead one. */
  readonly flushedBytes: number;
  /** Where what is queued is counted; undefined: nowhere. Set it before the first write. */
  account: MemoryAccount | undefined;
  /**
   * Sends or queues. False: stop writing until onDrain (or onClose) comes. `bytes` must not change afterwards.
   * Without room for what the kernel does not take, the account is evicted and the stream reset.
   * @param counted - the memory of `bytes` is counted elsewhere for as long as the stream is open
   */
  write(bytes: Uint8Array, counted?: boolean): boolean;
  pause(): void;
  resume(): void;
  /** Sends FIN after what is queued; receiving goes on. */
  shutdown(): void;
  /** Closes at once; queued bytes are lost. */
  close(): void;
  /** Closes at once with RST, so that the peer cannot take what it has for the whole. */
  reset(): void;
}

export interface ConnectEvents extends StreamEvents {
  onConnect(stream: Stream): void;
  onConnectFailed(detail: string): void;
}

export interface ConnectAttempt {
  /** No event comes afterwards; a connection that still succeeds is reset. */
  cancel(): void;
}

/** @param account - of the stream that comes of it */
export type Connect = (peer: Peer, events: ConnectEvents, account?: MemoryAccount) => ConnectAttempt;

/** Called for what no byte from outside should cause: an exception inside an event. */
export type ReportBug = (where: string, error: unknown) => void;

type BunSocket = Bun.Socket<BunStream>;
/** The runtime has it; its types do not. */
type WithDescriptor = { readonly fd: number };

let readSinceCollection = 0;

/**
 * Every read leaves a buffer for the garbage collector, which by itself comes only when there is as much of them as all that is in use,
 * and then not at once. A whole collection takes some milliseconds; partial ones make it worse, because they put whole ones off.
 */
function collectAfter(readBytes: number): void {
  readSinceCollection += readBytes;
  if (readSinceCollection < COLLECT_AFTER_BYTES) return;
  readSinceCollection = 0;
  Bun.gc(true);
}

/** Where the system refuses, the budget still holds; it is only used up sooner. */
function limitBuffers({ fd }: WithDescriptor): void {
  limitReceiveBuffer(fd, RECEIVE_BUFFER_BYTES);
  limitSendBuffer(fd, SEND_BUFFER_BYTES);
}

class BunStream implements Stream {
  closed = false;
  flushedBytes = 0;
  account: MemoryAccount | undefined;
  readonly #socket: BunSocket;
  #events: StreamEvents;
  /** Made when the kernel takes less than it is given for the first time. */
  #queue: OutputQueue | undefined;
  #paused = false;
  #finishing = false;

  constructor(socket: BunSocket, events: StreamEvents, account: MemoryAccount | undefined) {
    this.#socket = socket;
    this.#events = events;
    this.account = account;
  }

  get queuedBytes(): number {
    return this.#queue?.length ?? 0;
  }

  setEvents(events: StreamEvents): void {
    this.#events = events;
  }

  write(bytes: Uint8Array, counted = false): boolean {
    if (this.closed || this.#finishing) return false;
    if (this.queuedBytes > 0) {
      this.#enqueue(bytes, counted);
      return false;
    }
    const taken = this.#socket.write(bytes);
    // Less than nothing: the socket is failing, and its close event is on the way.
    if (taken < 0) return false;
    this.flushedBytes += taken;
    if (taken === bytes.length) return true;
    this.#enqueue(taken === 0 ? bytes : bytes.subarray(taken), counted);
    return false;
  }

  #enqueue(bytes: Uint8Array, counted: boolean): void {
    this.#queue ??= new OutputQueue(this.account);
    if (this.#queue.push(bytes, counted)) return;
    this.account?.evict();
    // Part of what was to be sent is lost, whatever else the eviction did.
    this.reset();
  }

  pause(): void {
    if (this.#paused || this.closed) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused || this.closed) return;
    this.#paused = false;
    this.#socket.resume();
  }

  shutdown(): void {
    if (this.closed || this.#finishing) return;
    this.#finishing = true;
    if (this.queuedBytes === 0) this.#socket.shutdown();
  }

  close(): void {
    if (!this.closed) this.#socket.close();
  }

  reset(): void {
    if (!this.closed) this.#socket.terminate();
  }

  // ---- from Bun ----

  received(bytes: Buffer): void {
    collectAfter(bytes.length);
    if (!this.closed) this.#events.onData(bytes);
  }

  ended(): void {
    if (!this.closed) this.#events.onEnd();
  }

  /** Bun also reports room when nothing waits for it. */
  writable(): void {
    const queue = this.#queue;
    if (this.closed || queue === undefined || queue.length === 0) return;
    for (let next = queue.first; next !== undefined; next = queue.first) {
      const taken = this.#socket.write(next);
      if (taken < 0) return;
      this.flushedBytes += taken;
      const whole = taken === next.length;
      queue.drop(taken);
      if (!whole) return;
    }
    if (this.#finishing) this.#socket.shutdown();
    else this.#events.onDrain();
  }

  gone(): void {
    if (this.closed) return;
    this.closed = true;
    this.#queue?.clear();
    this.#events.onClose();
  }
}

/** Runs in Bun's error callback: an exception there would reach the process, so nothing leaves it. */
function contain(socket: BunSocket, error: Error, where: string, report: ReportBug): void {
  try {
    report(where, error);
    socket.terminate();
    socket.data?.gone();
  } catch (second) {
    try {
      report(where, second);
    } catch {
      // The reporter itself is broken; there is no other place to report to.
    }
  }
}

/** Decides about one accepted connection, before any byte of it is read. Undefined: it was closed. */
export type Accept = (stream: Stream, connection: Connection) => StreamEvents | undefined;

/** Queries the system for the remote address only when it is needed. */
class AcceptedConnection implements Connection {
  readonly descriptor: number;
  readonly #socket: BunSocket;

  constructor(socket: BunSocket) {
    this.#socket = socket;
    // Bun's types do not have it.
    this.descriptor = (socket as BunSocket & { readonly fd: number }).fd;
  }

  // A peer that reset before we accepted has no address any more, whatever the types say.
  get address(): string {
    return this.#socket.remoteAddress ?? "";
  }

  get port(): number {
    return this.#socket.remotePort ?? 0;
  }
}

export interface ListenAddress {
  readonly hostname: string;
  readonly port: number;
  /** An inherited listening descriptor; takes the place of address and port. */
  readonly descriptor?: number | undefined;
}

export interface ListeningSocket {
  readonly port: number;
  /** Accepts no more; connections already accepted stay. */
  stop(): void;
}

const DEAF: StreamEvents = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };

/** Listens for TCP connections. Throws what the system throws (an Error with `code`) when it cannot. */
export function listenTcp(address: ListenAddress, accept: Accept, report: ReportBug): ListeningSocket {
  const where = address.descriptor === undefined ? { hostname: address.hostname, port: address.port } : { fd: address.descriptor };
  const listener = Bun.listen<BunStream>({
    ...(where as { hostname: string; port: number }),
    allowHalfOpen: true,
    socket: {
      open(socket) {
        const stream = new BunStream(socket, DEAF, undefined);
        socket.data = stream;
        const events = accept(stream, new AcceptedConnection(socket));
        if (events === undefined) return;
        stream.setEvents(events);
        // Closed while its fate was being decided: the owner was not listening yet.
        if (stream.closed) events.onClose();
      },
      data: (socket, bytes) => socket.data.received(bytes),
      drain: (socket) => socket.data.writable(),
      end: (socket) => socket.data.ended(),
      close: (socket) => socket.data?.gone(),
      error: (socket, error) => contain(socket, error, "client connection", report),
    },
  }) as TCPSocketListener<BunStream>;
  limitBuffers(listener as TCPSocketListener<BunStream> & WithDescriptor);
  return { port: listener.port ?? 0, stop: () => listener.stop(false) };
}

class BunConnectAttempt implements ConnectAttempt {
  stream: BunStream | undefined;
  events: ConnectEvents | undefined;
  /** Notifies the connector that the kernel has finished this attempt, successful or not. */
  readonly settled: () => void;
  readonly account: MemoryAccount | undefined;

  constructor(events: ConnectEvents, settled: () => void, account: MemoryAccount | undefined) {
    this.events = events;
    this.settled = settled;
    this.account = account;
  }

  cancel(): void {
    this.events = undefined;
  }
}

/**
 * Makes the function that opens connections to the host.
 * @param maxPending - attempts under way at the same time, cancelled ones included: a host that answers no SYN keeps each of
 *   them (and a descriptor) for minutes, because Bun cannot take an attempt back. Beyond it, connecting fails at once.
 */
export function tcpConnector(maxPending: number, report: ReportBug): Connect {
  let pending = 0;
  const settled = () => {
    pending--;
  };
  return (peer, events, account) => {
    const attempt = new BunConnectAttempt(events, settled, account);
    if (pending >= maxPending) {
      queueMicrotask(() => attempt.events?.onConnectFailed(`${pending} connection attempts are under way already`));
      return attempt;
    }
    pending++;
    openTcp(peer, attempt, report);
    return attempt;
  };
}

function openTcp(peer: Peer, attempt: BunConnectAttempt, report: ReportBug): void {
  let open = true;
  const settle = () => {
    if (open) attempt.settled();
    open = false;
  };
  const failed = (error: unknown) => {
    settle();
    const { events } = attempt;
    attempt.events = undefined;
    events?.onConnectFailed(describe(error));
  };
  Bun.connect<BunStream>({
    hostname: peer.address,
    port: peer.port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        settle();
        const { events, account } = attempt;
        if (events === undefined) {
          socket.terminate();
          return;
        }
        // The agent's own calls have a limit of their own for the whole answer.
        if (account !== undefined) limitBuffers(socket as BunSocket & WithDescriptor);
        socket.data = new BunStream(socket, events, account);
        events.onConnect(socket.data);
      },
      data: (socket, bytes) => socket.data?.received(bytes),
      drain: (socket) => socket.data?.writable(),
      end: (socket) => socket.data?.ended(),
      close: (socket) => socket.data?.gone(),
      error: (socket, error) => contain(socket, error, "host connection", report),
      connectError: (_socket, error) => failed(error),
    },
  }).catch(failed);
}

function describe(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return code ?? message ?? String(error);
}
