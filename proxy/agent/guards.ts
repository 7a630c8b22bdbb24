// How each endpoint is guarded right now: mode and policy, derived from the host's orders. Rules that cannot be used leave
// the last good ones in force; if there never were any, the endpoint is closed. State is replaced whole, never edited.

import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint } from "../core/endpoint.ts";
import { type EndpointOrder, perEndpoint, type RawRuleItem } from "../core/key-status.ts";
import type { Policy } from "../core/ports.ts";
import { err, type Result, unreachable } from "../core/result.ts";
import { MODES, type Mode } from "../core/verdict.ts";

export interface EndpointGuard {
  readonly mode: Mode;
  /** Id of the rule set in force, as decisions name it: the host's, or with a local file the merged one; empty when there is none. */
  readonly ruleSetId: string;
  /** Id of the newest rule set as the host named it. */
  readonly platformRuleId: string;
  /** What came of the local rule file; undefined when the platform does not ask for one. */
  readonly localFile: LocalFileState | undefined;
  /** Undefined: no rules apply (version 1.0, or disabled); only the built-in refusals do. */
  readonly policy: Policy | undefined;
  /** Why the newest rules are not in force; undefined when they are. */
  readonly refusal: string | undefined;
  /** The order that was last looked at, as text: the same order is not compiled again. */
  readonly orderText: string;
}

export interface LocalFileState {
  readonly path: string;
  readonly state: "applied" | "missing" | "refused";
  /** Why it is refused; empty otherwise. */
  readonly message: string;
}

export type Guards = Readonly<Record<Endpoint, EndpointGuard>>;

/** A policy that denies everything: stands in where the platform wants rules and there are no usable ones. */
export const DENY_ALL: Policy = {
  policyId: "",
  evaluate: () => ({ kind: "deny", reason: "no-usable-rules", rule: "" }),
};

/** Before the host has said anything nothing is redirected, and whatever arrives all the same is refused. */
export const UNKNOWN_GUARDS: Guards = perEndpoint(() => ({
  mode: "enforce",
  ruleSetId: "",
  platformRuleId: "",
  localFile: undefined,
  policy: DENY_ALL,
  refusal: undefined,
  orderText: "",
}));

/** A rule item as it is to be compiled, with the local file merged in where the platform wants one. */
export type ComposedRules =
  | { readonly kind: "platform"; readonly json: RawRuleItem["json"] }
  | { readonly kind: "without-file"; readonly json: RawRuleItem["json"]; readonly id: string; readonly path: string }
  | { readonly kind: "merged"; readonly json: RawRuleItem["json"]; readonly id: string; readonly path: string }
  /** The platform wants the file, and it cannot be trusted or read. */
  | { readonly kind: "refused-file"; readonly path: string; readonly message: string };

/** Looks at the local rule file of an item, anew at every poll. */
export type ComposeRules = (item: RawRuleItem, from: Endpoint) => ComposedRules;

/** Turns composed rules into a loaded policy, or says why they cannot be used. */
export type PrepareRules = (
  endpoint: Endpoint,
  json: RawRuleItem["json"],
) => Promise<Result<{ readonly policy: Policy; readonly warnings: readonly string[] }, string>>;

export interface GuardChange {
  readonly endpoint: Endpoint;
  readonly guard: EndpointGuard;
  readonly warnings: readonly string[];
}

/** Applies the host's orders to the guards in force; returns the new guards and what changed. */
export async function applyOrders(
  current: Guards,
  orders: Readonly<Record<Endpoint, EndpointOrder>>,
  compose: ComposeRules,
  prepare: PrepareRules,
): Promise<{ readonly guards: Guards; readonly changes: readonly GuardChange[] }> {
  const changes: GuardChange[] = [];
  let guards = current;
  for (const endpoint of ENDPOINTS) {
    const order = orders[endpoint];
    const rules = order.kind === "rules" ? compose(order.item, order.from) : undefined;
    // Content counts, not ids or times: an edit that keeps both is seen.
    const orderText = JSON.stringify([order, rules]);
    const before = current[endpoint];
    if (before.orderText === orderText) continue;
    const { guard, warnings } =
      order.kind === "mode" || rules === undefined
        ? guardByMode(order.kind === "mode" ? order.mode : "enforce", orderText)
        : await guardByRules(endpoint, order.item, rules, before, orderText, prepare);
    changes.push({ endpoint, guard, warnings });
    guards = { ...guards, [endpoint]: guard };
  }
  return { guards, changes };
}

interface Guarded {
  readonly guard: EndpointGuard;
  readonly warnings: readonly string[];
}

function guardByMode(mode: Mode, orderText: string): Guarded {
  const none = { ruleSetId: "", platformRuleId: "", localFile: undefined, policy: undefined, refusal: undefined };
  return { guard: { ...none, mode, orderText }, warnings: [] };
}

async function guardByRules(
  endpoint: Endpoint,
  item: RawRuleItem,
  rules: ComposedRules,
  before: EndpointGuard,
  orderText: string,
  prepare: PrepareRules,
): Promise<Guarded> {
  const mode = MODES.find((known) => known === item.mode.toLowerCase());
  const prepared = rules.kind === "refused-file" ? err(rules.message) : await prepare(endpoint, rules.json);
  const seen = { platformRuleId: item.id, localFile: localFileState(rules), orderText };
  if (prepared.ok && mode !== undefined) {
    const { policy, warnings } = prepared.value;
    const ruleSetId = rules.kind === "without-file" || rules.kind === "merged" ? rules.id : item.id;
    return { guard: { ...seen, mode, ruleSetId, policy, refusal: undefined }, warnings };
  }
  const why = prepared.ok ? `found mode ${JSON.stringify(item.mode)}, want one of ${MODES.join(", ")}` : prepared.error;
  const refusal = `cannot use ${ENDPOINT_FACTS[endpoint].title} rules ${JSON.stringify(item.id)}: ${why}`;
  if (before.policy !== undefined && before.policy !== DENY_ALL) {
    // The platform's mode is obeyed even when its rules are not usable; a mode nobody knows counts as enforce.
    return { guard: { ...seen, mode: mode ?? "enforce", ruleSetId: before.ruleSetId, policy: before.policy, refusal }, warnings: [] };
  }
  // A wanted file that nobody could ever read closes the endpoint in audit too: the owner's restrictions may stand in it.
  const closed = rules.kind === "refused-file" && mode !== "disabled" ? "enforce" : (mode ?? "enforce");
  return { guard: { ...seen, mode: closed, ruleSetId: item.id, policy: DENY_ALL, refusal }, warnings: [] };
}

function localFileState(rules: ComposedRules): LocalFileState | undefined {
  switch (rules.kind) {
    case "platform":
      return undefined;
    case "without-file":
      return { path: rules.path, state: "missing", message: "" };
    case "merged":
      return { path: rules.path, state: "applied", message: "" };
    case "refused-file":
      return { path: rules.path, state: "refused", message: rules.message };
    default:
      return unreachable(rules);
  }
}

/** Whether any policy in force looks at the content of executables. */
export function wantsExecutableHash(guards: Guards): boolean {
  return ENDPOINTS.some((endpoint) => guards[endpoint].policy?.wantsExecutableHash === true);
}

/** The endpoints whose traffic must come to us. */
export function wantsRedirect(guards: Guards): Readonly<Record<Endpoint, boolean>> {
  return perEndpoint((endpoint) => guards[endpoint].mode !== "disabled");
}

export function anyRedirect(wanted: Readonly<Record<Endpoint, boolean>>): boolean {
  return ENDPOINTS.some((endpoint) => wanted[endpoint]);
}
