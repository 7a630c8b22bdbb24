// Finds the end of the trail when the agent starts. A segment whose end was torn (power lost, disk full, killed) is cut back to its
// last whole record, the torn bytes are kept in a file next to it, and the next segment records that. Existing data is never rewritten.

import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, renameSync, writeSync } from "node:fs";
import { distrustFile, SECRET } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import type { Recovery } from "../../core/trail/trail-record.ts";
import { decodeRecord } from "./decode-record.ts";
import { HASH_BYTES, HEADER_BYTES, NO_HASH, readFrame, SEGMENT_MAGIC, skipFrames } from "./frame.ts";
import { listSegments, openSegment, readBytes, segmentPath, tornPath } from "./segment-files.ts";

/** Where the next record goes. */
export interface TrailEnd {
  readonly lastHash: Uint8Array;
  readonly nextSequence: number;
  /** The segment to go on in; undefined: a new one, with `nextSegment` as its number. */
  readonly open: { readonly descriptor: number; readonly number: number; readonly bytes: number } | undefined;
  readonly nextSegment: number;
  readonly afterStop: boolean;
  readonly recovery: Recovery | undefined;
}

/** More than any segment may be: what is larger is none of ours. */
const MAX_SEGMENT_BYTES = 128 * 1024 * 1024;

export function continueTrail(folder: string): Result<TrailEnd, string> {
  const listed = listSegments(folder);
  if (!listed.ok) return listed;
  let recovery: Recovery | undefined;
  let nextSegment = (listed.value.at(-1)?.number ?? 0) + 1;
  for (const { number } of [...listed.value].reverse()) {
    const found = openSegment(segmentPath(folder, number), constants.O_RDWR);
    if (!found.ok) return found;
    const { descriptor, size } = found.value;
    const trouble = distrustFile(fstatSync(descriptor), process.geteuid?.() ?? 0, SECRET, MAX_SEGMENT_BYTES);
    let goOn = false;
    try {
      if (trouble !== undefined) return err(`cannot use "${segmentPath(folder, number)}": ${trouble}`);
      const bytes = readBytes(descriptor, 0, size);
      const end = findEnd(bytes);
      if (end.kind === "whole" && recovery === undefined) {
        goOn = true;
        const open = { descriptor, number, bytes: size };
        return ok({ lastHash: end.lastHash, nextSequence: end.sequence + 1, open, nextSegment, afterStop: end.isStop, recovery });
      }
      if (end.kind !== "whole") recovery ??= describeRest(bytes, end.offset, number, end.kind);
      if (end.kind === "torn") setAside(folder, number, descriptor, bytes, end.offset);
      if (end.lastHash !== undefined) {
        const { lastHash, sequence } = end;
        return ok({ lastHash, nextSequence: sequence + 1, open: undefined, nextSegment, afterStop: false, recovery });
      }
      // Nothing of it was ever whole and it was moved aside: its number is free.
      if (end.kind === "torn") nextSegment = number;
    } catch (error) {
      return err(`cannot recover "${segmentPath(folder, number)}": ${describeError(error)}`);
    } finally {
      if (!goOn) closeSync(descriptor);
    }
  }
  return ok({ lastHash: NO_HASH, nextSequence: 1, open: undefined, nextSegment, afterStop: false, recovery });
}

type SegmentEnd =
  | { readonly kind: "whole"; readonly lastHash: Uint8Array; readonly sequence: number; readonly isStop: boolean }
  | { readonly kind: "torn" | "damaged"; readonly offset: number; readonly lastHash: Uint8Array; readonly sequence: number }
  | { readonly kind: "torn" | "damaged"; readonly offset: number; readonly lastHash: undefined };

function findEnd(bytes: Uint8Array): SegmentEnd {
  if (bytes.length < HEADER_BYTES || Buffer.compare(bytes.subarray(0, SEGMENT_MAGIC.length), SEGMENT_MAGIC) !== 0) {
    const torn = bytes.length < HEADER_BYTES || isZero(bytes, 0);
    return { kind: torn ? "torn" : "damaged", offset: 0, lastHash: undefined };
  }
  const { lastStart, end } = skipFrames(bytes);
  const rest = end === bytes.length ? "whole" : isZero(bytes, end) || readFrame(bytes, end).kind === "cut" ? "torn" : "damaged";
  if (lastStart === undefined) return { kind: rest === "whole" ? "torn" : rest, offset: 0, lastHash: undefined };
  const last = readFrame(bytes, lastStart);
  const record = last.kind === "frame" && last.intact ? decodeRecord(last.payload) : undefined;
  if (record === undefined) return lastIntact(bytes);
  const lastHash = Uint8Array.from(bytes.subarray(end - HASH_BYTES, end));
  const { sequence } = record;
  return rest === "whole"
    ? { kind: "whole", lastHash, sequence, isStop: record.kind === "stop" }
    : { kind: rest, offset: end, lastHash, sequence };
}

/** For a segment whose last frame is not intact: everything is read. Sequences after the damage are not used again. */
function lastIntact(bytes: Uint8Array): SegmentEnd {
  let found: { readonly offset: number; readonly lastHash: Uint8Array; readonly sequence: number } | undefined;
  let behind = 0;
  for (let at = HEADER_BYTES; ; ) {
    const frame = readFrame(bytes, at);
    if (frame.kind !== "frame") break;
    const record = frame.intact ? decodeRecord(frame.payload) : undefined;
    if (record === undefined) behind++;
    else {
      const lastHash = Uint8Array.from(bytes.subarray(frame.end - HASH_BYTES, frame.end));
      found = { offset: frame.end, lastHash, sequence: record.sequence };
      behind = 0;
    }
    at = frame.end;
  }
  if (found === undefined) return { kind: "damaged", offset: 0, lastHash: undefined };
  return { kind: "damaged", ...found, sequence: found.sequence + behind };
}

function isZero(bytes: Uint8Array, from: number): boolean {
  return bytes.subarray(from).every((byte) => byte === 0);
}

function describeRest(bytes: Uint8Array, offset: number, segment: number, kind: Recovery["kind"]): Recovery {
  const rest = bytes.subarray(offset);
  return { kind, segment, offset, bytes: rest.length, sha256: createHash("sha256").update(rest).digest("hex") };
}

/** The torn bytes are safe in their own file before the segment loses them. */
function setAside(folder: string, number: number, descriptor: number, bytes: Uint8Array, offset: number): void {
  if (offset === 0) {
    renameSync(segmentPath(folder, number), tornPath(folder, number));
    return;
  }
  const aside = openSync(tornPath(folder, number), "w", 0o600);
  try {
    for (let at = offset; at < bytes.length; ) at += writeSync(aside, bytes, at);
    fsyncSync(aside);
  } finally {
    closeSync(aside);
  }
  ftruncateSync(descriptor, offset);
}
