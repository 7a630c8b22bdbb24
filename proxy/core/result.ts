// The result of something that may fail in an expected way: a value, or an error that says what was found and wanted.
// What cannot happen (our own bug) is thrown as "internal error: …" instead.

export type Result<Value, Failure> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: Failure };

export function ok<Value>(value: Value): { readonly ok: true; readonly value: Value } {
  return { ok: true, value };
}

export function err<Failure>(error: Failure): { readonly ok: false; readonly error: Failure } {
  return { ok: false, error };
}

/** Ends a `switch` over a union: the compiler refuses the call while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`internal error: unexpected value ${JSON.stringify(value)}`);
}
