// What a program that a test started says on its standard output, line by line.

export class SaidLines {
  readonly #reader: { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> };
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next line without its end; what there was when the program ended before it. */
  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      if (!(await this.#readMore())) return this.#text;
    }
  }

  /** Everything that comes after, until the program ends. */
  async rest(): Promise<string> {
    while (await this.#readMore());
    return this.#text;
  }

  async #readMore(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    if (done || value === undefined) return false;
    this.#text += this.#decoder.decode(value, { stream: true });
    return true;
  }
}
