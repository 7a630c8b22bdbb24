// Reads the whole decision trail, oldest segment first: reports every record, and everything that is not as the agent wrote it. After
// damage it continues where it can, so that one changed byte does not hide the rest. Works while the agent writes.

import { decodeRecord } from "../../adapters/trail/decode-record.ts";
import { HEADER_BYTES, NO_HASH, readFrame } from "../../adapters/trail/frame.ts";
import {
  classifyFrame,
  type Damage,
  hasHeader,
  hashBefore,
  missing,
  previousHashOf,
  readHeadOf,
  readSegmentBytes,
} from "../../adapters/trail/read-segment.ts";
import { listSegments, type SegmentFile } from "../../adapters/trail/segment-files.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { TrailRecord } from "../../core/trail/trail-record.ts";

export interface TrailVisitor {
  /** @param hash - hex, that binds the record to all before; of a record that was changed it is what stands in the file */
  record(record: TrailRecord, place: { readonly segment: number; readonly offset: number; readonly hash: string }): void;
  damage(damage: Damage): void;
}

export interface TrailExtent {
  readonly segments: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastHash: string;
}

interface Expected {
  /** Undefined: whatever the segment says, because what was before is not there. */
  readonly hash: Uint8Array | undefined;
  readonly sequence: number | undefined;
}

export function walkTrail(folder: string, visitor: TrailVisitor): Result<TrailExtent, string> {
  const listed = listSegments(folder);
  if (!listed.ok) return listed;
  const segments = listed.value;
  const [oldest] = segments;
  const newest = segments.at(-1);
  if (oldest === undefined || newest === undefined) return err(`found no decision trail in "${folder}"`);
  const kept = keptBy(folder, segments);
  if (kept !== undefined && oldest.number > kept.segment) {
    const words = `segments ${kept.segment} to ${oldest.number - 1} are missing, and the agent did not remove them`;
    visitor.damage({ kind: "removed", segment: kept.segment, sequence: kept.sequence, offset: 0, words });
  }
  let expected: Expected = oldest.number === 1 ? { hash: NO_HASH, sequence: 1 } : { hash: undefined, sequence: undefined };
  let firstSequence: number | undefined;
  let previous = oldest.number - 1;
  let previousBytes = 0;
  for (const { number } of segments) {
    const read = readSegmentBytes(folder, number);
    // The agent removes the oldest while we read; that is no damage if it is gone from the list, too.
    if (!read.ok && number === oldest.number && goneSince(folder, number)) {
      previous = number;
      expected = { hash: undefined, sequence: undefined };
      continue;
    }
    if (!read.ok) return read;
    if (number !== previous + 1) {
      const gap = number === previous + 2 ? `segment ${previous + 1} is missing` : `segments ${previous + 1} to ${number - 1} are missing`;
      visitor.damage({ kind: "removed", segment: previous + 1, sequence: expected.sequence ?? 0, offset: 0, words: gap });
      expected = { hash: undefined, sequence: undefined };
    }
    const bytes = read.value;
    expected = checkLink(bytes, number, expected, { number: previous, bytes: previousBytes }, visitor);
    firstSequence ??= readHeadOf(bytes)?.sequence;
    expected = walkFrames(bytes, number, number === newest.number, expected, visitor);
    previous = number;
    previousBytes = bytes.length;
  }
  return ok({
    segments: segments.length,
    firstSequence: firstSequence ?? 0,
    lastSequence: (expected.sequence ?? 1) - 1,
    lastHash: Buffer.from(expected.hash ?? NO_HASH).toString("hex"),
  });
}

/** What the newest head that can be read says is still there. */
function keptBy(folder: string, segments: readonly SegmentFile[]): { readonly segment: number; readonly sequence: number } | undefined {
  for (const { number } of [...segments].reverse()) {
    const bytes = readSegmentBytes(folder, number, 4096);
    const head = bytes.ok ? readHeadOf(bytes.value, true) : undefined;
    if (head !== undefined) return { segment: head.keptSegment, sequence: head.keptSequence };
  }
  return undefined;
}

function goneSince(folder: string, number: number): boolean {
  const listed = listSegments(folder);
  return listed.ok && listed.value.every((each) => each.number > number);
}

/** Does the segment follow the one before? What it says itself is what is expected of its frames from here on. */
function checkLink(
  bytes: Uint8Array,
  number: number,
  expected: Expected,
  before: { readonly number: number; readonly bytes: number },
  visitor: TrailVisitor,
): Expected {
  if (!hasHeader(bytes)) return expected;
  const head = readHeadOf(bytes);
  const own = { hash: previousHashOf(bytes), sequence: head?.sequence ?? expected.sequence };
  const frame = readFrame(bytes, HEADER_BYTES);
  const sequence = expected.sequence ?? own.sequence ?? 0;
  const damage = (kind: Damage["kind"], offset: number, words: string, segment = number) =>
    visitor.damage({ kind, segment, sequence, offset, words });
  if (head !== undefined && head.segment !== number && frame.kind === "frame" && frame.intact) {
    damage("reordered", 0, `the file of segment ${number} holds segment ${head.segment}`);
    return own;
  }
  if (expected.hash === undefined || Buffer.compare(expected.hash, own.hash) === 0)
    return { ...own, sequence: expected.sequence ?? own.sequence };
  if (frame.kind !== "frame" || !frame.intact) damage("altered", 8, "the hash of the segment before was changed");
  else if (head !== undefined && head.sequence > sequence)
    damage("truncated", before.bytes, `the end is missing: ${missing(sequence, head.sequence - 1)}`, before.number);
  else damage("altered", 8, `it does not follow segment ${before.number}`);
  return own;
}

function walkFrames(bytes: Uint8Array, segment: number, isNewest: boolean, from: Expected, visitor: TrailVisitor): Expected {
  let sequence = from.sequence ?? 1;
  const damage = (kind: Damage["kind"], offset: number, words: string) => visitor.damage({ kind, segment, sequence, offset, words });
  if (!hasHeader(bytes)) {
    if (bytes.length >= HEADER_BYTES) damage("altered", 0, "this is no segment of a decision trail");
    else damage(isNewest ? "torn" : "truncated", 0, `found ${bytes.length} bytes, too few for a segment`);
    return { hash: undefined, sequence: undefined };
  }
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    const frame = readFrame(bytes, at);
    if (frame.kind !== "frame") {
      const rest = bytes.length - at;
      const isTorn = frame.kind === "cut" || bytes.subarray(at).every((byte) => byte === 0);
      if (!isTorn) damage("altered", at, `the length of record ${sequence} was changed`);
      else damage(isNewest ? "torn" : "truncated", at, `${rest} bytes of a record that is not whole`);
      return { hash: undefined, sequence: undefined };
    }
    const record = decodeRecord(frame.payload);
    if (!frame.intact) visitor.damage({ segment, sequence, offset: at, ...classifyFrame(bytes, at, sequence) });
    else if (record === undefined) damage("altered", at, "the hash is right, but this is no record of the agent");
    else if (record.sequence !== sequence)
      damage("altered", at, `the hash is right, but record ${record.sequence} stands where ${sequence} should`);
    else if ((record.kind === "head") !== (at === HEADER_BYTES)) damage("altered", at, "a segment has one head record, and it comes first");
    if (record !== undefined)
      visitor.record(record, { segment, offset: at, hash: Buffer.from(hashBefore(bytes, frame.end)).toString("hex") });
    sequence = (record?.sequence ?? sequence) + 1;
    at = frame.end;
  }
  if (at === HEADER_BYTES) {
    damage(isNewest ? "torn" : "truncated", at, "a segment without a record");
    return { hash: undefined, sequence: undefined };
  }
  return { hash: hashBefore(bytes, at), sequence };
}
