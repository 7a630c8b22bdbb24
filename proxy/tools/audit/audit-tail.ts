// `azure-proxy-agent audit tail`: the last decisions of the trail, and with --follow those that come.

import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { fail, tell } from "../output.ts";
import { readOn, type TrailPlace } from "./follow-trail.ts";
import { walkTrail } from "./read-trail.ts";
import { renderRecordLine } from "./render-record.ts";
import type { TAIL } from "./table.ts";
import { findTrailFolder } from "./trail-folder.ts";

const DEFAULT_LINES = 20;
const FOLLOW_MS = 500;

export async function auditTail({ options }: Given<typeof TAIL.options>): Promise<number> {
  const wanted = options.lines ?? DEFAULT_LINES;
  const trail = findTrailFolder(options);
  if (!trail.ok) return tell(trail.error);
  const folder = trail.value;
  let lines: string[] = [];
  let place: TrailPlace = { segment: 1, offset: 0 };
  let damaged = 0;
  const walked = walkTrail(folder, {
    record(record, found) {
      // Lines that will not be shown are not made; a few more than wanted are kept, so that the list is cut only now and then.
      lines.push(renderRecordLine(record));
      if (lines.length > wanted * 2 + 64) lines = lines.slice(-wanted);
      place = { segment: found.segment, offset: found.offset };
    },
    damage: () => damaged++,
  });
  if (!walked.ok) return fail("noInput", `cannot read the trail: ${walked.error}`);
  const shown = wanted === 0 ? [] : lines.slice(-wanted);
  process.stdout.write(shown.map((line) => `${line}\n`).join(""));
  if (damaged > 0) process.stderr.write("azure-proxy-agent: the trail is not whole; see audit verify\n");
  if (!options.follow) return damaged > 0 ? EXIT.no : EXIT.ok;
  await follow(folder, place);
  return EXIT.ok;
}

/** From the last record that was shown on; ends with the program, or when nobody reads any more. */
async function follow(folder: string, from: TrailPlace): Promise<void> {
  let gone = false;
  process.stdout.on("error", () => {
    gone = true;
  });
  // The last record itself was shown already.
  let { place } = { place: from };
  let skip = 1;
  while (!gone) {
    const read = readOn(folder, place);
    for (const record of read.records) {
      if (skip > 0) skip--;
      else process.stdout.write(`${renderRecordLine(record)}\n`);
    }
    place = read.place;
    await Bun.sleep(FOLLOW_MS);
  }
}
