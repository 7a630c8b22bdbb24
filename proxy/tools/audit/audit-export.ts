// `azure-proxy-agent audit export`: the trail's decisions as JSON lines.

import { writeSync } from "node:fs";
import { errorCode } from "../../core/thrown.ts";
import { EXIT } from "../../exit-code.ts";
import { type AuditOptions, failAudit, readNumber, refuseAuditUsage } from "./options.ts";
import { walkTrail } from "./read-trail.ts";
import { exportDecision } from "./render-record.ts";

const CHUNK_CHARACTERS = 64 * 1024;
const STANDARD_OUTPUT = 1;

export function auditExport({ folder, values }: AuditOptions): number {
  const from = readNumber(values.get("--first")?.at(-1) ?? "0");
  const to = readNumber(values.get("--last")?.at(-1) ?? String(Number.MAX_SAFE_INTEGER).slice(0, 15));
  if (from === undefined || to === undefined) return refuseAuditUsage("--first and --last want a whole number");
  let text = "";
  let damaged = 0;
  let gone = false;
  const walked = walkTrail(folder, {
    record(record) {
      if (record.kind !== "decision" || record.sequence < from || record.sequence > to || gone) return;
      text += `${JSON.stringify(exportDecision(record))}\n`;
      if (text.length < CHUNK_CHARACTERS) return;
      gone = !writeAll(text);
      text = "";
    },
    damage: () => damaged++,
  });
  if (!walked.ok) return failAudit(`cannot export: ${walked.error}`);
  if (!gone) gone = !writeAll(text);
  if (gone) return EXIT.cannotCreate;
  if (damaged === 0) return EXIT.ok;
  process.stderr.write("azure-proxy-agent: the trail is not whole, what could be read was exported; see audit verify\n");
  return EXIT.failed;
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
