// The texts of a rule set on their way into the tables: each once, UTF-8, identified by number. Also the two small things that
// all entries of one text share.

import type { TextEntry } from "./hash-index.ts";

/** An entry of the text index whose bytes are still to be looked up. */
export type ScopedText = Omit<TextEntry, "bytes">;

/** Every text once, numbered in the order of first use. */
export class TextPool {
  readonly #numbers = new Map<string, number>();
  readonly #encoded: Uint8Array[] = [];
  readonly #encoder = new TextEncoder();
  bytes = 0;

  number(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#encoded.length;
    const encoded = this.#encoder.encode(text);
    this.#numbers.set(text, number);
    this.#encoded.push(encoded);
    this.bytes += encoded.length;
    return number;
  }

  bytesOf(number: number): Uint8Array {
    return this.#encoded[number] ?? new Uint8Array();
  }

  finish(): { readonly rows: Uint32Array<ArrayBuffer>; readonly text: Uint32Array<ArrayBuffer> } {
    const rows = new Uint32Array(this.#encoded.length * 2);
    const text = new Uint32Array(Math.ceil(this.bytes / 4));
    const view = new Uint8Array(text.buffer);
    let offset = 0;
    this.#encoded.forEach((encoded, i) => {
      rows.set([offset, encoded.length], i * 2);
      view.set(encoded, offset);
      offset += encoded.length;
    });
    return { rows, text };
  }
}

/** The choice that fewest others made; the first of equals. */
export function rarest(choices: readonly number[], popularity: ReadonlyMap<number, number>): number {
  let best = choices[0] ?? 0;
  for (const choice of choices) if ((popularity.get(choice) ?? 0) < (popularity.get(best) ?? 0)) best = choice;
  return best;
}
