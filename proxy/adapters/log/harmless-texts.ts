// Remembers texts that were searched for secrets and may be logged as they are. Nearly every line repeats the fields of the line before,
// and this search is a line's largest cost. Only ever forgets: an unknown text is searched again.

const MAX_CHARACTERS = 512;
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

export class HarmlessTexts {
  readonly #generationSize: number;
  #recent = new Set<string>();
  #older = new Set<string>();

  /** @param generationSize - texts to keep; up to twice as many are held */
  constructor(generationSize: number) {
    this.#generationSize = generationSize;
  }

  has(text: string): boolean {
    if (this.#recent.has(text)) return true;
    if (!this.#older.has(text)) return false;
    this.#keep(text);
    return true;
  }

  /** @param text - has nothing to redact; long texts and those with more than printable ASCII are not kept */
  add(text: string): void {
    // A copy: a text cut out of a request head would keep the whole head in memory.
    if (text.length <= MAX_CHARACTERS && isPrintableAscii(text)) this.#keep(Buffer.from(text, "latin1").toString("latin1"));
  }

  #keep(text: string): void {
    if (this.#recent.size >= this.#generationSize) {
      this.#older = this.#recent;
      this.#recent = new Set();
    }
    this.#recent.add(text);
  }
}

export function isPrintableAscii(text: string): boolean {
  return PRINTABLE_ASCII.test(text);
}
