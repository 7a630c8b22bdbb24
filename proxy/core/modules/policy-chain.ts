// How rules and modules come to one verdict. The rules are asked first, then the modules of the endpoint in their order. A deny is
// final, whoever says it; an allow of a module lifts nothing; abstaining leaves things as they are. So modules only narrow.

import { perEndpoint } from "../channel/key-status.ts";
import type { Claims } from "../request/caller.ts";
import type { CanonicalRequest } from "../request/canonical-request.ts";
import type { Endpoint } from "../request/endpoint.ts";
import type { HeaderField } from "../request/http-message.ts";
import type { Verdict } from "../request/verdict.ts";
import type { ModuleOutcome } from "./module-entry.ts";
import type { PolicyAnswer, PolicyQuestion } from "./policy-question.ts";
import { selectHeaders } from "./seen-headers.ts";

/** What came of asking one module. A failure is a deny with reason `policy-failed`. */
export interface ModuleReply {
  readonly answer: PolicyAnswer;
  readonly failed: boolean;
}

/** A module in force. Asking it never throws. */
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

/** The modules of each endpoint, in the order in which they are asked. Replaced whole, never edited. */
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
 * Asks the modules, beginning from what the rules say.
 * @param askAll - go on after a deny, so that each module is heard: for endpoints whose denies are not applied
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

/** A module's own words stand beside the reason, never in its place: they could be those of the rules. */
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
