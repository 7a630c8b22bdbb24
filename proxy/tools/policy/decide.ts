// `azure-proxy-agent policy explain` and `simulate`: what becomes of one request by one caller, and why.

import { ok } from "../../core/result.ts";
import { wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given, OptionValues } from "../command-line/spec.ts";
import { fail, failed, misused, printJson, printLines, printNotes, type Tool, tell } from "../output.ts";
import type { DescribedCaller } from "./caller-input.ts";
import { decideRequest, parseRequestText, type RequestText } from "./decide-request.ts";
import { explainRequest } from "./explain-request.ts";
import { type LoadedRules, loadRules, readCaller } from "./input.ts";
import { decisionJson, explanationJson, renderDecision, renderExplanation } from "./render-explanation.ts";
import { type DECISION_OPTIONS, EXPLAIN, SIMULATE } from "./table.ts";

type DecisionOptions = OptionValues<typeof DECISION_OPTIONS>;

interface Question {
  readonly loaded: LoadedRules;
  readonly request: RequestText;
  readonly caller: DescribedCaller;
}

export function policyExplain({ options }: Given<typeof EXPLAIN.options>): number {
  const question = readQuestion(options, EXPLAIN.name);
  if (!question.ok) return tell(question.error);
  const { loaded, request, caller } = question.value;
  const { claims } = caller;
  const explanation = explainRequest(loaded.rules, loaded.endpoint, loaded.policy, request, claims);
  const { policyId } = loaded.policy;
  if (options.json) printJson({ ...explanationJson(explanation, claims, policyId), notes: [...loaded.notes, ...caller.notes] });
  else {
    const notes = [...loaded.notes, ...caller.notes].flatMap((note) => wrap("  ", note));
    printLines([...renderExplanation(explanation, claims, policyId, options.all), "", "read", ...notes]);
  }
  if (explanation.mismatch !== undefined) return fail("software", `INTERNAL MISMATCH: ${explanation.mismatch}`);
  if (explanation.decided.reason === "policy-failed") return fail("software", "the policy failed inside, which denies; please report this");
  return explanation.decided.kind === "allow" ? EXIT.ok : EXIT.no;
}

export function policySimulate({ options }: Given<typeof SIMULATE.options>): number {
  const question = readQuestion(options, SIMULATE.name);
  if (!question.ok) return tell(question.error);
  const { loaded, request, caller } = question.value;
  const decided = decideRequest(loaded.endpoint, loaded.rules.mode, loaded.policy, request, caller.claims);
  const notes = [...loaded.notes, ...caller.notes];
  if (options.json) printJson({ ...decisionJson(decided), endpoint: loaded.endpoint, policyId: loaded.policy.policyId, notes });
  else {
    printNotes(notes);
    printLines(wrap("", renderDecision(decided)));
  }
  if (decided.reason === "policy-failed") return fail("software", "the policy failed inside, which denies; please report this");
  return decided.kind === "allow" ? EXIT.ok : EXIT.no;
}

/** Everything a decision needs. */
function readQuestion({ rules, request: requestText, caller: callerText, ...choices }: DecisionOptions, command: string): Tool<Question> {
  if (rules === "-" && callerText === "-") return misused(command, "only one of --rules and --caller can be standard input");
  const request = parseRequestText(requestText);
  if (!request.ok) return misused(command, request.error);
  const caller = readCaller(callerText);
  if (!caller.ok) {
    const { kind, message } = caller.error;
    return kind === "usage" ? misused(command, message) : failed("noInput", message);
  }
  const loaded = loadRules(rules, choices);
  return loaded.ok ? ok({ loaded: loaded.value, request: request.value, caller: caller.value }) : failed("noInput", loaded.error);
}
