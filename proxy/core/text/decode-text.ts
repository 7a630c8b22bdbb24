// Bytes of a hand-written file as text: UTF-8 and nothing else. A byte order mark is skipped.

import { err, ok, type Result } from "../result.ts";

/** @returns the text, or what is wrong with the bytes, in words */
export function decodeText(bytes: Uint8Array): Result<string, string> {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return err("found UTF-16, want UTF-8");
  const nul = bytes.indexOf(0);
  if (nul >= 0) return err(`found a NUL byte at offset ${nul}, want UTF-8 text`);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  try {
    return ok(decoder.decode(bytes));
  } catch {
    return err(`found bytes that are not UTF-8 at offset ${validPrefix(bytes)}, want UTF-8 text`);
  }
}

/** How many bytes from the start can be decoded. */
function validPrefix(bytes: Uint8Array): number {
  let [good, bad] = [0, bytes.length];
  while (good < bad) {
    const middle = Math.ceil((good + bad) / 2);
    try {
      // An unfinished character at the end is no error yet: "stream" holds it back.
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle - 1;
    }
  }
  return good;
}
