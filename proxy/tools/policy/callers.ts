// How an identity can name a caller: by user and program where the program is known and identifies the caller, by user alone where it is
// an interpreter (any script runs in it), never without a user.

/** The selectors of an identity. */
export interface CallerSelectors {
  readonly userName: string;
  readonly exePath: string | undefined;
}

export type CallerReading =
  | { readonly kind: "nameable"; readonly selectors: CallerSelectors; readonly note: CallerNote | undefined }
  | { readonly kind: "not-nameable"; readonly why: NotNameable };

export type CallerNote = "interpreter" | "unknown-program";
export type NotNameable = "unknown-user" | "unclear-user";

export const CALLER_NOTE_TEXTS: Readonly<Record<CallerNote, string>> = {
  interpreter: "an interpreter runs any script, so its path says little: the identity names the user alone, with all programs of that user",
  "unknown-program": "the log does not prove the program: the identity names the user alone, with all programs of that user",
};

export const NOT_NAMEABLE_TEXTS: Readonly<Record<NotNameable, string>> = {
  "unknown-user": "its user has no known account name, and a program alone is not an identity: anybody may run it",
  "unclear-user": "its user name cannot be written in rules",
};

const INTERPRETER =
  /^(?:python|pypy|perl|ruby|node|nodejs|deno|bun|php|lua|luajit|tclsh|java|dotnet|mono|pwsh|powershell|bash|dash|sh|zsh|ksh|fish|busybox|gawk|mawk|guile|racket|erl|beam\.smp|rscript|julia|osascript)(?:[-.]?[0-9][0-9.]*[a-z]*)?$/i;
/** U+FFFD stands for bytes that the log could not hold, NUL ends names in the kernel, and a half character has no bytes. */
const UNCLEAR = /[\0\ufffd]/;
const MAX_PATH_CHARACTERS = 4096;

/** @param exePath - absolute, or undefined when unverified */
export function readCaller(userName: string | undefined, exePath: string | undefined): CallerReading {
  if (userName === undefined || userName === "") return { kind: "not-nameable", why: "unknown-user" };
  if (!isClear(userName)) return { kind: "not-nameable", why: "unclear-user" };
  const byUser = { userName, exePath: undefined };
  if (exePath === undefined || !isProgramPath(exePath)) return { kind: "nameable", selectors: byUser, note: "unknown-program" };
  if (isInterpreter(exePath)) return { kind: "nameable", selectors: byUser, note: "interpreter" };
  return { kind: "nameable", selectors: { userName, exePath }, note: undefined };
}

/** Does the program run arbitrary scripts? Judged by its name, with any version number at its end. */
export function isInterpreter(exePath: string): boolean {
  return INTERPRETER.test(exePath.slice(exePath.lastIndexOf("/") + 1));
}

function isProgramPath(exePath: string): boolean {
  const whole = exePath.length <= MAX_PATH_CHARACTERS && !exePath.includes("[REDACTED]") && !exePath.endsWith(" (deleted)");
  return exePath.startsWith("/") && whole && isClear(exePath);
}

function isClear(text: string): boolean {
  return text.isWellFormed() && !UNCLEAR.test(text);
}

/** For people: `alice with /usr/bin/curl`. */
export function describeCaller(userName: string | undefined, exePath: string | undefined): string {
  return `${userName ?? "(unknown user)"} with ${exePath ?? "any program"}`;
}
