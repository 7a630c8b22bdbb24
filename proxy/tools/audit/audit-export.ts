// `azure-proxy-agent audit export`: the trail's decisions as JSON lines.

import { writeSync } from "node:fs";
import { errorCode } from "../../core/thrown.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { fail, tell } from "../output.ts";
import { walkTrail } from "./read-trail.ts";
import { exportDecision } from "./render-record.ts";
import type { EXPORT } from "./table.ts";
import { findTrailFolder } from "./trail-folder.ts";

const CHUNK_CHARACTERS = 64 * 1024;
const STANDARD_OUTPUT = 1;

export function auditExport({ options }: Given<typeof EXPORT.options>): number {
  const { first = 0, last = Number.MAX_SAFE_INTEGER } = options;
  const trail = findTrailFolder(options);
  if (!trail.ok) return tell(trail.error);
  let text = "";
  let damaged = 0;
  let gone = false;
  const walked = walkTrail(trail.value, {
    record(record) {
      if (record.kind !== "decision" || record.sequence < first || record.sequence > last || gone) return;
      text += `${JSON.stringify(exportDecision(record))}\n`;
      if (text.length < CHUNK_CHARACTERS) return;
      gone = !writeAll(text);
      text = "";
    },
    damage: () => damaged++,
  });
  if (!walked.ok) return fail("noInput", `cannot export: ${walked.error}`);
  if (!gone) gone = !writeAll(text);
  if (gone) return EXIT.cannotCreate;
  if (damaged === 0) return EXIT.ok;
  process.stderr.write("azure-proxy-agent: the trail is not whole, what could be read was exported; see audit verify\n");
  return EXIT.no;
}

/** Waits for a slow reader, so that the whole trail never piles up in memory; false when nobody reads any more. */
function writeAll(text: string): boolean {
  const bytes = Buffer.from(text, "utf8");
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(STANDARD_OUTPUT, bytes, at);
    } catch (error) {
      const code = errorCode(error);
      if (code !== "EAGAIN" && code !== "EINTR") return false;
      Bun.sleepSync(5);
    }
  }
  return true;
}
