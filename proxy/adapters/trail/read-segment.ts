// Reads one segment of the decision trail and verifies each of its frames. Bytes are untrusted: nothing here throws for what they
// hold, and no more is read than the file is long, within a limit.

import { closeSync, constants } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import type { HeadRecord } from "../../core/trail/trail-record.ts";
import { decodeRecord } from "./decode-record.ts";
import { HASH_BYTES, HEADER_BYTES, readFrame, SEGMENT_MAGIC } from "./frame.ts";
import { openSegment, readBytes, segmentPath } from "./segment-files.ts";

export const MAX_READ_BYTES = 128 * 1024 * 1024;
const HEAD_BYTES = 4096;

export function readSegmentBytes(folder: string, number: number, limit = MAX_READ_BYTES): Result<Uint8Array, string> {
  const opened = openSegment(segmentPath(folder, number), constants.O_RDONLY);
  if (!opened.ok) return opened;
  const { descriptor, size } = opened.value;
  try {
    if (size > MAX_READ_BYTES)
      return err(`cannot read "${segmentPath(folder, number)}": found ${size} bytes, want at most ${MAX_READ_BYTES}`);
    return ok(readBytes(descriptor, 0, Math.min(size, limit)));
  } catch (error) {
    return err(`cannot read "${segmentPath(folder, number)}": ${describeError(error)}`);
  } finally {
    closeSync(descriptor);
  }
}

/** The head record; with `intact` only one that follows from the hash in the segment's header. */
export function readHeadOf(bytes: Uint8Array, intact = false): HeadRecord | undefined {
  if (!hasHeader(bytes)) return undefined;
  const frame = readFrame(bytes, HEADER_BYTES);
  const record = frame.kind === "frame" && (frame.intact || !intact) ? decodeRecord(frame.payload) : undefined;
  return record?.kind === "head" ? record : undefined;
}

/** 0 when the segment does not say. */
export function readFirstSequence(folder: string, number: number): number {
  const bytes = readSegmentBytes(folder, number, HEAD_BYTES);
  return bytes.ok ? (readHeadOf(bytes.value)?.sequence ?? 0) : 0;
}

export function hasHeader(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && Buffer.compare(bytes.subarray(0, SEGMENT_MAGIC.length), SEGMENT_MAGIC) === 0;
}

export function previousHashOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(SEGMENT_MAGIC.length, HEADER_BYTES);
}

export type DamageKind = "torn" | "altered" | "removed" | "reordered" | "truncated";

/** Something that is not as the agent wrote it, and where. */
export interface Damage {
  readonly kind: DamageKind;
  readonly segment: number;
  /** The first record that is affected. */
  readonly sequence: number;
  /** In the segment's file. */
  readonly offset: number;
  readonly words: string;
}

/** What is wrong with the frame at `at`, which does not follow from the hash before it. */
export function classifyFrame(bytes: Uint8Array, at: number, expected: number): Pick<Damage, "kind" | "words"> {
  const frame = readFrame(bytes, at);
  const found = frame.kind === "frame" ? decodeRecord(frame.payload)?.sequence : undefined;
  if (frame.kind !== "frame" || found === undefined || found === expected)
    return { kind: "altered", words: `record ${expected} was changed` };
  const next = sequenceAt(bytes, frame.end);
  // The record behind it follows from what stands here, so it is this one alone.
  if (next === expected + 1) return { kind: "altered", words: `record ${expected} was changed; it calls itself ${found}` };
  if (found < expected) {
    return isCopy(bytes, at, frame.end, found)
      ? { kind: "reordered", words: `record ${found} stands where ${expected} should` }
      : { kind: "altered", words: `record ${expected} was changed; it calls itself ${found}` };
  }
  return occurs(bytes, frame.end, expected)
    ? { kind: "reordered", words: `record ${found} stands before ${expected}` }
    : { kind: "removed", words: missing(expected, found - 1) };
}

export function missing(first: number, last: number): string {
  return first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`;
}

/** Of the frame at `at`, if it follows from the hash before it. */
function sequenceAt(bytes: Uint8Array, at: number): number | undefined {
  const frame = readFrame(bytes, at);
  return frame.kind === "frame" && frame.intact ? decodeRecord(frame.payload)?.sequence : undefined;
}

/** The frame from `at` to `end` would be whole behind the record that its number says it follows. */
function isCopy(bytes: Uint8Array, at: number, end: number, sequence: number): boolean {
  for (let from = HEADER_BYTES; from < at; ) {
    const frame = readFrame(bytes, from);
    if (frame.kind !== "frame") return false;
    if (decodeRecord(frame.payload)?.sequence === sequence - 1) {
      const moved = Buffer.concat([hashBefore(bytes, frame.end), bytes.subarray(at, end)]);
      const reading = readFrame(moved, HASH_BYTES);
      return reading.kind === "frame" && reading.intact;
    }
    from = frame.end;
  }
  return false;
}

function occurs(bytes: Uint8Array, from: number, sequence: number): boolean {
  for (let at = from; ; ) {
    const frame = readFrame(bytes, at);
    if (frame.kind !== "frame") return false;
    if (decodeRecord(frame.payload)?.sequence === sequence) return true;
    at = frame.end;
  }
}

export function hashBefore(bytes: Uint8Array, end: number): Uint8Array {
  return bytes.subarray(end - HASH_BYTES, end);
}
