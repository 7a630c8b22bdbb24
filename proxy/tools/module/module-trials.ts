// Judges the results of a module's cases, and which kinds of answers the cases have seen.

import type { PolicyAnswer } from "../../core/modules/policy-question.ts";
import type { Result } from "../../core/result.ts";
import { findDifference, type ModuleCase, type SettingsCase } from "./module-cases.ts";

/** What a module made of one question. */
export interface ModuleTrial {
  /** Undefined: it failed. */
  readonly answer: PolicyAnswer | undefined;
  /** Why it failed; empty when it did not. */
  readonly failure: string;
  /** Units of this call. */
  readonly fuel: number;
}

export interface CaseOutcome {
  readonly case: ModuleCase;
  /** Undefined: it could not be called at all. */
  readonly trial: ModuleTrial | undefined;
  /** What is not as the case wants it; undefined: the case holds. */
  readonly difference: string | undefined;
}

export interface SettingsOutcome {
  readonly case: SettingsCase;
  readonly difference: string | undefined;
}

/** @param trial - the result of the call, or why it could not be made */
export function judgeCase(wanted: ModuleCase, trial: Result<ModuleTrial, string>): CaseOutcome {
  if (!trial.ok) return { case: wanted, trial: undefined, difference: trial.error };
  return { case: wanted, trial: trial.value, difference: compareTrial(wanted, trial.value) };
}

function compareTrial(wanted: ModuleCase, { answer, failure, fuel }: ModuleTrial): string | undefined {
  if (answer === undefined) {
    if (wanted.expect !== "failed") return `found a failure (${failure}), want an answer`;
  } else if (wanted.expect === "failed") return `found answer "${answer.kind}", want a failure`;
  else {
    const difference = findDifference(wanted, answer);
    if (difference !== undefined) return difference;
  }
  const { fuelAtMost } = wanted;
  return fuelAtMost !== undefined && fuel > fuelAtMost ? `found ${fuel} units of fuel, want at most ${fuelAtMost}` : undefined;
}

/** @param accepted - what the module says of the settings; its error is in its own words */
export function judgeSettings(wanted: SettingsCase, accepted: Result<void, string>): SettingsOutcome {
  return { case: wanted, difference: compareSettings(wanted, accepted) };
}

function compareSettings({ error }: SettingsCase, accepted: Result<void, string>): string | undefined {
  if (error === undefined) return accepted.ok ? undefined : `found a refusal (${accepted.error}), want the settings to be accepted`;
  if (accepted.ok) return `found the settings accepted, want a refusal with "${error}"`;
  return accepted.error.includes(error) ? undefined : `found a refusal (${accepted.error}), want one with "${error}"`;
}

/** How often an answer came. */
export interface AnswerCount {
  readonly kind: PolicyAnswer["kind"] | "failed";
  /** Empty for failures. */
  readonly reason: string;
  readonly rule: string;
  readonly count: number;
}

const KINDS = ["allow", "deny", "abstain", "failed"] as const satisfies readonly AnswerCount["kind"][];

/** Each different answer, most often first within its kind. */
export function countAnswers(outcomes: readonly CaseOutcome[]): readonly AnswerCount[] {
  const counts = new Map<string, AnswerCount>();
  for (const { trial } of outcomes) {
    if (trial === undefined) continue;
    const { kind, reason, rule } = trial.answer ?? { kind: "failed" as const, reason: "", rule: "" };
    const key = JSON.stringify([kind, reason, rule]);
    counts.set(key, { kind, reason, rule, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || b.count - a.count);
}

/** Kinds of answer that no case has brought about. */
export function unseenKinds(outcomes: readonly CaseOutcome[]): readonly PolicyAnswer["kind"][] {
  const seen = outcomes.map(({ trial }) => trial?.answer?.kind);
  return (["allow", "deny", "abstain"] as const).filter((kind) => !seen.includes(kind));
}

/** Rank of a sorted list: the least value that so many percent do not exceed. */
export function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? 0;
}
