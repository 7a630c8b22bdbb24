// A suggestion as text: what each identity may do and why, what is left out and why, and the result of the proof.
// Everything from the log goes through quoting, so that a caller cannot write on the operator's terminal.

import type { Endpoint } from "../../core/request/endpoint.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { wrap } from "../../core/text/text-layout.ts";
import { CALLER_NOTE_TEXTS, describeCaller } from "./callers.ts";
import { type Observed, UNCOVERED_TEXTS, type Uncovered } from "./observed-requests.ts";
import { isProven, type Proof } from "./prove-suggestion.ts";
import { describeShape } from "./request-shape.ts";
import { type SuggestedIdentity, type Suggestion, titleOf } from "./suggest-rules.ts";

/** What came of the lines that were read. */
export interface LineCounts {
  readonly lines: number;
  readonly requests: number;
  /** Of other programs and events. */
  readonly foreign: number;
  /** JSON that cannot be read, and lines too long to be ours. */
  readonly malformed: number;
}

/** The proof of the rules with one endpoint's component. */
export interface EndpointProof {
  readonly endpoint: Endpoint;
  /** SHA-256 of the component. */
  readonly policyId: string;
  readonly proof: Proof;
}

const MAX_LISTED = 40;

export function renderSuggestion(
  suggestion: Suggestion,
  observed: Observed,
  lines: LineCounts,
  endpoint: Endpoint,
  proofs: readonly EndpointProof[],
): string {
  const { item, identities, coveredByUser, uncovered } = suggestion;
  const { rules } = item;
  const text = [
    renderLineCounts(lines),
    `${number(observed.requests)} requests for ${titleOf(endpoint)}, ${number(observed.elsewhere)} for other services` +
      (observed.exempt === 0 ? "" : `, ${number(observed.exempt)} of them uploads that need no rule`),
    `rules "${item.id}": ${rules.privileges.length} privileges, ${rules.roles.length} roles, ${rules.identities.length} identities, ` +
      `default access ${item.defaultAccess}, mode ${item.mode}`,
    "",
    "Allowed",
    ...identities.flatMap(renderIdentity),
    ...coveredByUser.map(
      (caller) =>
        `  ${escapeForTerminal(describeCaller(caller.userName, caller.exePath))}: has all it asked for through its user's identity`,
    ),
    "",
    "Not covered",
    ...(uncovered.length === 0 ? ["  nothing: every request that was read is allowed"] : renderUncovered(uncovered)),
    "",
    "Proof, with the compiled rules",
    ...proofs.flatMap(renderProof),
  ];
  return `${text.join("\n")}\n`;
}

export function renderLineCounts({ lines, requests, foreign, malformed }: LineCounts): string {
  return `read ${number(lines)} lines: ${number(requests)} requests, ${number(foreign)} other lines skipped, ${number(malformed)} unreadable`;
}

function renderIdentity({ name, selectors, callers, privileges, opened, merged }: SuggestedIdentity): readonly string[] {
  const requests = callers.reduce((sum, { count }) => sum + count, 0);
  const seen = callers.map(({ exePath }) => exePath ?? "unknown programs");
  const notes = [...new Set(callers.flatMap(({ note }) => note ?? []))].map((note) => `note: ${CALLER_NOTE_TEXTS[note]}`);
  if (selectors.exePath === undefined) notes.push(`seen: ${listed(seen)}`);
  if (opened.length > 0) notes.push(`too many values to list, left open: ${listed(opened)}`);
  if (merged.length > 0) notes.push(`many paths were asked for below these, all are allowed: ${listed(merged)}`);
  return [
    `  ${name}: ${escapeForTerminal(describeCaller(selectors.userName, selectors.exePath))}, ${number(requests)} requests`,
    ...privileges.slice(0, MAX_LISTED).map((shape) => `      ${escapeForTerminal(describeShape(shape))}`),
    ...(privileges.length > MAX_LISTED ? [`      and ${privileges.length - MAX_LISTED} more`] : []),
    ...notes.flatMap((note) => wrap("      ", note)),
  ];
}

function renderUncovered(uncovered: readonly Uncovered[]): readonly string[] {
  const reasons = [...new Set(uncovered.map(({ why }) => why))];
  return reasons.flatMap((why) => {
    const of = uncovered.filter((each) => each.why === why);
    return [
      ...wrap("  ", `${number(of.reduce((sum, { count }) => sum + count, 0))} requests: ${UNCOVERED_TEXTS[why]}`),
      ...of
        .slice(0, MAX_LISTED)
        .filter(({ what }) => what !== "")
        .map(
          ({ userName, exePath, what, count }) =>
            `      ${number(count)}  ${escapeForTerminal(`${describeCaller(userName, exePath)} ${what}`)}`,
        ),
      ...(of.length > MAX_LISTED ? [`      and ${of.length - MAX_LISTED} more kinds`] : []),
    ];
  });
}

function renderProof({ endpoint, policyId, proof }: EndpointProof): readonly string[] {
  const kinds = Object.entries(proof.nearMissKinds).map(([kind, count]) => `${kind} ${count}`);
  return [
    ...wrap(
      `  ${endpoint}: `,
      `${number(proof.allowed)} of ${number(proof.observed)} different observed requests allowed, ` +
        `${number(proof.denied)} of ${number(proof.nearMisses)} near misses denied${kinds.length === 0 ? "" : ` (${kinds.join(", ")})`}; ` +
        `component ${policyId.slice(0, 16)}`,
    ),
    ...proof.wrong.map((line) => `      ${escapeForTerminal(line)}`),
    ...(isProven(proof) ? [] : ["  FAILED: do not use these rules, and please report this"]),
  ];
}

function listed(texts: readonly string[]): string {
  const shown = texts.slice(0, 8).join(", ");
  return texts.length > 8 ? `${shown} and ${texts.length - 8} more` : shown;
}

/** With commas between thousands, in every locale. */
function number(value: number): string {
  return String(value).replace(/\B(?=(?:[0-9]{3})+$)/g, ",");
}
