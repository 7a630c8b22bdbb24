// Writes the outcome of policy cases: for people, as TAP version 14, as JSON. It only arranges what cases.ts and coverage.ts found.

import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { renderCaller } from "./caller-input.ts";
import type { CaseOutcome } from "./cases.ts";
import { type Coverage, type Tried, untried } from "./coverage.ts";

/** All cases of one file, and what they tried. */
export interface FileOutcome {
  readonly path: string;
  readonly outcomes: readonly CaseOutcome[];
  readonly coverage: Coverage;
}

const LISTED_NAMES = 10;

export function renderFileOutcome({ path, outcomes, coverage }: FileOutcome): readonly string[] {
  const failed = outcomes.filter(({ passed }) => !passed);
  const lines = [...wrap("", `${path}: ${count(outcomes.length, "case")}, ${failed.length} failed`)];
  for (const outcome of failed) lines.push(...renderFailure(outcome));
  return [...lines, ...renderTried("privileges", coverage.privileges), ...renderTried("assignments", coverage.assignments)];
}

function renderFailure(outcome: CaseOutcome): readonly string[] {
  const { name, request, claims } = outcome.case;
  return [
    ...wrap("  FAILED ", quote(name)),
    ...wrap("    request ", `${request.method} ${request.target}`),
    ...wrap("    caller  ", renderCaller(claims)),
    ...wrap("    wanted  ", wanted(outcome)),
    ...wrap("    found   ", found(outcome)),
    ...(outcome.mismatch ? ["    INTERNAL MISMATCH: the explanation comes to another decision; please report this"] : []),
  ];
}

function wanted({ case: { expect, reason, rule } }: CaseOutcome): string {
  return [
    expect,
    ...(reason === undefined ? [] : [`reason ${quote(reason)}`]),
    ...(rule === undefined ? [] : [`rule ${quote(rule)}`]),
  ].join(", ");
}

function found({ answer, reason, rule }: CaseOutcome): string {
  return `${answer}, reason ${quote(reason)}, rule ${quote(rule)}`;
}

function renderTried(title: string, tried: readonly Tried[]): readonly string[] {
  if (tried.length === 0) return [];
  const granted = tried.filter(({ granted }) => granted > 0).length;
  const denied = tried.filter(({ denied }) => denied > 0).length;
  const lines = [`  ${title.padEnd(11)} ${granted} of ${tried.length} tried as granting, ${denied} of ${tried.length} as denying`];
  for (const way of ["granted", "denied"] as const) {
    const names = untried(tried, way);
    if (names.length === 0) continue;
    const more = names.length > LISTED_NAMES ? ` and ${names.length - LISTED_NAMES} more` : "";
    lines.push(...wrap(`    never ${way}: `, `${names.slice(0, LISTED_NAMES).map(quote).join(", ")}${more}`));
  }
  return lines;
}

/** TAP 14: one line per case, diagnostics of failures as YAML. Numbers run through all files. */
export function renderTap(files: readonly FileOutcome[]): readonly string[] {
  const all = files.flatMap(({ path, outcomes }) => outcomes.map((outcome) => ({ path, outcome })));
  const lines = ["TAP version 14", `1..${all.length}`];
  all.forEach(({ path, outcome }, i) => {
    lines.push(`${outcome.passed ? "ok" : "not ok"} ${i + 1} - ${tapText(`${path}: ${outcome.case.name}`)}`);
    if (!outcome.passed)
      lines.push(
        "  ---",
        `  wanted: ${quote(wanted(outcome))}`,
        `  found: ${quote(found(outcome))}`,
        `  caller: ${quote(renderCaller(outcome.case.claims))}`,
        "  ...",
      );
  });
  for (const { path, coverage } of files)
    for (const [title, tried] of [
      ["privileges", coverage.privileges],
      ["assignments", coverage.assignments],
    ] as const)
      lines.push(`# ${tapText(path)}: ${renderTried(title, tried)[0]?.trim().replace(/ +/g, " ") ?? `${title} none`}`);
  return lines;
}

/** `#` would begin a directive, and a new line another test point. */
function tapText(text: string): string {
  return quote(text).slice(1, -1).replaceAll("#", "\\#");
}

export function fileOutcomeJson({ path, outcomes, coverage }: FileOutcome): Readonly<Record<string, unknown>> {
  return {
    path,
    passed: outcomes.filter(({ passed }) => passed).length,
    failed: outcomes.filter(({ passed }) => !passed).length,
    cases: outcomes.map(({ case: { name, expect }, passed, answer, reason, rule, mismatch }) => {
      return { name, passed, expect, answer, reason, rule, mismatch: mismatch || undefined };
    }),
    coverage,
  };
}
