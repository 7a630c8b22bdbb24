// Creates a segment of the decision trail: header, and the head record that names the oldest segment kept.

import { closeSync, fsync, openSync, rmSync, writeSync } from "node:fs";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import type { HeadRecord } from "../../core/trail/trail-record.ts";
import { encodeOwnRecord } from "./encode-record.ts";
import { FRAME_OVERHEAD_BYTES, HASH_BYTES, HEADER_BYTES, writeFrame, writeHeader } from "./frame.ts";
import { segmentPath } from "./segment-files.ts";

export interface OpenSegment {
  readonly descriptor: number;
  readonly number: number;
  bytes: number;
}

/** @returns the segment and the hash of its head record */
export function makeSegment(
  folder: string,
  head: HeadRecord,
  previousHash: Uint8Array,
): Result<{ readonly segment: OpenSegment; readonly hash: Uint8Array }, string> {
  const path = segmentPath(folder, head.segment);
  const payload = encodeOwnRecord(head);
  const bytes = new Uint8Array(HEADER_BYTES + FRAME_OVERHEAD_BYTES + payload.length);
  const end = writeFrame(bytes, writeHeader(bytes, previousHash), payload);
  let descriptor: number | undefined;
  try {
    // "x": what another user placed there is neither followed nor overwritten.
    descriptor = openSync(path, "wx+", 0o600);
    for (let at = 0; at < end; ) at += writeSync(descriptor, bytes, at, end - at, at);
    return ok({ segment: { descriptor, number: head.segment, bytes: end }, hash: bytes.slice(end - HASH_BYTES, end) });
  } catch (error) {
    if (descriptor !== undefined) {
      closeSync(descriptor);
      rmSync(path, { force: true });
    }
    return err(`cannot make "${path}": ${describeError(error)}`);
  }
}

/** Waits in the background until the disk has it all, then closes. */
export function closeSegment({ descriptor }: OpenSegment): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  fsync(descriptor, () => {
    try {
      closeSync(descriptor);
    } finally {
      resolve();
    }
  });
  return promise;
}
