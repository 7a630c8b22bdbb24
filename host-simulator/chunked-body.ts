// Removes chunk framing from a request body as it arrives. Strict: CRLF everywhere, plain hex sizes, bounded extensions
// and trailers. Never keeps body bytes; it passes each piece on as a view of what it was given.

const MAX_LINE_BYTES = 4096;
const MAX_TRAILER_BYTES = 16 * 1024;

type Place = "size" | "data" | "data-end" | "trailers" | "done";

export type ChunkProgress =
  /** All of the input was used, more is to come. */
  | { readonly kind: "more" }
  /** The body ended; input from `usedBytes` on belongs to the next request. */
  | { readonly kind: "done"; readonly usedBytes: number }
  | { readonly kind: "malformed"; readonly detail: string };

const MORE: ChunkProgress = { kind: "more" };

export class ChunkedBody {
  #place: Place = "size";
  #line = "";
  #leftBytes = 0;
  #trailerBytes = 0;

  /** Takes the next bytes from the wire and hands the data in them to `onData`. */
  push(input: Buffer, onData: (piece: Buffer) => void): ChunkProgress {
    let at = 0;
    while (at < input.length) {
      if (this.#place === "data") {
        const piece = input.subarray(at, at + this.#leftBytes);
        onData(piece);
        at += piece.length;
        this.#leftBytes -= piece.length;
        if (this.#leftBytes === 0) this.#place = "data-end";
        continue;
      }
      const lineEnd = input.indexOf(0x0a, at);
      const upTo = lineEnd < 0 ? input.length : lineEnd + 1;
      this.#line += input.toString("latin1", at, upTo);
      at = upTo;
      if (this.#line.length > MAX_LINE_BYTES) return malformed("chunk line is too long");
      if (lineEnd < 0) break;
      if (!this.#line.endsWith("\r\n")) return malformed("chunk line ends without CR");
      const line = this.#line.slice(0, -2);
      this.#line = "";
      const failure = this.#takeLine(line);
      if (failure !== undefined) return malformed(failure);
      if (this.#place === "done") return { kind: "done", usedBytes: at };
    }
    return MORE;
  }

  #takeLine(line: string): string | undefined {
    if (this.#place === "data-end") {
      if (line !== "") return "chunk data is longer than its size";
      this.#place = "size";
      return undefined;
    }
    if (this.#place === "size") {
      const match = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(line);
      if (match?.[1] === undefined) return "chunk size is not plain hex";
      this.#leftBytes = Number.parseInt(match[1], 16);
      this.#place = this.#leftBytes === 0 ? "trailers" : "data";
      return undefined;
    }
    if (line === "") {
      this.#place = "done";
      return undefined;
    }
    this.#trailerBytes += line.length;
    if (this.#trailerBytes > MAX_TRAILER_BYTES) return "trailers are too long";
    return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/.test(line) ? undefined : "trailer is not a header line";
  }
}

function malformed(detail: string): ChunkProgress {
  return { kind: "malformed", detail };
}
