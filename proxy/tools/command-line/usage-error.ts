// How a wrong command line is refused: one line on standard error that says what is wrong, what may have been meant and where to get help.

import { nearestWord } from "../../core/text/nearest-word.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { EXIT } from "../../exit-code.ts";
import type { UsageError } from "./parse.ts";
import { invocation } from "./spec.ts";

/**
 * @param name - the command's words, such as `policy check`
 * @returns the exit code
 */
export function refuseUsage(name: string, message: string): number {
  process.stderr.write(`${escapeForTerminal(`azure-proxy-agent: ${message}; see "${invocation(name)} --help"`)}\n`);
  return EXIT.usage;
}

export function refuseUsageError(name: string, error: UsageError): number {
  return refuseUsage(name, error.kind === "wrong" ? error.message : unknownWord("option", error.option, error.known));
}

/** @param kind - such as `option`, `command` or `policy command` */
export function unknownWord(kind: string, found: string, known: readonly string[]): string {
  const nearest = nearestWord(found, known);
  return `unknown ${kind} ${JSON.stringify(found)}${nearest === undefined ? "" : ` (did you mean "${nearest}"?)`}`;
}
