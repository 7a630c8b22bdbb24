// Writes the decision trail asynchronously: a decision is queued and costs its request no more than that; batches are encoded,
// chained and written from a timer that runs only while there is something. What cannot be written is counted, logged, and becomes a
// record of its own when writing works again. No request waits for the disk.

import { closeSync, ftruncateSync, write as writeFile } from "node:fs";
import { describeError } from "../../core/thrown.ts";
import type { GapRecord, Recovery, TrailDecision } from "../../core/trail/trail-record.ts";
import { continueTrail } from "./continue-trail.ts";
import { DecisionQueue } from "./decision-queue.ts";
import { encodeDecision, encodeOpening, encodeOwnRecord } from "./encode-record.ts";
import { FRAME_OVERHEAD_BYTES, HASH_BYTES, MAX_PAYLOAD_BYTES, writeFrame } from "./frame.ts";
import { closeSegment, makeSegment, type OpenSegment } from "./open-segment.ts";
import { readFirstSequence } from "./read-segment.ts";
import { claimFolder, listSegments, removeSegment } from "./segment-files.ts";

export interface TrailOptions {
  readonly folder: string;
  readonly segmentBytes: number;
  /** Of all segments together. */
  readonly totalBytes: number;
  readonly version: string;
  readonly nowMs: () => number;
  /** Writing fails from now on, or works again; called at each change only. */
  readonly onFailing: (message: string) => void;
  readonly onRestored: (lost: number) => void;
  readonly onRecovery: (recovery: Recovery) => void;
  /** A point to hold the trail against later: worth keeping where a writer of the folder cannot change it. */
  readonly onAnchor: (anchor: TrailAnchor) => void;
  /** Of the queue; smaller in tests. */
  readonly maxQueued?: number;
}

export interface TrailAnchor {
  readonly segment: number;
  readonly sequence: number;
  /** Hex, of the record with that sequence. */
  readonly hash: string;
}

export interface TrailState {
  readonly records: number;
  readonly lost: number;
  readonly writeFailures: number;
  readonly bytes: number;
  readonly sequence: number;
  /** Why nothing can be written now; undefined when it can. */
  readonly failing: string | undefined;
}

export const REST_MS = 50;
/** So many wait for no timer. */
const EAGER_DECISIONS = 256;
const MAX_QUEUED = 16_384;
const QUEUED_BYTES = 4 * 1024 * 1024;
const BATCH_BYTES = 256 * 1024;
const ROOM_BYTES = MAX_PAYLOAD_BYTES + FRAME_OVERHEAD_BYTES;
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
const ANCHOR_MS = 3_600_000;

export class TrailWriter {
  readonly #options: TrailOptions;
  readonly #queue: DecisionQueue;
  #gap: Omit<GapRecord, "kind" | "sequence" | "timeMs"> | undefined;
  #segment: OpenSegment | undefined;
  #sequence = 1;
  #recovery: Recovery | undefined;
  /** The hash before the batch, then the batch. */
  readonly #buffer = Buffer.allocUnsafe(HASH_BYTES + BATCH_BYTES);
  #batch: { readonly end: number; readonly decisions: number; readonly lost: number } | undefined;
  #state: "idle" | "due" | "writing" = "idle";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #eager = false;
  #retryMs = RETRY_MS;
  #anchoredMs = 0;
  #stopping = false;
  #waiters: (() => void)[] = [];
  #records = 0;
  #lost = 0;
  #writeFailures = 0;
  #olderBytes = 0;
  #failing: string | undefined;

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#queue = new DecisionQueue(options.maxQueued ?? MAX_QUEUED, QUEUED_BYTES);
  }

  state(): TrailState {
    const bytes = this.#olderBytes + (this.#segment?.bytes ?? 0);
    const { records, lost, writeFailures } = { records: this.#records, lost: this.#lost, writeFailures: this.#writeFailures };
    return { records, lost, writeFailures, bytes, sequence: this.#sequence - 1, failing: this.#failing };
  }

  /** Queues one decision. Never throws, never waits. */
  append(decision: TrailDecision): void {
    const timeMs = this.#options.nowMs();
    if (this.#gap !== undefined || this.#stopping || !this.#take(timeMs, decision)) {
      this.#lose(1, timeMs, timeMs);
      if (this.#state === "idle" && !this.#stopping) this.#schedule(REST_MS);
      return;
    }
    if (this.#state === "idle") this.#schedule(REST_MS);
    else if (this.#queue.length >= EAGER_DECISIONS && this.#state === "due" && !this.#eager && this.#failing === undefined) {
      this.#eager = true;
      this.#schedule(0);
    }
  }

  /** Encoded at once: nothing of the request is kept until the disk has it. False: no room, or a defect of ours in one record. */
  #take(timeMs: number, decision: TrailDecision): boolean {
    try {
      return this.#queue.push(encodeDecision(timeMs, decision));
    } catch {
      return false;
    }
  }

  /** Opens the trail and says that the agent started. */
  start(): void {
    this.#run();
  }

  /** Resolves when all that was queued is written, or cannot be now. */
  flush(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push(resolve);
    if (this.#state !== "writing") this.#run();
    return promise;
  }

  /** Writes what is left and says that the agent stopped. */
  async stop(): Promise<void> {
    await this.flush();
    this.#stopping = true;
    if (this.#segment === undefined || this.#failing !== undefined) {
      if (this.#segment !== undefined) closeSync(this.#segment.descriptor);
      this.#segment = undefined;
      clearTimeout(this.#timer);
      return;
    }
    await this.flush();
    clearTimeout(this.#timer);
    this.#anchor();
    await closeSegment(this.#segment);
    this.#segment = undefined;
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#state = "due";
    this.#timer = setTimeout(() => this.#run(), ms);
  }

  #run(): void {
    clearTimeout(this.#timer);
    this.#eager = false;
    try {
      if (this.#batch === undefined) {
        if (!this.#makeRoom()) {
          this.#rest();
          return;
        }
        this.#encodeBatch();
      }
      if (this.#batch === undefined || this.#segment === undefined) {
        this.#settle();
        return;
      }
      this.#state = "writing";
      this.#write(this.#segment, this.#batch.end, HASH_BYTES);
    } catch (error) {
      this.#fail(`internal error in decision trail: ${describeError(error)}`);
      this.#rest();
    }
  }

  /** A segment with room for a batch, or false after the reason was reported. */
  #makeRoom(): boolean {
    const { folder, segmentBytes } = this.#options;
    if (this.#segment === undefined) return this.#open(folder);
    if (this.#segment.bytes + BATCH_BYTES <= segmentBytes) return true;
    const full = this.#segment;
    if (!this.#nextSegment(full.number + 1, undefined)) return false;
    void closeSegment(full);
    this.#anchor();
    return true;
  }

  #open(folder: string): boolean {
    const claimed = claimFolder(folder);
    const found = claimed.ok ? continueTrail(folder) : claimed;
    if (!found.ok) return this.#fail(found.error);
    const { lastHash, nextSequence, open, nextSegment, afterStop, recovery } = found.value;
    this.#buffer.set(lastHash, 0);
    this.#sequence = nextSequence;
    if (recovery !== undefined) this.#options.onRecovery(recovery);
    // What a try before this one found is still to be recorded, in a segment of its own.
    this.#recovery ??= recovery;
    if (open !== undefined && this.#recovery === undefined) {
      this.#segment = open;
      this.#countOlder(open.number);
    } else {
      if (open !== undefined) closeSync(open.descriptor);
      if (!this.#nextSegment(nextSegment, this.#recovery)) return false;
      this.#recovery = undefined;
    }
    const start = {
      kind: "start",
      sequence: this.#sequence,
      timeMs: this.#options.nowMs(),
      version: this.#options.version,
      afterStop,
    } as const;
    const end = this.#put(HASH_BYTES, encodeOwnRecord(start));
    this.#batch = { end, decisions: 0, lost: 0 };
    return true;
  }

  #nextSegment(number: number, recovery: Recovery | undefined): boolean {
    const { folder, version, nowMs, segmentBytes, totalBytes } = this.#options;
    const listed = listSegments(folder);
    if (!listed.ok) return this.#fail(listed.error);
    const older = [...listed.value];
    const removed: number[] = [];
    let bytes = older.reduce((sum, each) => sum + each.bytes, 0);
    while (bytes + segmentBytes > totalBytes) {
      const oldest = older.shift();
      if (oldest === undefined) break;
      bytes -= oldest.bytes;
      removed.push(oldest.number);
    }
    const keptSegment = older[0]?.number ?? number;
    const keptSequence = older.length === 0 ? this.#sequence : readFirstSequence(folder, keptSegment);
    const head = {
      kind: "head",
      sequence: this.#sequence,
      timeMs: nowMs(),
      segment: number,
      version,
      keptSegment,
      keptSequence,
      recovery,
    } as const;
    const made = makeSegment(folder, head, this.#buffer.subarray(0, HASH_BYTES));
    if (!made.ok) return this.#fail(made.error);
    this.#segment = made.value.segment;
    this.#buffer.set(made.value.hash, 0);
    this.#sequence++;
    this.#olderBytes = bytes;
    // Only now: the record that says so is written.
    for (const each of removed) void removeSegment(folder, each);
    return true;
  }

  #countOlder(than: number): void {
    const listed = listSegments(this.#options.folder);
    this.#olderBytes = listed.ok ? listed.value.reduce((sum, { number, bytes }) => (number < than ? sum + bytes : sum), 0) : 0;
  }

  #encodeBatch(): void {
    if (this.#batch !== undefined) return;
    const first = this.#sequence;
    try {
      this.#fillBatch();
    } catch (error) {
      // Numbers without a gap: what was not made was not counted either.
      this.#sequence = first;
      throw error;
    }
  }

  #fillBatch(): void {
    let end = HASH_BYTES;
    let decisions = 0;
    while (end + ROOM_BYTES <= this.#buffer.length) {
      const body = this.#queue.take();
      if (body === undefined) break;
      end = writeFrame(this.#buffer, end, body, encodeOpening(this.#sequence++));
      decisions++;
    }
    const roomLeft = end + ROOM_BYTES <= this.#buffer.length;
    let lost = 0;
    if (this.#gap !== undefined && this.#queue.length === 0 && roomLeft) {
      lost = this.#gap.lost;
      end = this.#put(end, encodeOwnRecord({ kind: "gap", sequence: this.#sequence, timeMs: this.#options.nowMs(), ...this.#gap }));
      this.#gap = undefined;
    }
    if (this.#stopping && this.#queue.length === 0 && this.#gap === undefined && roomLeft)
      end = this.#put(end, encodeOwnRecord({ kind: "stop", sequence: this.#sequence, timeMs: this.#options.nowMs() }));
    if (end > HASH_BYTES) this.#batch = { end, decisions, lost };
  }

  #put(at: number, payload: Uint8Array): number {
    this.#sequence++;
    return writeFrame(this.#buffer, at, payload);
  }

  #write(segment: OpenSegment, end: number, from: number): void {
    const position = segment.bytes + from - HASH_BYTES;
    writeFile(segment.descriptor, this.#buffer, from, end - from, position, (error, written) => {
      if (error === null && written > 0 && from + written < end) return this.#write(segment, end, from + written);
      if (error !== null || from + written < end) {
        this.#cutBack(segment);
        this.#fail(`cannot write the decision trail: ${error === null ? "nothing was written" : describeError(error)}`);
        return this.#rest();
      }
      segment.bytes += end - HASH_BYTES;
      this.#buffer.copyWithin(0, end - HASH_BYTES, end);
      this.#records += this.#batch?.decisions ?? 0;
      const lost = this.#batch?.lost ?? 0;
      this.#batch = undefined;
      if (this.#failing !== undefined || lost > 0) this.#options.onRestored(lost);
      this.#failing = undefined;
      this.#retryMs = RETRY_MS;
      if (this.#anchoredMs + ANCHOR_MS <= this.#options.nowMs()) this.#anchor();
      this.#settle();
    });
  }

  /** After a turn: goes on when there is more, else sleeps until the next decision. */
  #settle(): void {
    this.#state = "idle";
    if (this.#queue.length > 0 || this.#gap !== undefined) {
      if (this.#queue.length >= EAGER_DECISIONS || this.#waiters.length > 0 || this.#gap !== undefined) this.#run();
      else this.#schedule(REST_MS);
      return;
    }
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  /** Writing fails: no request waits for it, and it is retried after a while. */
  #rest(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
    this.#schedule(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }

  #fail(message: string): false {
    this.#writeFailures++;
    if (this.#failing !== message) this.#options.onFailing(message);
    this.#failing = message;
    return false;
  }

  /** Half a batch must not stay where the next try, or a reader, would stumble over it. */
  #cutBack(segment: OpenSegment): void {
    try {
      ftruncateSync(segment.descriptor, segment.bytes);
    } catch {
      // The next try writes over it from the same place.
    }
  }

  #lose(count: number, firstMs: number, lastMs: number): void {
    this.#lost += count;
    const before = this.#gap;
    const cause = this.#failing ?? "decisions came faster than they could be written";
    this.#gap = before === undefined ? { lost: count, firstMs, lastMs, cause } : { ...before, lost: before.lost + count, lastMs };
  }

  #anchor(): void {
    if (this.#segment === undefined) return;
    this.#anchoredMs = this.#options.nowMs();
    const hash = this.#buffer.subarray(0, HASH_BYTES).toString("hex");
    this.#options.onAnchor({ segment: this.#segment.number, sequence: this.#sequence - 1, hash });
  }
}
