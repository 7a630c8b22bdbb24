// The other end of hash-process.ts: a process that reads files and answers with their SHA-256. It opens only what the agent holds
// open, by the number of the agent's descriptor, and ends when the agent does.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { describeError } from "../../core/thrown.ts";

/** Files are hashed side by side, a piece of each in turn. */
const PIECE_BYTES = 256 * 1024;
/** Without O_NONBLOCK, opening a file with a lease on it would wait for the lease's holder. */
const OPEN_TO_READ = constants.O_RDONLY | constants.O_NONBLOCK;
const QUESTION = /^(\d{1,15}) (\d{1,9}) (\d{1,15})$/;

/**
 * Answers questions until the input ends. What hangs in a file system is left behind: the caller ends the process.
 * A question is a line `ID DESCRIPTOR BYTES`: hash the file with that descriptor, and give up beyond so many bytes. Its answer is a
 * line `ID ok LENGTH HEX` or `ID failed MESSAGE`.
 * @param folder - of the agent's descriptors, such as `/proc/PID/fd`
 */
export async function serveHashes(input: AsyncIterable<Uint8Array>, answer: (line: string) => void, folder: string): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of input) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, id, descriptor, maxBytes] = QUESTION.exec(line) ?? [];
      if (id === undefined) continue;
      void hashFile(`${folder}/${descriptor}`, Number(maxBytes)).then(
        (found) => answer(`${id} ok ${found.length} ${found.hash}\n`),
        (cause: unknown) => answer(`${id} failed ${describeError(cause).replaceAll("\n", " ")}\n`),
      );
    }
  }
}

async function hashFile(path: string, maxBytes: number): Promise<{ readonly length: number; readonly hash: string }> {
  const file = await open(path, OPEN_TO_READ);
  try {
    const hash = createHash("sha256");
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let length = 0;
    while (length <= maxBytes) {
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, null);
      if (bytesRead === 0) break;
      hash.update(piece.subarray(0, bytesRead));
      length += bytesRead;
    }
    return { length, hash: hash.digest("hex") };
  } finally {
    await file.close();
  }
}
