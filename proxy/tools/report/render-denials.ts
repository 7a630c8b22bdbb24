// The denial report as text: what would break under enforce first, what was denied after, each with what to do about it.
// Old or empty data is said to be so, in words, before any number.

import type { DenialStatus, DenialStatusEntry } from "../../core/status/status.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { wrap } from "../../core/text/text-layout.ts";
import { type DenialReport, isOlderRules, remedyFor } from "./denial-report.ts";

/** The status is written every minute: one that is older than this is of an agent that does not run, or cannot write. */
export const STALE_MS = 5 * 60_000;

/**
 * @param source - name of the file or stream, for people
 * @param nowMs - wall clock; undefined for logs, which are never stale
 */
export function renderDenialReport(report: DenialReport, source: string, nowMs: number | undefined): string {
  const { guards, wouldDeny, denied } = report;
  const lines = [
    ...(nowMs === undefined ? [] : wrap("", describeAge(report, source, nowMs))),
    ...guards.map(({ endpoint, mode, ruleSetId }) =>
      escapeForTerminal(`${endpoint}: ${mode || "mode unknown"}, rules ${ruleSetId === "" ? "none" : JSON.stringify(ruleSetId)}`),
    ),
    "",
    ...renderDenials("Would be denied under enforce", wouldDeny, report),
    "",
    ...renderDenials("Denied", denied, report),
    ...renderForeign(report),
  ];
  if (wouldDeny.total === 0) lines.push("", ...wrap("", emptyMeaning(report)));
  return `${lines.join("\n")}\n`;
}

/** Callers whose connects never became a request: the kernel knows how many, not who. */
function renderForeign({ refusedForeignNamespace }: DenialReport): readonly string[] {
  if (refusedForeignNamespace === undefined || refusedForeignNamespace === 0) return [];
  return [
    "",
    ...wrap(
      "",
      `Refused before any request: ${refusedForeignNamespace} connects from other network namespaces (containers), with "Operation not permitted". They cannot be identified and so are not served: run the caller in the host's network, or set foreignNamespaces to pass to let them out unsigned`,
    ),
  ];
}

export function isStale({ writtenMs }: DenialReport, nowMs: number): boolean {
  return writtenMs === undefined || nowMs - writtenMs > STALE_MS;
}

function describeAge(report: DenialReport, source: string, nowMs: number): string {
  if (report.writtenMs === undefined) return `STALE? "${source}" does not say when it was written`;
  const seconds = Math.round((nowMs - report.writtenMs) / 1000);
  if (seconds < -STALE_MS / 1000) return `"${source}" was written ${-seconds} s in the future: the clock was changed`;
  if (!isStale(report, nowMs)) return `"${source}", written ${Math.max(seconds, 0)} s ago`;
  return `STALE: "${source}" was written ${describeSeconds(seconds)} ago; the agent writes it every minute, so it does not run or cannot write. What follows is from then`;
}

function describeSeconds(seconds: number): string {
  if (seconds < 7200) return `${Math.round(seconds / 60)} minutes`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} hours` : `${Math.round(seconds / 86_400)} days`;
}

function emptyMeaning({ guards, wouldDeny }: DenialReport): string {
  const audited = guards.filter(({ mode }) => mode === "audit").map(({ endpoint }) => endpoint);
  if (guards.length === 0)
    return "No line tells of a request that enforce would deny. Lines of other agents do not say; only lines of endpoints in audit mode do.";
  if (audited.length === 0) return "No endpoint is in audit mode, so nothing is learned here about a switch to enforce.";
  return `Nothing that was asked of ${audited.join(", ")} since ${wouldDeny.since || "the agent started"} would be denied. Counters begin anew with each start: have the rare jobs run (boot, backup, renewal)?`;
}

function renderDenials(title: string, denials: DenialStatus, report: DenialReport): readonly string[] {
  const { total, other, entries, since } = denials;
  if (total === 0) return [`${title}: nothing${since === "" ? "" : ` since ${escapeForTerminal(since)}`}`];
  const columns = entries.map((entry) => cellsOf(entry, isOlderRules(entry, report.guards)));
  const table = alignColumns([["COUNT", "LAST SEEN", "USER", "PROGRAM", "ASKED", "WHY"], ...columns]);
  return [
    `${title}: ${total} requests${since === "" ? "" : ` since ${escapeForTerminal(since)}`}`,
    ...table.flatMap((row, index) => {
      const entry = entries[index - 1];
      return entry === undefined ? [row] : [row, ...wrap("         ", remedyFor(entry))];
    }),
    ...(other === 0 ? [] : [`  ${other} more in kinds that are not listed`]),
  ];
}

function cellsOf(entry: DenialStatusEntry, older: boolean): readonly string[] {
  const { count, missedAtMost, lastSeen, userName, processFullPath, endpoint, exampleMethod, exampleUrl, reason, rule } = entry;
  return [
    missedAtMost === 0 ? String(count) : `${count} to ${count + missedAtMost}`,
    lastSeen.replace("T", " ").replace(/\.[0-9]+Z$/, "Z") || "-",
    userName || "(unknown)",
    processFullPath || "(unknown)",
    `${endpoint} ${exampleMethod === "" ? "a head that is no request" : `${exampleMethod} ${exampleUrl}`}`,
    `${reason}${rule === "" ? "" : `: ${rule}`}${older ? " (older rules)" : ""}`,
  ].map(escapeForTerminal);
}

/** A cell wider than this pushes the rest of its line, not the whole column. */
const MAX_COLUMN = 44;

function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]?.map((_, column) => Math.min(MAX_COLUMN, Math.max(...rows.map((row) => row[column]?.length ?? 0)))) ?? [];
  return rows.map((row) =>
    `  ${row.map((cell, column) => (column === 0 ? cell.padStart(widths[0] ?? 0) : cell.padEnd(widths[column] ?? 0))).join("  ")}`.trimEnd(),
  );
}
