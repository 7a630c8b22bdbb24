// `azure-proxy-agent policy diff`: which requests two rule sets decide differently, each kind with a witness.

import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { fail, printJson, printLines } from "../output.ts";
import { DEFAULT_DIFF_LIMITS, diffRules } from "./diff-rules.ts";
import { loadRules, name } from "./input.ts";
import { diffJson, renderDiff, settingChanges } from "./render-diff.ts";
import { describeSource } from "./rule-document.ts";
import { DEFAULT_DIFF_DECISIONS, DIFF } from "./table.ts";

export function policyDiff({ options, operands: [oldPath = "", newPath = ""] }: Given<typeof DIFF.options>): number {
  if (oldPath === "-" && newPath === "-") return refuseUsage(DIFF.name, "only one of OLD and NEW can be standard input");
  const choices = { endpoint: options.endpoint, mode: undefined };
  const before = loadRules(oldPath, choices);
  if (!before.ok) return fail("noInput", before.error);
  const after = loadRules(newPath, choices);
  if (!after.ok) return fail("noInput", after.error);
  const { endpoint } = before.value;
  if (after.value.endpoint !== endpoint)
    return fail(
      "noInput",
      `cannot compare: ${name(oldPath)} is for ${endpoint}, ${name(newPath)} for ${after.value.endpoint}; --endpoint says which is meant`,
    );

  const rules = { old: before.value.rules, new: after.value.rules };
  const policies = { old: before.value.policy, new: after.value.policy };
  const diff = diffRules(rules, policies, endpoint, { ...DEFAULT_DIFF_LIMITS, decisions: options.limit ?? DEFAULT_DIFF_DECISIONS });
  const policyIds = { old: policies.old.policyId, new: policies.new.policyId };
  if (options.json) printJson(diffJson(diff, rules, endpoint, policyIds));
  else {
    const title = (path: string, loaded: typeof before.value) => `${name(path)}, ${describeSource(loaded.source)}`;
    printLines(renderDiff(diff, rules, { old: title(oldPath, before.value), new: title(newPath, after.value) }));
  }
  // A policy that fails inside denies: such an answer is no basis for saying that nothing changes.
  if (policies.old.failures + policies.new.failures > 0) return fail("software", "a policy failed inside; please report this");
  const matters = settingChanges(rules).some(({ name: what }) => what !== "id");
  // What was left out may hold a change: "nothing changes" is said only when it is certain.
  return diff.changes.length > 0 || matters || diff.omissions.length > 0 ? EXIT.no : EXIT.ok;
}
