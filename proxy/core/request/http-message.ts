// An HTTP/1.1 message head as plain values. Header names and values are latin1 strings with exactly the bytes received,
// so writing them back as latin1 gives the same bytes.

/** Name as received (case kept), value without outer blanks. */
export type HeaderField = readonly [name: string, value: string];

export type BodyFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly lengthBytes: number }
  | { readonly kind: "chunked" };

export interface RequestHead {
  readonly method: string;
  /** Request target exactly as received. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** In the order received, repeated names kept. */
  readonly headers: readonly HeaderField[];
  readonly framing: BodyFraming;
  /** The client sent `Connection: close`, or speaks 1.0 without keep-alive. */
  readonly closeAfter: boolean;
  readonly expectsContinue: boolean;
  readonly host: string | undefined;
}

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minorVersion: 0 | 1;
  readonly headers: readonly HeaderField[];
  readonly framing: BodyFraming | { readonly kind: "until-close" };
  readonly keepAlive: boolean;
}

/** The last value of a header, name compared without case; undefined when absent. */
export function headerValue(headers: readonly HeaderField[], lowerCaseName: string): string | undefined {
  for (let i = headers.length - 1; i >= 0; i--) {
    const field = headers[i];
    if (field !== undefined && field[0].length === lowerCaseName.length && field[0].toLowerCase() === lowerCaseName) return field[1];
  }
  return undefined;
}
