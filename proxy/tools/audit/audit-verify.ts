// `azure-proxy-agent audit verify`: is the decision trail whole, and is it the one whose hashes somebody else has kept?

import type { Damage } from "../../adapters/trail/read-segment.ts";
import { segmentPath } from "../../adapters/trail/segment-files.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import type { TrailRecord } from "../../core/trail/trail-record.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { readLines } from "../input.ts";
import { fail, tell } from "../output.ts";
import { type TrailExtent, walkTrail } from "./read-trail.ts";
import { VERIFY } from "./table.ts";
import { findTrailFolder } from "./trail-folder.ts";

/** A hash that somebody noted; with the number of its record, if they noted that, too. */
interface Anchor {
  readonly sequence: number | undefined;
  readonly hash: string;
}

interface Found {
  readonly extent: TrailExtent;
  readonly decisions: number;
  readonly lost: number;
  readonly notes: readonly string[];
  readonly damages: readonly Damage[];
  readonly moreDamages: number;
  readonly anchorsHeld: number;
  readonly anchorTrouble: readonly string[];
}

const MAX_LISTED = 20;
/** The agent may be in the middle of a write: what is torn now is whole a moment later. */
const TRIES = 4;
const RETRY_MS = 150;

export async function auditVerify({ options }: Given<typeof VERIFY.options>): Promise<number> {
  const anchors = readAnchors(options.anchor, options.journal);
  if (!anchors.ok) {
    const { kind, message } = anchors.error;
    return kind === "usage" ? refuseUsage(VERIFY.name, message) : fail("noInput", message);
  }
  const trail = findTrailFolder(options);
  if (!trail.ok) return tell(trail.error);
  const folder = trail.value;
  let found = verify(folder, anchors.value);
  for (let tries = 1; tries < TRIES && found.ok && found.value.damages.some(({ kind }) => kind === "torn"); tries++) {
    await Bun.sleep(RETRY_MS);
    found = verify(folder, anchors.value);
  }
  if (!found.ok) return fail("noInput", `cannot verify: ${found.error}`);
  const whole = found.value.damages.length === 0 && found.value.anchorTrouble.length === 0;
  process.stdout.write(options.json ? `${JSON.stringify({ whole, ...found.value }, null, 2)}\n` : render(folder, found.value, whole));
  return whole ? EXIT.ok : EXIT.no;
}

function verify(folder: string, anchors: readonly Anchor[]): Result<Found, string> {
  const numbered = new Map<number, string[]>();
  const unnumbered = new Set<string>();
  for (const { sequence, hash } of anchors) {
    if (sequence === undefined) unnumbered.add(hash);
    else numbered.set(sequence, [...(numbered.get(sequence) ?? []), hash]);
  }
  const damages: Damage[] = [];
  const notes: string[] = [];
  const anchorTrouble: string[] = [];
  const count = { decisions: 0, lost: 0, damages: 0, held: 0, notes: 0 };
  const walked = walkTrail(folder, {
    record(record, { segment, offset, hash }) {
      if (record.kind === "decision") count.decisions++;
      else noteOf(record, notes, count);
      if (unnumbered.delete(hash)) count.held++;
      for (const wanted of numbered.get(record.sequence) ?? []) {
        if (wanted === hash) count.held++;
        else
          anchorTrouble.push(
            `record ${record.sequence} (segment ${segment}, byte ${offset}) has another hash than was noted: rewritten at or before it`,
          );
      }
      numbered.delete(record.sequence);
    },
    damage(damage) {
      count.damages++;
      if (damages.length < MAX_LISTED) damages.push(damage);
    },
  });
  if (!walked.ok) return walked;
  const { firstSequence, lastSequence } = walked.value;
  for (const sequence of numbered.keys()) {
    if (sequence > lastSequence)
      anchorTrouble.push(`the trail ends with record ${lastSequence}, but record ${sequence} was noted: truncated`);
    // What the agent removed to keep its bound can be held against nothing.
    else if (sequence >= firstSequence) anchorTrouble.push(`record ${sequence} was noted and is not there`);
  }
  for (const hash of unnumbered) anchorTrouble.push(`no record has the hash ${hash}: truncated before it, rewritten, or removed long ago`);
  return ok({
    extent: walked.value,
    decisions: count.decisions,
    lost: count.lost,
    notes,
    damages,
    moreDamages: count.damages - damages.length,
    anchorsHeld: count.held,
    anchorTrouble: anchorTrouble.slice(0, MAX_LISTED),
  });
}

function noteOf(record: TrailRecord, notes: string[], count: { lost: number; notes: number }): void {
  if (record.kind === "gap") {
    count.lost += record.lost;
    addNote(`record ${record.sequence}: ${record.lost} decisions could not be written: ${record.cause}`);
  } else if (record.kind === "start" && !record.afterStop && record.sequence > 2) {
    addNote(`record ${record.sequence}: the agent before did not stop in order; its last moment may be missing`);
  } else if (record.kind === "head" && record.recovery !== undefined) {
    const { segment, offset, bytes, kind } = record.recovery;
    addNote(`record ${record.sequence}: the agent found segment ${segment} ${kind} at byte ${offset} (${bytes} bytes)`);
  }
  function addNote(text: string): void {
    if (notes.length < MAX_LISTED) notes.push(text);
  }
}

function render(folder: string, found: Found, whole: boolean): string {
  const { extent, decisions, damages, moreDamages, anchorsHeld, anchorTrouble, notes } = found;
  const { segments, firstSequence, lastSequence, lastHash } = extent;
  const more = moreDamages === 0 ? [] : [`  and ${moreDamages} more`];
  return `${[
    `${whole ? "OK" : "DAMAGED"}: ${segments} segments, records ${firstSequence} to ${lastSequence}, ${decisions} decisions`,
    ...damages.map(
      ({ kind, segment, sequence, offset, words }) =>
        `  ${kind}: segment ${segment} at byte ${offset}, record ${sequence}: ${words} (${segmentPath(folder, segment)})`,
    ),
    ...more,
    ...anchorTrouble.map((text) => `  anchor: ${text}`),
    ...(firstSequence > 1 ? [`  what is before record ${firstSequence} was removed by the agent to keep its bound`] : []),
    ...notes.map((text) => `  note: ${text}`),
    `  ${anchorsHeld} anchors hold; last hash ${lastSequence}:${lastHash}`,
  ]
    .map(escapeForTerminal)
    .join("\n")}\n`;
}

type AnchorError = { readonly kind: "usage" | "input"; readonly message: string };

function readAnchors(given: readonly string[], journals: readonly string[]): Result<readonly Anchor[], AnchorError> {
  const anchors: Anchor[] = [];
  for (const text of given) {
    const match = /^(?:([0-9]{1,15}):)?([0-9a-fA-F]{64})$/.exec(text);
    if (match === null)
      return err({ kind: "usage", message: `--anchor wants 64 hex digits, with NUMBER: before them or not, found "${text}"` });
    anchors.push({ sequence: match[1] === undefined ? undefined : Number(match[1]), hash: (match[2] ?? "").toLowerCase() });
  }
  const read = readLines(journals, (line) => {
    const anchor = line === undefined ? undefined : anchorIn(line);
    if (anchor !== undefined) anchors.push(anchor);
  });
  if (!read.ok) return err({ kind: "input", message: `cannot read "${read.error.name}": ${read.error.cause}` });
  if (journals.length > 0 && anchors.length === given.length)
    return err({ kind: "input", message: "found no trail-anchor line in the journal" });
  return ok(anchors);
}

function anchorIn(line: string): Anchor | undefined {
  const at = line.indexOf("trail-anchor {");
  if (at < 0) return undefined;
  try {
    const json: unknown = JSON.parse(line.slice(at + "trail-anchor ".length));
    if (typeof json !== "object" || json === null || !("sequence" in json) || !("hash" in json)) return undefined;
    const { sequence, hash } = json;
    if (typeof sequence !== "number" || typeof hash !== "string" || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
    return { sequence, hash };
  } catch {
    return undefined;
  }
}
