// How the tools speak: results on standard output, everything else on standard error, and the exit codes they share. Errors are values
// until a command ends with one; only {@link tell} writes such an error and turns it into an exit code.

import type { StoreError } from "../adapters/storage/module-store.ts";
import { err, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { renderJson, wrap } from "../core/text/text-layout.ts";
import { EXIT } from "../exit-code.ts";

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

/** Why a command ends without having done it. */
export interface ToolError {
  /** `refused`: the answer is no. `failed`: it could not be found out. `busy`: another command is at it. */
  readonly kind: "refused" | "failed" | "usage" | "config" | "busy";
  readonly message: string;
  /** The command's usage, to be shown with the message. */
  readonly usage?: string;
  /** Lines that say more, shown before the message. */
  readonly details?: readonly string[];
}

/** What a step of a command came to. */
export type Tool<Value> = Result<Value, ToolError>;

type Failed = { readonly ok: false; readonly error: ToolError };

export function failed(message: string): Failed {
  return err({ kind: "failed", message });
}

export function refused(message: string, details: readonly string[] = []): Failed {
  return err({ kind: "refused", message, details });
}

/** @param usage - shown with the message */
export function misused(message: string, usage?: string): Failed {
  return err({ kind: "usage", message, ...(usage === undefined ? {} : { usage }) });
}

export function fromStore({ kind, message }: StoreError): Failed {
  return err({ kind: kind === "refused" || kind === "busy" ? kind : "failed", message });
}

/** Writes the error for people. @returns the exit code that says the same */
export function tell({ kind, message, usage, details = [] }: ToolError): number {
  if (details.length > 0) process.stderr.write(`${details.join("\n")}\n`);
  if (kind === "refused") {
    // On one line, however long: it goes into logs and is searched for.
    process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n`);
    return TOOL_EXIT.no;
  }
  if (usage !== undefined) return refuseUsage(message, usage);
  fail(message);
  return { failed: TOOL_EXIT.failed, usage: TOOL_EXIT.usage, config: EXIT.config, busy: EXIT.temporary }[kind];
}

/** Said loudly, whatever is printed else: protection gets weaker, or something is doubtful. */
export function warn(message: string): void {
  process.stderr.write(`${wrap("warning: ", message).join("\n")}\n`);
}
