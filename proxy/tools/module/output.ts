// Exit codes of what the module store answers.

import type { StoreError } from "../../adapters/storage/module-store.ts";
import type { ExitName } from "../../exit-code.ts";
import { fail, tellRefusal } from "../output.ts";

const EXIT_OF: Readonly<Record<Exclude<StoreError["kind"], "refused">, ExitName>> = {
  unusable: "noInput",
  busy: "temporary",
  "not-written": "cannotCreate",
};

/** Tells the error and gives its exit code. */
export function exitOf({ kind, message }: StoreError): number {
  return kind === "refused" ? tellRefusal(message).error : fail(EXIT_OF[kind], message);
}
