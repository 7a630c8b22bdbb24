// How the module commands speak beyond what policy tools do: warnings, and exit codes of the store.

import type { StoreError } from "../../adapters/storage/module-store.ts";
import { wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import { fail, TOOL_EXIT, tellRefusal } from "../output.ts";

/** Said loudly, whatever is printed else: protection gets weaker, or something is doubtful. */
export function warn(message: string): void {
  process.stderr.write(`${wrap("warning: ", message).join("\n")}\n`);
}

/** Tells the error and gives its exit code. */
export function exitOf({ kind, message }: StoreError): number {
  if (kind === "refused") return tellRefusal(message).error;
  fail(message);
  return kind === "busy" ? EXIT.temporary : TOOL_EXIT.failed;
}
