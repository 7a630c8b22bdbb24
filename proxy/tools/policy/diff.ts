// `azure-proxy-agent policy diff`: which requests two rule sets decide differently, each kind with a witness.

import { parseOptions } from "../options.ts";
import { fail, printJson, printLines, refuseUsage, TOOL_EXIT } from "../output.ts";
import { DEFAULT_DIFF_LIMITS, diffRules } from "./diff-rules.ts";
import { loadRules, name } from "./input.ts";
import { diffJson, renderDiff, settingChanges } from "./render-diff.ts";
import { readRuleChoices } from "./rule-choices.ts";
import { describeSource } from "./rule-document.ts";

export const DIFF_USAGE = `azure-proxy-agent policy diff [--endpoint NAME] [--limit N] [--json] OLD NEW

Says which requests are denied by OLD and allowed by NEW, and the other way round: paths,
parameters, methods and callers, each kind with a request and a caller for whom both compiled
policies were asked. Kinds are worked out from the rules themselves, so none is missed; if a limit
was reached, that is said. What rules say is compared, whatever the mode; changes of mode and
default access are told first.

  --endpoint NAME   imds (default), wireserver, hostga, where the files do not say
  --limit N         decisions of each side before giving up (default ${DEFAULT_DIFF_LIMITS.decisions})
  --json            as JSON

Exit codes: 0 nothing changes, 1 something does, 2 a file cannot be used, or no change was found but
a limit was reached, 64 usage
`;

export function policyDiff(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: ["--endpoint", "--limit"], flags: ["--json"], operands: [2, 2] });
  if (!options.ok) return refuseUsage(options.error, DIFF_USAGE);
  const choices = readRuleChoices(options.value);
  if (!choices.ok) return refuseUsage(choices.error, DIFF_USAGE);
  const limit = options.value.value("--limit") ?? String(DEFAULT_DIFF_LIMITS.decisions);
  if (!/^[1-9][0-9]{0,8}$/.test(limit)) return refuseUsage("--limit wants a whole number from 1", DIFF_USAGE);
  const [oldPath = "", newPath = ""] = options.value.operands;
  if (oldPath === "-" && newPath === "-") return refuseUsage("only one of OLD and NEW can be standard input", DIFF_USAGE);
  const before = loadRules(oldPath, choices.value);
  if (!before.ok) return fail(before.error);
  const after = loadRules(newPath, choices.value);
  if (!after.ok) return fail(after.error);
  const { endpoint } = before.value;
  if (after.value.endpoint !== endpoint)
    return fail(
      `cannot compare: ${name(oldPath)} is for ${endpoint}, ${name(newPath)} for ${after.value.endpoint}; --endpoint says which is meant`,
    );

  const rules = { old: before.value.rules, new: after.value.rules };
  const policies = { old: before.value.policy, new: after.value.policy };
  const diff = diffRules(rules, policies, endpoint, { ...DEFAULT_DIFF_LIMITS, decisions: Number(limit) });
  const policyIds = { old: policies.old.policyId, new: policies.new.policyId };
  if (options.value.has("--json")) printJson(diffJson(diff, rules, endpoint, policyIds));
  else {
    const title = (path: string, loaded: typeof before.value) => `${name(path)}, ${describeSource(loaded.source)}`;
    printLines(renderDiff(diff, rules, { old: title(oldPath, before.value), new: title(newPath, after.value) }));
  }
  // A policy that fails inside denies: such an answer is no basis for saying that nothing changes.
  if (policies.old.failures + policies.new.failures > 0) return fail("a policy failed inside; please report this");
  const matters = settingChanges(rules).some(({ name: what }) => what !== "id");
  if (diff.changes.length > 0 || matters) return TOOL_EXIT.no;
  return diff.omissions.length > 0 ? TOOL_EXIT.failed : TOOL_EXIT.yes;
}
