// Key material. It must never reach a log, a status file or an error text, so every way of showing it says "[secret]".

/** Bytes that cannot be shown: printing, JSON and inspection all give "[secret]". */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves; only for signing and for writing the key file. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}
