import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../../test/support/random.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { readWhole, writeTrail } from "../../../test/support/trail.ts";
import { decodeRecord } from "../../adapters/trail/decode-record.ts";
import { HEADER_BYTES, readFrame } from "../../adapters/trail/frame.ts";
import type { Damage } from "../../adapters/trail/read-segment.ts";
import { segmentPath } from "../../adapters/trail/segment-files.ts";
import { isWellFormedCbor } from "../../adapters/trail/well-formed-cbor.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_101;
let parent: string;
let good: string;
let copy: string;
/** Bytes of the one segment of the small trail, and where its frames begin. */
let small: Buffer;
let starts: number[];

beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), "trail-laws-"));
  good = join(parent, "good");
  copy = join(parent, "copy");
  await writeTrail(good, 3);
  small = readFileSync(segmentPath(good, 1));
  starts = [];
  for (let at = HEADER_BYTES; at < small.length; ) {
    starts.push(at);
    const frame = readFrame(small, at);
    if (frame.kind !== "frame") throw new Error("the good trail is not good");
    at = frame.end;
  }
  cpSync(good, copy, { recursive: true });
});

afterAll(() => {
  rmSync(parent, { recursive: true, force: true });
});

/** What is found in a trail whose one segment holds these bytes. */
function damagesIn(bytes: Uint8Array): readonly Damage[] {
  writeFileSync(segmentPath(copy, 1), bytes);
  return readWhole(copy).damages;
}

function frameOf(offset: number): { readonly start: number; readonly sequence: number } {
  const index = starts.findLastIndex((start) => start <= offset);
  return { start: starts[index] ?? 0, sequence: index + 1 };
}

function frames(): readonly Uint8Array[] {
  return starts.map((start, index) => small.subarray(start, starts[index + 1] ?? small.length));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([small.subarray(0, HEADER_BYTES), ...parts]);
}

describe(`a damaged trail (seed ${SEED})`, () => {
  test("T-144: each single flipped bit is found, in the record it is in", () => {
    expect(damagesIn(small)).toEqual([]);
    for (let bit = 0; bit < small.length * 8; bit++) {
      const offset = bit >> 3;
      const bytes = Buffer.from(small);
      bytes.writeUInt8(bytes.readUInt8(offset) ^ (1 << (bit & 7)), offset);
      const [first] = damagesIn(bytes);
      if (first === undefined) throw new Error(`a flipped bit at ${offset} was not found`);
      if (offset < HEADER_BYTES)
        expect([offset, first.kind, first.segment, first.offset < HEADER_BYTES]).toEqual([offset, "altered", 1, true]);
      else {
        const { start, sequence } = frameOf(offset);
        // Nothing stands behind the last record that could tell a changed number from a missing record.
        const isLast = sequence === starts.length;
        expect([offset, isLast && first.kind === "removed" ? "altered" : first.kind, first.offset, first.sequence]).toEqual([
          offset,
          "altered",
          start,
          sequence,
        ]);
      }
    }
  }, 30_000);

  test("T-144: each cut that is not between two records is told as torn, at the record it is in", () => {
    for (let length = 0; length < small.length; length++) {
      const damages = damagesIn(small.subarray(0, length));
      if (starts.includes(length) && length > HEADER_BYTES) {
        // A cut between records can only be told by a hash that somebody noted.
        expect(damages).toEqual([]);
        continue;
      }
      const offset = length <= HEADER_BYTES ? (length < HEADER_BYTES ? 0 : HEADER_BYTES) : frameOf(length - 1).start;
      expect([length, ...damages.map((damage) => [damage.kind, damage.offset])]).toEqual([length, ["torn", offset]]);
    }
  });

  test("T-144: removed, repeated and exchanged records are found and told apart", () => {
    const all = frames();
    for (let index = 1; index < all.length - 1; index++) {
      const without = damagesIn(joined(all.filter((_frame, each) => each !== index)))[0];
      expect([index, without?.kind, without?.sequence, without?.offset]).toEqual([index, "removed", index + 1, starts[index]]);
      const repeated = damagesIn(joined([...all.slice(0, index + 1), ...all.slice(index)]))[0];
      expect([index, repeated?.kind, repeated?.offset]).toEqual([index, "reordered", starts[index + 1]]);
      const [a, b] = [all[index], all[index + 1]];
      if (a === undefined || b === undefined) throw new Error("no such frame");
      const exchanged = damagesIn(joined([...all.slice(0, index), b, a, ...all.slice(index + 2)]))[0];
      expect([index, exchanged?.kind, exchanged?.offset]).toEqual([index, "reordered", starts[index]]);
    }
  });

  test("T-144: no bytes make reading throw, and what is made up is never taken for a record of the chain", () => {
    const random = seededRandom(SEED);
    for (let round = 0; round < 3_000; round++) {
      const bytes = Buffer.from(small);
      for (let flips = random.below(12) + 1; flips > 0; flips--) bytes.writeUInt8(random.below(256), random.below(bytes.length));
      const from = random.below(bytes.length);
      const mutated = round % 3 === 0 ? Buffer.concat([bytes.subarray(0, from), bytes.subarray(random.below(bytes.length))]) : bytes;
      if (Buffer.compare(mutated, small) !== 0 && damagesIn(mutated).length === 0 && !starts.includes(mutated.length))
        throw new Error(`round ${round}: nothing was found`);
    }
  });

  test("T-144: no payload makes decoding throw or take more memory than it is long", () => {
    const random = seededRandom(SEED + 1);
    const payloads = frames().map((frame) => frame.subarray(4, frame.length - 32));
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(payloads[random.below(payloads.length)] ?? []);
      for (let flips = random.below(6) + 1; flips > 0; flips--) bytes.writeUInt8(random.below(256), random.below(bytes.length));
      decodeRecord(bytes.subarray(0, random.below(bytes.length + 1)));
    }
    const hostile = [
      "9bffffffffffffffff",
      "9affffffff",
      "bbffffffffffffffff",
      "5bffffffffffffffff",
      "7affffffff",
      "9f",
      "d8184100",
      "c0",
      "81".repeat(5_000),
    ];
    for (const hex of hostile)
      expect([hex.slice(0, 20), isWellFormedCbor(Buffer.from(hex, "hex")), decodeRecord(Buffer.from(hex, "hex"))]).toEqual([
        hex.slice(0, 20),
        false,
        undefined,
      ]);
  });
});

describe("a trail of several segments", () => {
  let many: string;

  async function withSegments(count: number): Promise<void> {
    many = mkdtempSync(join(parent, "many-"));
    await writeTrail(many, count, { segmentBytes: 1024 * 1024, totalBytes: 64 * 1024 * 1024 });
    expect(readWhole(many).damages).toEqual([]);
    expect(readWhole(many).extent.segments).toBeGreaterThanOrEqual(3);
  }

  test("T-144: a segment that somebody removed is named", async () => {
    await withSegments(9_000);
    rmSync(segmentPath(many, 2));
    expect(readWhole(many).damages).toMatchObject([{ kind: "removed", segment: 2, words: "segment 2 is missing" }]);
  });

  test("T-144: oldest segments that somebody else than the agent removed are named", async () => {
    await withSegments(9_000);
    rmSync(segmentPath(many, 1));
    expect(readWhole(many).damages).toMatchObject([{ kind: "removed", segment: 1, sequence: 1 }]);
  });

  test("T-144: a segment cut at a record is found by the one behind it, with what is missing", async () => {
    await withSegments(9_000);
    const bytes = readFileSync(segmentPath(many, 1));
    let [last, at] = [0, HEADER_BYTES];
    for (let frame = readFrame(bytes, at); frame.kind === "frame"; frame = readFrame(bytes, at)) [last, at] = [at, frame.end];
    writeFileSync(segmentPath(many, 1), bytes.subarray(0, last));
    const [damage] = readWhole(many).damages;
    expect(damage).toMatchObject({ kind: "truncated", segment: 1, offset: last });
    expect(damage?.words).toBe(`the end is missing: record ${damage?.sequence} is missing`);
  });

  test("T-144: exchanged segment files are told", async () => {
    await withSegments(9_000);
    renameSync(segmentPath(many, 1), join(many, "aside"));
    renameSync(segmentPath(many, 2), segmentPath(many, 1));
    copyFileSync(join(many, "aside"), segmentPath(many, 2));
    expect(readWhole(many).damages[0]).toMatchObject({ kind: "reordered", segment: 1, words: "the file of segment 1 holds segment 2" });
  });

  test("T-144: a segment of another trail in its place does not follow", async () => {
    await withSegments(9_000);
    const other = mkdtempSync(join(parent, "other-"));
    await writeTrail(other, 9_000, { segmentBytes: 1024 * 1024, totalBytes: 64 * 1024 * 1024, version: "9.9.9" });
    copyFileSync(segmentPath(other, 2), segmentPath(many, 2));
    expect(readWhole(many).damages[0]).toMatchObject({ kind: "altered", segment: 2, offset: 8 });
  });
});
