// How each endpoint is guarded right now: mode and policy, derived from the host's orders. Rules that cannot be used leave
// the last good ones in force; if there never were any, the endpoint is closed. State is replaced whole, never edited.

import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint } from "../core/endpoint.ts";
import { type EndpointOrder, perEndpoint, type RawRuleItem } from "../core/key-status.ts";
import type { Policy } from "../core/ports.ts";
import type { Result } from "../core/result.ts";
import { MODES, type Mode } from "../core/verdict.ts";

export interface EndpointGuard {
  readonly mode: Mode;
  /** Id as the host named the rule set in force; empty when there is none. */
  readonly ruleSetId: string;
  /** Undefined: no rules apply (version 1.0, or disabled); only the built-in refusals do. */
  readonly policy: Policy | undefined;
  /** Why the newest rules are not in force; undefined when they are. */
  readonly refusal: string | undefined;
  /** The order that was last looked at, as text: the same order is not compiled again. */
  readonly orderText: string;
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
  policy: DENY_ALL,
  refusal: undefined,
  orderText: "",
}));

/** Turns a rule item into a loaded policy, or says why it cannot be used. */
export type PrepareRules = (
  endpoint: Endpoint,
  item: RawRuleItem,
) => Result<{ readonly policy: Policy; readonly warnings: readonly string[] }, string>;

export interface GuardChange {
  readonly endpoint: Endpoint;
  readonly guard: EndpointGuard;
  readonly warnings: readonly string[];
}

/** Applies the host's orders to the guards in force; returns the new guards and what changed. */
export function applyOrders(
  current: Guards,
  orders: Readonly<Record<Endpoint, EndpointOrder>>,
  prepare: PrepareRules,
): { readonly guards: Guards; readonly changes: readonly GuardChange[] } {
  const changes: GuardChange[] = [];
  const guards = perEndpoint((endpoint) => {
    const order = orders[endpoint];
    const orderText = JSON.stringify(order);
    const before = current[endpoint];
    if (before.orderText === orderText) return before;
    const { guard, warnings } =
      order.kind === "mode" ? guardByMode(order.mode, orderText) : guardByRules(endpoint, order.item, before, orderText, prepare);
    changes.push({ endpoint, guard, warnings });
    return guard;
  });
  return { guards, changes };
}

interface Guarded {
  readonly guard: EndpointGuard;
  readonly warnings: readonly string[];
}

function guardByMode(mode: Mode, orderText: string): Guarded {
  return { guard: { mode, ruleSetId: "", policy: undefined, refusal: undefined, orderText }, warnings: [] };
}

function guardByRules(endpoint: Endpoint, item: RawRuleItem, before: EndpointGuard, orderText: string, prepare: PrepareRules): Guarded {
  const mode = MODES.find((known) => known === item.mode.toLowerCase());
  const prepared = prepare(endpoint, item);
  if (prepared.ok && mode !== undefined) {
    const { policy, warnings } = prepared.value;
    return { guard: { mode, ruleSetId: item.id, policy, refusal: undefined, orderText }, warnings };
  }
  const refusal = prepared.ok ? `found mode ${JSON.stringify(item.mode)}, want one of ${MODES.join(", ")}` : prepared.error;
  // The platform's mode is obeyed even when its rules are not usable; a mode nobody knows counts as enforce.
  const stays =
    before.policy === undefined || before.policy === DENY_ALL
      ? { ruleSetId: item.id, policy: DENY_ALL }
      : { ruleSetId: before.ruleSetId, policy: before.policy };
  return {
    guard: {
      ...stays,
      mode: mode ?? "enforce",
      refusal: `cannot use ${ENDPOINT_FACTS[endpoint].title} rules ${JSON.stringify(item.id)}: ${refusal}`,
      orderText,
    },
    warnings: [],
  };
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
