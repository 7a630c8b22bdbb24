// How commands speak: results on standard output, everything else on standard error. Errors are values until a command ends with one;
// only {@link tell} and {@link fail} write one and turn it into an exit code.

import type { StoreError } from "../adapters/storage/module-store.ts";
import { err, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { renderJson, wrap } from "../core/text/text-layout.ts";
import { EXIT, type ExitName } from "../exit-code.ts";
import { refuseUsage } from "./command-line/usage-error.ts";

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

/** @returns the exit code of that name */
export function fail(exit: ExitName, message: string): number {
  process.stderr.write(`azure-proxy-agent: ${wrap("", message).join("\n")}\n`);
  return EXIT[exit];
}

/** Why a command ends without having done it. */
export type ToolError =
  /** The answer is no. `details`: lines that say more, shown before the message. */
  | { readonly kind: "refused"; readonly message: string; readonly details: readonly string[] }
  /** It could not be found out or done; `exit` says why. */
  | { readonly kind: "failed"; readonly exit: ExitName; readonly message: string }
  /** A wrong command line that no table can tell; `command` has the command's words, such as `policy check`. */
  | { readonly kind: "usage"; readonly command: string; readonly message: string }
  | { readonly kind: "config"; readonly message: string };

/** What a step of a command came to. */
export type Tool<Value> = Result<Value, ToolError>;

type Failed = { readonly ok: false; readonly error: ToolError };

export function failed(exit: ExitName, message: string): Failed {
  return err({ kind: "failed", exit, message });
}

export function refused(message: string, details: readonly string[] = []): Failed {
  return err({ kind: "refused", message, details });
}

/** @param command - its words, such as `policy check` */
export function misused(command: string, message: string): Failed {
  return err({ kind: "usage", command, message });
}

const EXIT_OF_STORE: Readonly<Record<Exclude<StoreError["kind"], "refused">, ExitName>> = {
  unusable: "noInput",
  busy: "temporary",
  "not-written": "cannotCreate",
};

export function fromStore({ kind, message }: StoreError): Failed {
  return kind === "refused" ? refused(message) : failed(EXIT_OF_STORE[kind], message);
}

/** Writes the error for people. @returns the exit code that says the same */
export function tell(error: ToolError): number {
  switch (error.kind) {
    case "refused":
      if (error.details.length > 0) process.stderr.write(`${error.details.join("\n")}\n`);
      writeLine(error.message);
      return EXIT.no;
    case "failed":
      return fail(error.exit, error.message);
    case "usage":
      return refuseUsage(error.command, error.message);
    case "config":
      writeLine(error.message);
      return EXIT.config;
  }
}

/** On one line, however long: it goes into logs and is searched for. */
function writeLine(message: string): void {
  process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n`);
}
