// How the policy tools speak: results on standard output, everything else on standard error, and the exit codes they share.

import { err, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { renderJson, wrap } from "../core/text/text-layout.ts";
import { EXIT } from "../exit-code.ts";

/** The error of a tool: its exit code, told already. */
export type Told<Value> = Result<Value, number>;

/** Of a decision: allow, deny. Of a check, test, comparison: fine, not fine. Of all: could not be done. */
export const TOOL_EXIT = { yes: 0, no: 1, failed: 2, usage: EXIT.usage } as const;

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

export function fail(message: string): number {
  process.stderr.write(`azure-proxy-agent: ${wrap("", message).join("\n")}\n`);
  return TOOL_EXIT.failed;
}

export function refuseUsage(message: string, usage: string): number {
  process.stderr.write(`azure-proxy-agent: ${wrap("", message).join("\n")}\n\n${usage}`);
  return TOOL_EXIT.usage;
}

export function tellFailure(message: string): { readonly ok: false; readonly error: number } {
  return err(fail(message));
}

/** Told with the exit code for an answer that is no, on one line, however long: it goes into logs and is searched for. */
export function tellRefusal(message: string): { readonly ok: false; readonly error: number } {
  process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n`);
  return err(TOOL_EXIT.no);
}
