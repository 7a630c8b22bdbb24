// How rules and modules come to one verdict. The rules decide first, then the modules of the endpoint in their order. A deny of any of
// them is final; neither allow nor abstain of a module overrides it. So modules only narrow.

import { perEndpoint } from "../channel/key-status.ts";
import type { Claims } from "../request/caller.ts";
import type { CanonicalRequest } from "../request/canonical-request.ts";
import type { Endpoint } from "../request/endpoint.ts";
import type { HeaderField } from "../request/http-message.ts";
import type { Verdict } from "../request/verdict.ts";
import type { ModuleOutcome } from "./module-entry.ts";
import type { PolicyAnswer, PolicyQuestion } from "./policy-question.ts";
import { selectHeaders } from "./seen-headers.ts";

/** Result of calling one module. A failure is a deny with reason `policy-failed`. */
export interface ModuleReply {
  readonly answer: PolicyAnswer;
  readonly failed: boolean;
}

/** An active module. Calling it never throws. */
export interface ModuleInForce {
  readonly name: string;
  /** Its denies are recorded and not applied. */
  readonly audit: boolean;
  /** Lower-case hex SHA-256 of the component file. */
  readonly policyId: string;
  /** Lower-case names of the header fields that it may see. */
  readonly headers: ReadonlySet<string>;
  ask(question: PolicyQuestion): ModuleReply;
}

/** The modules of each endpoint, in order of evaluation. Replaced whole, never edited. */
export type ModuleSet = Readonly<Record<Endpoint, readonly ModuleInForce[]>>;

const NONE: readonly never[] = [];
export const NO_MODULES: ModuleSet = perEndpoint(() => NONE);

export const FAILED_ANSWER: PolicyAnswer = { kind: "deny", reason: "policy-failed", rule: "", labels: [] };

/** What is known of a request beyond its canonical form, when it was read. */
export interface RequestFacts {
  readonly request: CanonicalRequest;
  readonly claims: Claims;
  readonly headers: readonly HeaderField[];
  readonly uptimeSeconds: number;
  readonly unixSeconds: number;
}

export interface ChainResult {
  readonly verdict: Verdict;
  readonly outcomes: readonly ModuleOutcome[];
}

/**
 * Calls the modules in order, starting from the rules' verdict.
 * @param askAll - continue after a deny, so that each module's answer is recorded: for endpoints whose denies are not applied
 */
export function judgeModules(rules: Verdict, modules: readonly ModuleInForce[], facts: RequestFacts, askAll: boolean): ChainResult {
  let verdict = rules;
  let soFar: PolicyAnswer = { kind: rules.kind, reason: rules.reason, rule: rules.rule, labels: NONE };
  const outcomes: ModuleOutcome[] = [];
  for (const module of modules) {
    if (verdict.kind === "deny" && !askAll) break;
    const { request, claims, uptimeSeconds, unixSeconds } = facts;
    const headers = selectHeaders(facts.headers, module.headers);
    const { answer, failed } = module.ask({ request, claims, headers, uptimeSeconds, unixSeconds, soFar });
    const applied = answer.kind !== "deny" || !module.audit;
    outcomes.push({ ...answer, name: module.name, failed, applied });
    if (answer.kind !== "deny" || module.audit || verdict.kind === "deny") continue;
    verdict = verdictOf(module, answer, failed, rules);
    soFar = answer;
  }
  return { verdict, outcomes };
}

/** A module's own words are kept apart from the reason and never replace it: they could be those of the rules. */
function verdictOf(module: ModuleInForce, answer: PolicyAnswer, failed: boolean, rules: Verdict): Verdict {
  const denied = failed ? { reason: "policy-failed" } : { reason: "module-denied" };
  return {
    kind: "deny",
    ...denied,
    rule: answer.rule === "" ? module.name : `${module.name}/${answer.rule}`,
    ruleSetId: rules.ruleSetId,
    policyId: module.policyId,
    module: { name: module.name, reason: answer.reason },
  };
}
