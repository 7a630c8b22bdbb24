// What a caught value says: anything can be thrown, so a catch knows nothing about it.

/** The message of an error, or the thrown value as text. */
export function describeError(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** For the log, about a defect of ours: with the stack where there is one. */
export function describeDefect(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

/** Name of a failed system call's error, such as `ENOENT`; undefined when it is no such error. */
export function errorCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : undefined;
}
