// `azure-proxy-agent policy explain` and `simulate`: what becomes of one request by one caller, and why.

import { err, ok, type Result } from "../../core/result.ts";
import { wrap } from "../../core/text/text-layout.ts";
import { type Options, parseOptions } from "../options.ts";
import { fail, printJson, printLines, printNotes, refuseUsage, TOOL_EXIT } from "../output.ts";
import type { DescribedCaller } from "./caller-input.ts";
import { decideRequest, parseRequestText, type RequestText } from "./decide-request.ts";
import { explainRequest } from "./explain-request.ts";
import { type LoadedRules, loadRules, readCaller } from "./input.ts";
import { decisionJson, explanationJson, renderDecision, renderExplanation } from "./render-explanation.ts";
import { readRuleChoices } from "./rule-choices.ts";

const OPTIONS_TEXT = `  --rules FILE|-      an item of the platform, a status, a local rule file, an ARM profile version
  --request TEXT      "METHOD TARGET" as in the first line of a request; a target alone means GET
  --caller WHO        a JSON file (or "-") with the members of a request's log line, or
                      name=value,... such as userName=alice,userGroups=dev,userGroups=adm,
                      processFullPath=/usr/bin/curl,runAsElevated=false; also processName,
                      exeSha256, cgroupPath, userId. What is not said is unknown.
  --endpoint NAME     imds (default), wireserver, hostga, where the file does not say
  --mode WORD         in place of the file's mode: enforce, audit, disabled
  --json              as JSON

Exit codes: 0 allow, 1 deny (also where the mode forwards it all the same), 2 could not decide,
64 usage
`;

export const EXPLAIN_USAGE = `azure-proxy-agent policy explain --rules FILE --request TEXT --caller WHO [--all] [--json]

Tells step by step how the agent decides: the request's canonical form, the built-in refusals, every
privilege and why it does or does not apply, the mode. The decision is the compiled policy's; the
explanation is checked against it.

${OPTIONS_TEXT}  --all               list every privilege, also those on other paths
`;

export const SIMULATE_USAGE = `azure-proxy-agent policy simulate --rules FILE --request TEXT --caller WHO [--json]

Says in one line what the agent does with a request.

${OPTIONS_TEXT}`;

interface Question {
  readonly loaded: LoadedRules;
  readonly request: RequestText;
  readonly caller: DescribedCaller;
}

export function policyExplain(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: VALUES, flags: ["--json", "--all"], operands: [0, 0] });
  if (!options.ok) return refuseUsage(options.error, EXPLAIN_USAGE);
  const question = readQuestion(options.value, EXPLAIN_USAGE);
  if (!question.ok) return question.error;
  const { loaded, request, caller } = question.value;
  const { claims } = caller;
  const explanation = explainRequest(loaded.rules, loaded.endpoint, loaded.policy, request, claims);
  const { policyId } = loaded.policy;
  if (options.value.has("--json"))
    printJson({ ...explanationJson(explanation, claims, policyId), notes: [...loaded.notes, ...caller.notes] });
  else {
    const notes = [...loaded.notes, ...caller.notes].flatMap((note) => wrap("  ", note));
    printLines([...renderExplanation(explanation, claims, policyId, options.value.has("--all")), "", "read", ...notes]);
  }
  if (explanation.mismatch !== undefined) return fail(`INTERNAL MISMATCH: ${explanation.mismatch}`);
  if (explanation.decided.reason === "policy-failed") return fail("the policy failed inside, which denies; please report this");
  return explanation.decided.kind === "allow" ? TOOL_EXIT.yes : TOOL_EXIT.no;
}

export function policySimulate(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: VALUES, flags: ["--json"], operands: [0, 0] });
  if (!options.ok) return refuseUsage(options.error, SIMULATE_USAGE);
  const question = readQuestion(options.value, SIMULATE_USAGE);
  if (!question.ok) return question.error;
  const { loaded, request, caller } = question.value;
  const decided = decideRequest(loaded.endpoint, loaded.rules.mode, loaded.policy, request, caller.claims);
  const notes = [...loaded.notes, ...caller.notes];
  if (options.value.has("--json"))
    printJson({ ...decisionJson(decided), endpoint: loaded.endpoint, policyId: loaded.policy.policyId, notes });
  else {
    printNotes(notes);
    printLines(wrap("", renderDecision(decided)));
  }
  if (decided.reason === "policy-failed") return fail("the policy failed inside, which denies; please report this");
  return decided.kind === "allow" ? TOOL_EXIT.yes : TOOL_EXIT.no;
}

const VALUES = ["--rules", "--request", "--caller", "--endpoint", "--mode"];

/** Everything a decision needs; the error is the exit code, told already. */
function readQuestion(options: Options, usage: string): Result<Question, number> {
  const [rulesPath, requestText, callerText] = ["--rules", "--request", "--caller"].map((option) => options.value(option));
  if (rulesPath === undefined || requestText === undefined || callerText === undefined)
    return err(refuseUsage("--rules, --request and --caller are needed", usage));
  if (rulesPath === "-" && callerText === "-") return err(refuseUsage("only one of --rules and --caller can be standard input", usage));
  const choices = readRuleChoices(options);
  if (!choices.ok) return err(refuseUsage(choices.error, usage));
  const request = parseRequestText(requestText);
  if (!request.ok) return err(fail(request.error));
  const caller = readCaller(callerText);
  if (!caller.ok) return err(fail(caller.error));
  const loaded = loadRules(rulesPath, choices.value);
  return loaded.ok ? ok({ loaded: loaded.value, request: request.value, caller: caller.value }) : err(fail(loaded.error));
}
