// The start of a command line, for logs only. The process chooses and may rewrite it at any time, so nothing is decided
// from it; secrets are taken out before it goes anywhere.

import { err, ok, type Result } from "../../core/result.ts";
import { redactSecrets } from "../../core/text/redact.ts";
import type { Lane } from "./lane.ts";
import { type ProcessHandle, readStart } from "./process.ts";

/** In UTF-16 units; a character is never cut in two. */
export const MAX_COMMAND_LINE = 1024;
const MAX_ARGUMENTS = 4;
const READ_BYTES = 8192;
/** Redaction sees more than is shown, so that a secret on the edge is still whole. */
const WINDOW = 4096;
/** Longer than any key that is known by its length. */
const EDGE = 128;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads the command line of a held process.
 * @param userId - whose share of the lane it takes
 * @param lane - the kernel takes a lock of the process, which that process can hold for as long as it likes (a large fork,
 *   an unmap that waits for its own FUSE server): the read must not happen on the event loop
 */
export async function readCommandLine(process: ProcessHandle, userId: number, lane: Lane): Promise<Result<string, string>> {
  const unreadable = `cannot read the command line of process ${process.pid}`;
  const bytes = Buffer.allocUnsafe(READ_BYTES);
  const outcome = await readStart(`${process.folder}/cmdline`, bytes, userId, lane);
  if (!outcome.ok) return err(`${unreadable}: it does not answer`);
  if (outcome.value === undefined) return err(unreadable);
  return ok(commandLineText(bytes.subarray(0, outcome.value), outcome.value === READ_BYTES));
}

/**
 * The first four arguments that are not empty, joined by blanks, bad UTF-8 replaced, secrets redacted, then cut.
 * @param raw - arguments, each ended by NUL
 * @param cut - `raw` is not all of it
 */
export function commandLineText(raw: Uint8Array, cut = false): string {
  const shown: string[] = [];
  let room = WINDOW;
  let shortened = cut;
  for (const argument of utf8.decode(raw).split("\0")) {
    if (argument === "") continue;
    if (shown.length === MAX_ARGUMENTS) {
      shortened = false;
      break;
    }
    shown.push(argument.slice(0, room));
    if (argument.length >= room) {
      shortened = true;
      break;
    }
    room -= argument.length;
  }
  // Each by itself, where the border of an argument ends a secret; then together, where a name and its value are two.
  const redacted = redactSecrets(shown.map(redactSecrets).join(" "));
  return cutText(shortened ? redacted.slice(0, -EDGE) : redacted, MAX_COMMAND_LINE);
}

function cutText(text: string, length: number): string {
  const cut = text.slice(0, length);
  const last = cut.charCodeAt(cut.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? cut.slice(0, -1) : cut;
}
