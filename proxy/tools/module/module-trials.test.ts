import { describe, expect, test } from "bun:test";
import { err, ok } from "../../core/result.ts";
import { parseModuleCases, type SettingsCase } from "./module-cases.ts";
import { type CaseOutcome, countAnswers, judgeCase, judgeSettings, type ModuleTrial, percentile, unseenKinds } from "./module-trials.ts";

const FAILED: ModuleTrial = { answer: undefined, failure: "trapped: unreachable", fuel: 5 };

function answered(kind: "allow" | "deny" | "abstain", reason = "because", rule = ""): ModuleTrial {
  return { answer: { kind, reason, rule, labels: [] }, failure: "", fuel: 100 };
}

function judge(members: Readonly<Record<string, unknown>>, trial: ModuleTrial | string): CaseOutcome {
  const file = parseModuleCases({ cases: [{ name: "x", request: "GET /x", caller: "userName=a", ...members }] });
  const wanted = file.ok ? file.value.cases[0] : undefined;
  if (wanted === undefined) throw new Error("internal error: no case");
  return judgeCase(wanted, typeof trial === "string" ? err(trial) : ok(trial));
}

describe("judgeCase", () => {
  test.each([
    [{ expect: "allow" }, answered("allow"), undefined],
    [{ expect: "allow", fuelAtMost: 100 }, answered("allow"), undefined],
    [{ expect: "failed" }, FAILED, undefined],
    [{ expect: "allow", fuelAtMost: 99 }, answered("allow"), "found 100 units of fuel, want at most 99"],
    [{ expect: "failed", fuelAtMost: 4 }, FAILED, "found 5 units of fuel, want at most 4"],
    [{ expect: "deny" }, FAILED, "found a failure (trapped: unreachable), want an answer"],
    [{ expect: "failed" }, answered("deny", "policy-failed"), 'found answer "deny", want a failure'],
    [{ expect: "deny" }, answered("allow"), 'found answer "allow", want "deny"'],
    [{ expect: "deny" }, "it refuses its settings", "it refuses its settings"],
  ] as const)("%j", (members, trial, difference) => {
    expect(judge(members, trial).difference).toBe(difference);
  });
});

describe("judgeSettings", () => {
  const wanted = (error?: string): SettingsCase => ({ name: "x", settings: { kind: "text", text: "" }, error });

  test("wants the settings accepted, or an error with the text in it", () => {
    expect(judgeSettings(wanted(), ok(undefined)).difference).toBeUndefined();
    expect(judgeSettings(wanted("list"), err("it refuses its settings: want a list")).difference).toBeUndefined();
    expect(judgeSettings(wanted(), err("no")).difference).toContain("want the settings to be accepted");
    expect(judgeSettings(wanted("list"), ok(undefined)).difference).toContain('want a refusal with "list"');
    expect(judgeSettings(wanted("list"), err("no")).difference).toContain('want one with "list"');
  });
});

test("counts each answer and names the kinds that were never seen", () => {
  const outcomes = [answered("deny", "b"), answered("deny", "a"), answered("deny", "a"), answered("allow"), FAILED].map((trial) =>
    judge({ expect: "allow" }, trial),
  );
  expect(
    countAnswers([...outcomes, judge({ expect: "allow" }, "not asked")]).map(({ kind, reason, count }) => [kind, reason, count]),
  ).toEqual([
    ["allow", "because", 1],
    ["deny", "a", 2],
    ["deny", "b", 1],
    ["failed", "", 1],
  ]);
  expect(unseenKinds(outcomes)).toEqual(["abstain"]);
});

test("a percentile is a value that was measured", () => {
  const sorted = Array.from({ length: 200 }, (_, i) => i + 1);
  expect([50, 99, 99.9, 100].map((percent) => percentile(sorted, percent))).toEqual([100, 198, 200, 200]);
  expect([percentile([7], 1), percentile([], 50)]).toEqual([7, 0]);
});
