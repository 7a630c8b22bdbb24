// How commands speak: results on standard output, everything else on standard error, and a failure with the exit code that says so.

import { err, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { renderJson, wrap } from "../core/text/text-layout.ts";
import { EXIT, type ExitName } from "../exit-code.ts";

/** The error of a command: its exit code; the message is on standard error already. */
export type Told<Value> = Result<Value, number>;

export function printLines(lines: readonly string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${renderJson(value, 2)}\n`);
}

/** Notes for people, out of the way of the result. */
export function printNotes(notes: readonly string[]): void {
  for (const note of notes) process.stderr.write(`${wrap("# ", note).join("\n")}\n`);
}

/** Said loudly, whatever is printed else: protection gets weaker, or something is doubtful. */
export function warn(message: string): void {
  process.stderr.write(`${wrap("warning: ", message).join("\n")}\n`);
}

export function fail(exit: ExitName, message: string): number {
  process.stderr.write(`azure-proxy-agent: ${wrap("", message).join("\n")}\n`);
  return EXIT[exit];
}

export function tellFailure(exit: ExitName, message: string): { readonly ok: false; readonly error: number } {
  return err(fail(exit, message));
}

/** Told with the exit code for an answer that is no, on one line, however long: it goes into logs and is searched for. */
export function tellRefusal(message: string): { readonly ok: false; readonly error: number } {
  process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n`);
  return err(EXIT.no);
}
