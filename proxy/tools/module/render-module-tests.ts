// Writes what came of a module's cases: for people, as TAP version 14, as JSON. It only arranges what module-trials.ts found.

import type { PolicyAnswer } from "../../core/modules/policy-question.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { renderCaller } from "../policy/caller-input.ts";
import { type CaseOutcome, countAnswers, type ModuleTrial, percentile, type SettingsOutcome, unseenKinds } from "./module-trials.ts";

const FUEL_COLUMNS = 11;

export interface ModuleTestRun {
  /** Of the case file. */
  readonly path: string;
  readonly cases: readonly CaseOutcome[];
  readonly settings: readonly SettingsOutcome[];
  /** What one call may use. */
  readonly fuelBudget: number;
}

export function countFailed({ cases, settings }: ModuleTestRun): number {
  return [...cases, ...settings].filter(({ difference }) => difference !== undefined).length;
}

export function renderModuleTest(run: ModuleTestRun): readonly string[] {
  const { path, cases, settings } = run;
  return [
    ...wrap("", `${path}: ${count(cases.length + settings.length, "case")}, ${countFailed(run)} failed`),
    ...cases.flatMap(renderCase),
    ...settings.flatMap(renderSettings),
    ...renderFuel(run),
    ...renderAnswers(cases),
  ];
}

/** Only the cases that do not hold. */
export function renderFailures({ cases, settings }: ModuleTestRun): readonly string[] {
  const failed = ({ difference }: { readonly difference: string | undefined }) => difference !== undefined;
  return [...cases.filter(failed).flatMap(renderCase), ...settings.filter(failed).flatMap(renderSettings)];
}

function renderCase({ case: { name, question }, trial, difference }: CaseOutcome): readonly string[] {
  const line = renderLine(name, trial, difference);
  if (difference === undefined) return line;
  const { endpoint, method, segments, query } = question.request;
  const target = `/${segments.join("/")}${query.length === 0 ? "" : `?${query.map((each) => `${each.name}=${each.value}`).join("&")}`}`;
  return [
    ...line,
    ...wrap("    request ", `${method} ${target} (${endpoint})`),
    ...wrap("    caller  ", renderCaller(question.claims)),
    ...wrap("    ", difference),
    ...(trial === undefined ? [] : wrap("    answer  ", renderTrial(trial))),
  ];
}

function renderSettings({ case: { name }, difference }: SettingsOutcome): readonly string[] {
  const line = renderLine(name, undefined, difference);
  return difference === undefined ? line : [...line, ...wrap("    ", difference)];
}

function renderLine(name: string, trial: ModuleTrial | undefined, difference: string | undefined): readonly string[] {
  const fuel = (trial === undefined ? "" : String(trial.fuel)).padStart(FUEL_COLUMNS);
  return wrap(`  ${difference === undefined ? "ok    " : "FAILED"} ${fuel} `, quote(name));
}

function renderFuel({ cases, fuelBudget }: ModuleTestRun): readonly string[] {
  const spent = fuelOf(cases);
  if (spent.length === 0) return [];
  const most = percentile(spent, 100);
  const share = (100 * most) / fuelBudget;
  return wrap(
    "  fuel       ",
    `${spent[0]} to ${most}, half of the cases at most ${percentile(spent, 50)}; ${share < 1 ? "under 1" : Math.ceil(share)} % of the budget of ${fuelBudget}`,
  );
}

function fuelOf(cases: readonly CaseOutcome[]): readonly number[] {
  return cases.flatMap(({ trial }) => (trial === undefined ? [] : [trial.fuel])).sort((a, b) => a - b);
}

/** Which answers the cases have seen, and which kinds never. */
function renderAnswers(cases: readonly CaseOutcome[]): readonly string[] {
  const lines = countAnswers(cases).flatMap(({ kind, reason, rule, count: times }) => {
    const words = kind === "failed" ? "" : `, reason ${quote(reason)}${rule === "" ? "" : `, rule ${quote(rule)}`}`;
    return wrap(`  ${kind.padEnd(10)} `, `${count(times, "time")}${words}`);
  });
  const unseen = unseenKinds(cases);
  return unseen.length === 0 ? lines : [...lines, ...wrap("  never      ", unseen.join(", "))];
}

export function renderAnswer({ kind, reason, rule, labels }: PolicyAnswer): string {
  const parts = [kind, `reason ${quote(reason)}`];
  if (rule !== "") parts.push(`rule ${quote(rule)}`);
  for (const [name, value] of labels) parts.push(`${quote(name)} is ${quote(value)}`);
  return parts.join(", ");
}

export function renderTrial({ answer, failure }: ModuleTrial): string {
  return answer === undefined ? `failed, which the agent takes for a deny: ${failure}` : renderAnswer(answer);
}

/** TAP 14: one line per case, diagnostics of failures as YAML. */
export function renderModuleTap({ path, cases, settings }: ModuleTestRun): readonly string[] {
  const all = [...cases.map((each) => ({ ...each, name: each.case.name })), ...settings.map((each) => ({ ...each, name: each.case.name }))];
  const lines = ["TAP version 14", `1..${all.length}`];
  all.forEach(({ name, difference }, i) => {
    lines.push(`${difference === undefined ? "ok" : "not ok"} ${i + 1} - ${tapText(`${path}: ${name}`)}`);
    if (difference !== undefined) lines.push("  ---", `  message: ${quote(difference)}`, "  ...");
  });
  for (const { kind, reason, count: times } of countAnswers(cases)) lines.push(`# ${kind} ${tapText(reason)}: ${times}`.replace(" :", ":"));
  return lines;
}

/** `#` would begin a directive, and a new line another test point. */
function tapText(text: string): string {
  return quote(text).slice(1, -1).replaceAll("#", "\\#");
}

export function moduleTestJson(run: ModuleTestRun): Readonly<Record<string, unknown>> {
  const { path, cases, settings, fuelBudget } = run;
  const failed = countFailed(run);
  return {
    path,
    passed: cases.length + settings.length - failed,
    failed,
    fuelBudget,
    cases: cases.map(({ case: { name, expect }, trial, difference }) => {
      return { name, passed: difference === undefined, expect, difference, ...(trial === undefined ? {} : trialJson(trial)) };
    }),
    settingsCases: settings.map(({ case: { name }, difference }) => ({ name, passed: difference === undefined, difference })),
    answers: countAnswers(cases),
    unseen: unseenKinds(cases),
  };
}

export function trialJson({ answer, failure, fuel }: ModuleTrial): Readonly<Record<string, unknown>> {
  if (answer === undefined) return { kind: "failed", failure, fuel };
  const { kind, reason, rule, labels } = answer;
  return { kind, reason, rule, labels, fuel };
}
