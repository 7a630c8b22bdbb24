// What the status says while callers cannot be pinned to their executables: rules that name one match nobody then, which looks like a
// wrong rule to whoever does not know.

import type { StatusPart } from "../../core/status/status-part.ts";

/** @param unpinnedReason - undefined while they are pinned */
export function makeExecutablesPart(unpinnedReason: string | undefined): StatusPart {
  const reason = unpinnedReason?.split("\n")[0];
  return {
    name: "executables",
    report: () =>
      reason === undefined
        ? { health: "ok", message: "", details: undefined }
        : {
            health: "degraded",
            message: `executables of callers are unknown, so rules that name one (exePath, processName, exeSha256) match nobody: ${reason}`,
            details: { unknownBecause: reason },
          },
  };
}
