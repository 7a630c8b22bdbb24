// New records of a trail that is being written: from one place on, over the ends of segments. Trusts nothing and waits for nothing.

import { closeSync, constants } from "node:fs";
import { decodeRecord } from "../../adapters/trail/decode-record.ts";
import { HASH_BYTES, HEADER_BYTES, readFrame } from "../../adapters/trail/frame.ts";
import { listSegments, openSegment, readBytes, segmentPath } from "../../adapters/trail/segment-files.ts";
import type { TrailRecord } from "../../core/trail/trail-record.ts";

/** Behind the last record that was seen. */
export interface TrailPlace {
  readonly segment: number;
  readonly offset: number;
}

const READ_BYTES = 4 * 1024 * 1024;

/** @returns what is whole behind the place, and where it ends; stays where it is when that cannot be read now */
export function readOn(folder: string, place: TrailPlace): { readonly records: readonly TrailRecord[]; readonly place: TrailPlace } {
  const records: TrailRecord[] = [];
  let { segment, offset } = place;
  const listed = listSegments(folder);
  for (const number of listed.ok ? listed.value.map((each) => each.number).filter((each) => each >= segment) : []) {
    if (number !== segment) {
      segment = number;
      offset = HEADER_BYTES;
    }
    const opened = openSegment(segmentPath(folder, segment), constants.O_RDONLY);
    if (!opened.ok) continue;
    try {
      // The hash before the frame is read along, as the frame is checked against it.
      const from = offset - HASH_BYTES;
      const bytes = readBytes(opened.value.descriptor, from, Math.max(0, Math.min(READ_BYTES, opened.value.size - from)));
      for (let at = HASH_BYTES; ; ) {
        const frame = readFrame(bytes, at);
        if (frame.kind !== "frame" || !frame.intact) break;
        const record = decodeRecord(frame.payload);
        if (record !== undefined) records.push(record);
        at = frame.end;
        offset = from + at;
      }
    } finally {
      closeSync(opened.value.descriptor);
    }
  }
  return { records, place: { segment, offset } };
}
