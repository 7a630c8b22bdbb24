// What the audit tools share: their help text, the options they are given, and how they refuse and fail.

import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { EXIT } from "../../exit-code.ts";

export const USAGE = `azure-proxy-agent audit TOOL [OPTION]...

Reads the decision trail: one record for each decision, chained by hashes.

  audit verify   is it whole, and is it what the agent wrote? Names the first place that is not
  audit tail     the last decisions, as lines for people
  audit export   all decisions as JSON lines, as policy replay takes them

Of all:
  --folder FOLDER       the trail (default: auditFolder of the config, else /var/lib/azure-proxy-agent/audit)
  --config FILE         the config that names it
verify:
  --anchor [N:]HASH     the trail must hold a record (number N) with this hash; may be repeated
  --journal FILE|-      the same for every trail-anchor line found there
  --json                as JSON
tail:
  -n NUMBER             so many (default 20)
  --follow, -f          and what comes, until interrupted
export:
  --first N, --last N    only records with these numbers

Exit codes: 0 fine, 1 damage was found, 64 usage, 66 there is no trail or it cannot be read
`;

export interface AuditOptions {
  readonly folder: string;
  readonly values: ReadonlyMap<string, readonly string[]>;
}

export function refuseAuditUsage(message: string): number {
  process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n\n${USAGE}`);
  return EXIT.usage;
}

export function failAudit(message: string): number {
  process.stderr.write(`azure-proxy-agent: ${escapeForTerminal(message)}\n`);
  return EXIT.noInput;
}

/** A whole number as an option gives it; undefined when it is not one. */
export function readNumber(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
