// One TCP connection of a client: cuts requests out of the bytes, keeps answers in order, carries out faults.
// Knows nothing of services or signatures; it hands heads and body pieces to a RequestIntake and sends what comes back.

import { setTimeout as sleep } from "node:timers/promises";
import type { Socket } from "bun";
import { ChunkedBody } from "./chunked-body.ts";
import type { FaultAction } from "./faults.ts";
import { isBodiless, joinHeadAndBody, type Reply, renderReplyHead } from "./reply.ts";
import { MAX_HEAD_BYTES, parseRequestHead, type ReceivedHead } from "./request-head.ts";

/** The part of Bun's socket that a connection uses. */
type ClientSocket = Pick<Socket<unknown>, "write" | "end" | "shutdown" | "terminate" | "pause" | "resume" | "timeout" | "remotePort">;

export interface Outgoing {
  readonly reply: Reply;
  readonly actions: readonly FaultAction[];
}

/** Takes one request in, piece by piece. Exactly one of finish() and abandon() is called, unless `early` was given. */
export interface RequestIntake {
  /** An answer that does not wait for the body; the connection closes after it. */
  readonly early: Outgoing | undefined;
  addBody(piece: Buffer): void;
  finish(): Outgoing;
  /** @param status - what was answered, 0 for nothing */
  abandon(problem: string, status: number): void;
}

export interface RequestSource {
  begin(head: ReceivedHead, clientPort: number): RequestIntake;
  /** Bytes that are no request. The connection is answered with `status` and closed. */
  malformed(text: string, status: number, detail: string, clientPort: number): Reply;
  /** Current host date for the Date header. */
  date(): string;
}

type State = "head" | "body" | "answering" | "draining" | "closed";

const PAUSE_AT_BYTES = 1 << 20;
const DRAIN_LIMIT_BYTES = 256 << 20;
const LINGER_SECONDS = 5;
/** Lets bytes written before a reset reach the other side. */
const RESET_AFTER_MS = 10;
const HEAD_END = Buffer.from("\r\n\r\n");
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

export class HostConnection {
  readonly #socket: ClientSocket;
  readonly #source: RequestSource;
  readonly #clientPort: number;
  #state: State = "head";
  #input: Buffer | undefined;
  #paused = false;
  #peerEnded = false;
  #drainedBytes = 0;
  #head: ReceivedHead | undefined;
  #intake: RequestIntake | undefined;
  #chunked: ChunkedBody | undefined;
  #leftBytes = 0;
  #unsent: Buffer[] = [];
  #flushed: (() => void) | undefined;

  constructor(socket: ClientSocket, source: RequestSource) {
    this.#socket = socket;
    this.#source = source;
    this.#clientPort = socket.remotePort;
  }

  onData(chunk: Buffer): void {
    if (this.#state === "closed") return;
    if (this.#state === "draining") {
      this.#drainedBytes += chunk.length;
      if (this.#drainedBytes > DRAIN_LIMIT_BYTES) this.abort();
      return;
    }
    this.#input = this.#input === undefined ? chunk : Buffer.concat([this.#input, chunk]);
    if (this.#state !== "answering") this.#process();
    else if (this.#input.length > PAUSE_AT_BYTES && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  onDrain(): void {
    this.#flush();
  }

  /** The client sent its FIN; it may still read. */
  onEnd(): void {
    this.#peerEnded = true;
    if (this.#state === "answering") return;
    this.#intake?.abandon("client ended the connection before the end of its request", 0);
    this.#intake = undefined;
    this.#end();
  }

  onClose(): void {
    if (this.#state !== "answering") this.#intake?.abandon("client closed the connection before the end of its request", 0);
    this.#state = "closed";
    this.#input = undefined;
    this.#unsent = [];
    this.#flushed?.();
  }

  /** Resets the connection. */
  abort(): void {
    if (this.#state === "closed") return;
    this.#socket.terminate();
    this.onClose();
  }

  #process(): void {
    while (this.#input !== undefined && (this.#state === "head" || this.#state === "body")) {
      const input: Buffer = this.#input;
      this.#input = undefined;
      const rest = this.#state === "head" ? this.#takeHead(input) : this.#takeBody(input);
      if (rest === "wait") return;
      if (rest.length > 0) this.#input = rest;
    }
  }

  /** Returns what follows the head, or "wait" with the input put back. */
  #takeHead(received: Buffer): Buffer | "wait" {
    let input = received;
    while (input[0] === 0x0d && input[1] === 0x0a) input = input.subarray(2);
    const end = input.indexOf(HEAD_END);
    if (end < 0 || end > MAX_HEAD_BYTES) {
      const problem = problemInPart(input);
      if (problem !== undefined) return this.#refuse(input, input.length > MAX_HEAD_BYTES ? 431 : 400, problem);
      this.#input = input;
      return "wait";
    }
    const result = parseRequestHead(input.toString("latin1", 0, end + 4));
    if (!result.ok) return this.#refuse(input, result.problem.status, result.problem.detail);
    const head = result.head;
    const rest = input.subarray(end + 4);
    const intake = this.#source.begin(head, this.#clientPort);
    if (intake.early !== undefined) {
      this.#send(intake.early, head, true);
      return "wait";
    }
    this.#head = head;
    this.#intake = intake;
    if (head.framing.kind === "none") {
      this.#finish(head, intake);
      return rest;
    }
    if (head.expectsContinue && rest.length === 0) this.#write(CONTINUE);
    this.#state = "body";
    if (head.framing.kind === "chunked") this.#chunked = new ChunkedBody();
    else {
      this.#chunked = undefined;
      this.#leftBytes = head.framing.lengthBytes;
    }
    return rest;
  }

  #takeBody(input: Buffer): Buffer | "wait" {
    const head = this.#head;
    const intake = this.#intake;
    if (head === undefined || intake === undefined) throw new Error("internal error: body without a request");
    if (this.#chunked !== undefined) {
      const progress = this.#chunked.push(input, (piece) => intake.addBody(piece));
      if (progress.kind === "more") return input.subarray(input.length);
      if (progress.kind === "malformed") {
        this.#intake = undefined;
        intake.abandon(progress.detail, 400);
        return this.#refuseUnrecorded(400);
      }
      this.#finish(head, intake);
      return input.subarray(progress.usedBytes);
    }
    const piece = input.length > this.#leftBytes ? input.subarray(0, this.#leftBytes) : input;
    this.#leftBytes -= piece.length;
    intake.addBody(piece);
    if (this.#leftBytes === 0) this.#finish(head, intake);
    return input.subarray(piece.length);
  }

  #finish(head: ReceivedHead, intake: RequestIntake): void {
    this.#intake = undefined;
    this.#send(intake.finish(), head, head.wantsClose);
  }

  #refuse(input: Buffer, status: number, detail: string): "wait" {
    const text = input.toString("latin1", 0, 4096);
    const reply = this.#source.malformed(text, status, detail, this.#clientPort);
    this.#write(Buffer.from(renderReplyHead(reply, this.#source.date(), 1, true), "latin1"));
    this.#drain();
    return "wait";
  }

  #refuseUnrecorded(status: number): "wait" {
    const reply: Reply = { status, headerLines: "", body: new Uint8Array(0) };
    this.#write(Buffer.from(renderReplyHead(reply, this.#source.date(), 1, true), "latin1"));
    this.#drain();
    return "wait";
  }

  #send(outgoing: Outgoing, head: ReceivedHead, closes: boolean): void {
    const { reply, actions } = outgoing;
    this.#state = "answering";
    if (actions.length > 0 || !(reply.body instanceof Uint8Array)) {
      void this.#sendSlowly(outgoing, head, closes).then(
        () => this.#process(),
        () => this.abort(),
      );
      return;
    }
    const text = renderReplyHead(reply, this.#source.date(), head.minorVersion, closes);
    this.#write(isBodiless(head.method, reply.status) ? Buffer.from(text, "latin1") : joinHeadAndBody(text, reply.body));
    if (this.#unsent.length === 0) this.#answered(closes);
    else {
      void this.#whenFlushed().then(() => {
        this.#answered(closes);
        this.#process();
      });
    }
  }

  /** Streams and faults: everything that takes more than one write. */
  async #sendSlowly({ reply, actions }: Outgoing, head: ReceivedHead, closes: boolean): Promise<void> {
    const find = <K extends FaultAction["kind"]>(kind: K): Extract<FaultAction, { kind: K }> | undefined =>
      actions.find((action): action is Extract<FaultAction, { kind: K }> => action.kind === kind);
    for (const action of actions) {
      if (action.kind === "delay") await sleep(action.delayMs);
      if (action.kind === "informational") this.#write(Buffer.from(`HTTP/1.1 ${action.status} Interim\r\n\r\n`));
      if (action.kind === "hang") return;
    }
    const raw = find("raw-answer");
    if (raw !== undefined) {
      this.#write(Buffer.from(raw.text, "latin1"));
      await this.#whenFlushed();
      this.#answered(true);
      return;
    }
    const text = Buffer.from(renderReplyHead(reply, this.#source.date(), head.minorVersion, closes), "latin1");
    const reset = find("reset");
    if (reset?.during === "head") {
      this.#write(text.subarray(0, text.length >> 1));
      await sleep(RESET_AFTER_MS);
      this.abort();
      return;
    }
    const dribble = find("dribble");
    await this.#writePaced(text, dribble);
    if (!isBodiless(head.method, reply.status)) await this.#writeBody(reply, reset !== undefined, dribble);
    if (reset !== undefined) {
      await sleep(RESET_AFTER_MS);
      this.abort();
      return;
    }
    await this.#whenFlushed();
    this.#answered(closes || find("close-after-answer") !== undefined);
  }

  async #writeBody(reply: Reply, half: boolean, dribble: Pacing | undefined): Promise<void> {
    if (reply.body instanceof Uint8Array) {
      const body = Buffer.from(reply.body);
      await this.#writePaced(half ? body.subarray(0, body.length >> 1) : body, dribble);
      return;
    }
    const { block, totalBytes } = reply.body;
    let left = half ? totalBytes >> 1 : totalBytes;
    while (left > 0 && !this.#isClosed()) {
      const piece = Buffer.from(block.buffer, block.byteOffset, Math.min(block.length, left));
      left -= piece.length;
      await this.#writePaced(piece, dribble);
      await this.#whenFlushed();
    }
  }

  async #writePaced(bytes: Buffer, dribble: Pacing | undefined): Promise<void> {
    if (dribble === undefined) {
      this.#write(bytes);
      return;
    }
    for (let at = 0; at < bytes.length && !this.#isClosed(); at += dribble.chunkBytes) {
      this.#write(bytes.subarray(at, at + dribble.chunkBytes));
      await sleep(dribble.intervalMs);
    }
  }

  #answered(closes: boolean): void {
    if (this.#state === "closed") return;
    if (closes) {
      this.#drain();
      return;
    }
    this.#state = "head";
    if (this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
    if (this.#peerEnded && this.#input === undefined) this.#end();
  }

  /** Ends our side and reads on for a while: closing with unread input would reset the answer away. */
  #drain(): void {
    this.#state = "draining";
    this.#input = undefined;
    if (this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
    if (this.#unsent.length === 0) this.#end();
    else void this.#whenFlushed().then(() => this.#end());
  }

  #end(): void {
    if (this.#state === "closed") return;
    this.#state = "draining";
    this.#socket.timeout(LINGER_SECONDS);
    if (this.#peerEnded) this.#socket.end();
    else this.#socket.shutdown();
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }

  #write(bytes: Buffer): void {
    if (this.#state === "closed" || bytes.length === 0) return;
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes);
      return;
    }
    const sent = Math.max(0, this.#socket.write(bytes));
    if (sent < bytes.length) this.#unsent.push(bytes.subarray(sent));
  }

  #flush(): void {
    let first = this.#unsent[0];
    while (first !== undefined) {
      const sent = Math.max(0, this.#socket.write(first));
      if (sent < first.length) {
        this.#unsent[0] = first.subarray(sent);
        return;
      }
      this.#unsent.shift();
      first = this.#unsent[0];
    }
    this.#flushed?.();
  }

  #whenFlushed(): Promise<void> {
    if (this.#unsent.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#flushed = () => {
        this.#flushed = undefined;
        resolve();
      };
    });
  }
}

type Pacing = Extract<FaultAction, { kind: "dribble" }>;

/** What is already wrong with an incomplete head, so that it is answered without waiting for an end that cannot come. */
function problemInPart(part: Buffer): string | undefined {
  if (part.length > MAX_HEAD_BYTES) return "head is too long";
  let lineFeed = part.indexOf(0x0a);
  while (lineFeed >= 0) {
    if (part[lineFeed - 1] !== 0x0d) return "line ends without CR";
    lineFeed = part.indexOf(0x0a, lineFeed + 1);
  }
  const first = part[0];
  return first !== undefined && first !== 0x0d && (first < 0x21 || first > 0x7e) ? "request does not begin with a method" : undefined;
}
