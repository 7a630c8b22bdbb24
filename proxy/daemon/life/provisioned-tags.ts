// Tag files for the platform's tools: those of an earlier start are removed, those of this one written when provisioning ends.

import { removeTagFiles, writeTagFiles } from "../../adapters/storage/tag-files.ts";
import type { Log } from "../../core/ports.ts";

/** @returns called with each outcome, the empty text for success; logs a line when it differs from the one before */
export function makeProvisionedTags(keyFolder: string, log: Log, sinceStart: () => number): (errorText: string) => void {
  let loggedText: string | undefined;
  const removed = removeTagFiles(keyFolder);
  if (!removed.ok) log.error("tag-files-not-written", { message: removed.error.message });
  return (errorText) => {
    const written = writeTagFiles(keyFolder, new Date(), errorText);
    if (!written.ok) log.error("tag-files-not-written", { message: written.error.message });
    if (errorText === loggedText) return;
    loggedText = errorText;
    if (errorText === "") log.info("provisioned", { sinceStartMs: sinceStart() });
    else log.error("provisioning-failed", { message: errorText, sinceStartMs: sinceStart() });
  };
}
