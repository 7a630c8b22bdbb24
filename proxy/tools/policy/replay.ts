// `azure-proxy-agent policy replay`: do these rules answer recorded requests as they were answered then?

import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { readLines } from "../input.ts";
import { fail, printJson, printLines, printNotes } from "../output.ts";
import { renderCaller } from "./caller-input.ts";
import { loadRules, name } from "./input.ts";
import { renderDecision } from "./render-explanation.ts";
import { type ReplayedLine, readRecordedLine, replayRecorded, SKIP_REASONS, type SkipReason } from "./replay-line.ts";
import { REPLAY } from "./table.ts";

const PROGRESS_LINES = 50_000;
const DEFAULT_LISTED = 100;

export function policyReplay({ options, operands: [path = ""] }: Given<typeof REPLAY.options>): number {
  if (options.rules === "-" && path === "-") return refuseUsage(REPLAY.name, "only one of --rules and FILE can be standard input");
  const loaded = loadRules(options.rules, options);
  if (!loaded.ok) return fail("noInput", loaded.error);
  const max = options.max ?? DEFAULT_LISTED;
  const { endpoint, rules, policy, notes } = loaded.value;

  const skipped = new Map<SkipReason, number>();
  const skip = (reason: SkipReason) => skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  const listed: { readonly line: number; readonly replayed: ReplayedLine }[] = [];
  const counts = { lines: 0, compared: 0, different: 0, otherPolicy: 0 };
  const tellsProgress = options.progress || process.stderr.isTTY === true;
  const replayLine = (text: string | undefined): void => {
    const recorded = text === undefined ? undefined : readRecordedLine(text);
    if (recorded === undefined || !recorded.ok) {
      skip(recorded === undefined ? "unreadable" : recorded.error);
      return;
    }
    if ((recorded.value.endpoint ?? endpoint) !== endpoint) {
      skip("other-endpoint");
      return;
    }
    const replayed = replayRecorded(endpoint, rules.mode, policy, recorded.value);
    counts.compared++;
    const { policyId } = recorded.value;
    if (policyId !== undefined && policyId !== "" && !policy.policyId.startsWith(policyId)) counts.otherPolicy++;
    if (replayed.same) return;
    counts.different++;
    if (listed.length < max) listed.push({ line: counts.lines, replayed });
  };
  const read = readLines([path], (text) => {
    counts.lines++;
    replayLine(text);
    if (tellsProgress && counts.lines % PROGRESS_LINES === 0)
      process.stderr.write(`${counts.lines} lines, ${counts.compared} compared, ${counts.different} different\n`);
  });
  if (!read.ok) return fail("noInput", `cannot read ${name(path)}: ${read.error.cause}`);

  if (options.json) {
    const differences = listed.map(({ line, replayed }) => differenceJson(line, replayed));
    printJson({
      ...counts,
      skipped: Object.fromEntries(skipped),
      policyId: policy.policyId,
      differences,
      omitted: counts.different - listed.length,
      notes,
    });
  } else {
    printNotes(notes);
    const rest = counts.different - listed.length;
    printLines([
      ...listed.flatMap(({ line, replayed }) => renderDifference(line, replayed)),
      ...(rest === 0 ? [] : [`and ${count(rest, "difference")} more`]),
      ...wrap("", `${count(counts.compared, "decision")} compared, ${counts.different} different`),
      ...(counts.otherPolicy === 0
        ? []
        : wrap("  ", `${counts.otherPolicy} of them were made by another policy than ${policy.policyId.slice(0, 16)}`)),
      ...[...skipped].map(([reason, number]) => `  ${count(number, "line")} passed over: ${SKIP_REASONS[reason]}`),
    ]);
  }
  if (counts.compared === 0) return fail("noInput", `cannot replay ${name(path)}: found no decision in it`);
  return counts.different === 0 ? EXIT.ok : EXIT.no;
}

function renderDifference(line: number, { recorded, now }: ReplayedLine): readonly string[] {
  const { request, caller, answer, reason, rule } = recorded;
  const then = [
    answer,
    ...(reason === undefined ? [] : [`reason ${quote(reason)}`]),
    ...(rule === undefined ? [] : [`rule ${quote(rule)}`]),
  ].join(", ");
  return [
    ...wrap(`line ${line}: `, `${request.method} ${request.target}`),
    ...wrap("  by   ", renderCaller(caller.claims)),
    ...wrap("  then ", then),
    ...wrap("  now  ", renderDecision(now)),
  ];
}

function differenceJson(line: number, { recorded, now }: ReplayedLine): Readonly<Record<string, unknown>> {
  const { request, answer, reason, rule, policyId } = recorded;
  return {
    line,
    request: `${request.method} ${request.target}`,
    recorded: { answer, reason, rule, policyId },
    now: { answer: now.answer, reason: now.reason, rule: now.rule },
  };
}
