// How the policy tools speak: results on standard output, everything else on standard error, and the exit codes they share.

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
