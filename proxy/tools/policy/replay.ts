// `azure-proxy-agent policy replay`: do these rules answer recorded requests as they were answered then?

import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { readLines } from "../input.ts";
import { parseOptions } from "../options.ts";
import { fail, printJson, printLines, printNotes, refuseUsage, TOOL_EXIT } from "../output.ts";
import { renderCaller } from "./caller-input.ts";
import { loadRules, name } from "./input.ts";
import { renderDecision } from "./render-explanation.ts";
import { type ReplayedLine, readRecordedLine, replayRecorded, SKIP_REASONS, type SkipReason } from "./replay-line.ts";
import { readRuleChoices } from "./rule-choices.ts";

export const REPLAY_USAGE = `azure-proxy-agent policy replay --rules RULES [OPTION]... FILE|-

Decides recorded requests again and lists those that come out differently. A line of FILE is a
request's log line, with anything before its JSON, or an object
  {"request": "GET /…", "caller": {…}, "decision": "allow", "reason": …, "rule": …, "policyId": …}
with the last three optional; a decision is allow, deny or audit. What rules answered is compared,
and its reason; the rule that was named only where the line says the same policy decided.

  --rules RULES     as for explain
  --mode WORD       in place of the rules' mode: enforce, audit, disabled
  --endpoint NAME   imds (default), wireserver, hostga; lines for another one are passed over
  --max N           list this many differences (default 100); all are counted
  --progress        tell how far it is, also when standard error is no terminal
  --json            as JSON

Exit codes: 0 all the same, 1 differences, 2 a file cannot be used or holds no decision, 64 usage
`;

const PROGRESS_LINES = 50_000;

export function policyReplay(argv: readonly string[]): number {
  const options = parseOptions(argv, {
    values: ["--rules", "--endpoint", "--mode", "--max"],
    flags: ["--json", "--progress"],
    operands: [1, 1],
  });
  if (!options.ok) return refuseUsage(options.error, REPLAY_USAGE);
  const choices = readRuleChoices(options.value);
  if (!choices.ok) return refuseUsage(choices.error, REPLAY_USAGE);
  const rulesPath = options.value.value("--rules");
  const max = options.value.value("--max") ?? "100";
  const path = options.value.operands[0] ?? "";
  if (rulesPath === undefined) return refuseUsage("--rules is needed", REPLAY_USAGE);
  if (!/^[0-9]{1,6}$/.test(max)) return refuseUsage("--max wants a whole number", REPLAY_USAGE);
  if (rulesPath === "-" && path === "-") return refuseUsage("only one of RULES and FILE can be standard input", REPLAY_USAGE);
  const loaded = loadRules(rulesPath, choices.value);
  if (!loaded.ok) return fail(loaded.error);
  const { endpoint, rules, policy, notes } = loaded.value;

  const skipped = new Map<SkipReason, number>();
  const skip = (reason: SkipReason) => skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  const listed: { readonly line: number; readonly replayed: ReplayedLine }[] = [];
  const counts = { lines: 0, compared: 0, different: 0, otherPolicy: 0 };
  const tellsProgress = options.value.has("--progress") || process.stderr.isTTY === true;
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
    if (listed.length < Number(max)) listed.push({ line: counts.lines, replayed });
  };
  const read = readLines([path], (text) => {
    counts.lines++;
    replayLine(text);
    if (tellsProgress && counts.lines % PROGRESS_LINES === 0)
      process.stderr.write(`${counts.lines} lines, ${counts.compared} compared, ${counts.different} different\n`);
  });
  if (!read.ok) return fail(`cannot read ${name(path)}: ${read.error.cause}`);

  if (options.value.has("--json")) {
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
  if (counts.compared === 0) return fail(`cannot replay ${name(path)}: found no decision in it`);
  return counts.different === 0 ? TOOL_EXIT.yes : TOOL_EXIT.no;
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
