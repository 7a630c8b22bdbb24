// Mode and policy of each endpoint, derived from the host's desired state. Rules that cannot be used leave
// the last good ones active; if there never were any, the endpoint fails closed. State is replaced whole, never edited.

import { type EndpointOrder, perEndpoint, type RawRuleItem } from "../../core/channel/key-status.ts";
import type { Policy } from "../../core/ports.ts";
import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import { MODES, type Mode, parseMode } from "../../core/request/verdict.ts";
import { err, type Result } from "../../core/result.ts";
import type { LocalRules } from "../../core/rules/local-rules.ts";

export interface EndpointGuard {
  readonly mode: Mode;
  /** Id of the active rule set, as decisions name it: the host's, or with a local file the merged one; empty when there is none. */
  readonly ruleSetId: string;
  /** Id of the newest rule set as the host named it. */
  readonly platformRuleId: string;
  /** State of the local rule file; undefined when the platform does not request one. */
  readonly localFile: LocalFileState | undefined;
  /** The active local file, for when a later one is bad; undefined when none is, or the platform no longer requests one. */
  readonly goodFile: GoodFile | undefined;
  /** Undefined: no rules apply (version 1.0, or disabled); only the built-in refusals do. */
  readonly policy: Policy | undefined;
  /** Why the newest rules are not active; undefined when they are. */
  readonly refusal: string | undefined;
  /** The desired state that was last applied, as text: the same text is not compiled again. */
  readonly orderText: string;
}

export interface LocalFileState {
  readonly path: string;
  readonly state: "applied" | "missing" | "refused";
  /** Why it is refused; empty otherwise. */
  readonly message: string;
  /** Of the active content, hex: this file's, or with a refused one the last good one's; empty when none is. */
  readonly sha256: string;
}

export interface GoodFile {
  readonly rules: LocalRules;
  readonly sha256: string;
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
  goodFile: undefined,
  policy: DENY_ALL,
  refusal: undefined,
  orderText: "",
}));

/** A rule item as it is to be compiled, with the local file merged in where the platform wants one. */
export interface ComposedRules {
  /** Undefined: the platform wants a local file that cannot be used, and there is no good one to go on with. */
  readonly json: RawRuleItem["json"] | undefined;
  /** Id of the rule set that comes of it. */
  readonly id: string;
  /** Undefined: the platform does not request a local file. */
  readonly localFile: LocalFileState | undefined;
  /** What is merged in. */
  readonly goodFile: GoodFile | undefined;
}

/**
 * Reads the local rule file of an item, again at every poll.
 * @param before - the good file so far, used on when the present one is bad
 */
export type ComposeRules = (item: RawRuleItem, from: Endpoint, before: GoodFile | undefined) => ComposedRules;

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

/** Applies the host's desired state to the active guards; returns the new guards and what changed. */
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
    const before = current[endpoint];
    const composed = order.kind === "mode" ? order : { ...order, rules: compose(order.item, order.from, before.goodFile) };
    // Content counts, not ids or times: an edit that keeps both is seen, by the hash in the file's state.
    const orderText = JSON.stringify([order, composed.kind === "mode" ? undefined : composed.rules.localFile]);
    if (before.orderText === orderText) continue;
    const { guard, warnings } =
      composed.kind === "mode"
        ? guardByMode(composed.mode, orderText)
        : await guardByRules(endpoint, composed.item, composed.rules, before, orderText, prepare);
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
  const none = { localFile: undefined, goodFile: undefined, policy: undefined, refusal: undefined };
  return { guard: { ...none, mode, ruleSetId: "", platformRuleId: "", orderText }, warnings: [] };
}

async function guardByRules(
  endpoint: Endpoint,
  item: RawRuleItem,
  rules: ComposedRules,
  before: EndpointGuard,
  orderText: string,
  prepare: PrepareRules,
): Promise<Guarded> {
  const mode = parseMode(item.mode);
  const { localFile, goodFile } = rules;
  const prepared = rules.json === undefined ? err(localFile?.message ?? "there are none") : await prepare(endpoint, rules.json);
  const seen = { platformRuleId: item.id, orderText };
  if (prepared.ok && mode !== undefined) {
    const { policy, warnings } = prepared.value;
    const refusal = localFile?.state === "refused" ? `${localFile.message}; the last good file stays in force` : undefined;
    return { guard: { ...seen, mode, ruleSetId: rules.id, localFile, goodFile, policy, refusal }, warnings };
  }
  const why = prepared.ok ? `found mode ${JSON.stringify(item.mode)}, want one of ${MODES.join(", ")}` : prepared.error;
  const fileWanted = localFile !== undefined && localFile.state !== "missing";
  const refused = {
    ...seen,
    localFile: fileWanted ? { ...localFile, state: "refused" as const, message: why, sha256: before.goodFile?.sha256 ?? "" } : localFile,
    goodFile: fileWanted ? before.goodFile : undefined,
    refusal: `cannot use ${ENDPOINT_FACTS[endpoint].title} rules ${JSON.stringify(item.id)}: ${why}`,
  };
  // Rules from before a local file was wanted are no stand-in for rules with it: the owner's restrictions may stand in the file.
  const hasLastGood = before.policy !== undefined && before.policy !== DENY_ALL && (!fileWanted || before.goodFile !== undefined);
  if (hasLastGood) {
    // The platform's mode is applied even when its rules are not usable; an unknown mode counts as enforce.
    return { guard: { ...refused, mode: mode ?? "enforce", ruleSetId: before.ruleSetId, policy: before.policy }, warnings: [] };
  }
  // A wanted file that was never active closes the endpoint in audit too, for the same reason.
  const closed = fileWanted && mode !== "disabled" ? "enforce" : (mode ?? "enforce");
  return { guard: { ...refused, mode: closed, ruleSetId: rules.id, policy: DENY_ALL }, warnings: [] };
}

/** Whether any active policy needs the content of executables. */
export function wantsExecutableHash(guards: Guards): boolean {
  return ENDPOINTS.some((endpoint) => guards[endpoint].policy?.wantsExecutableHash === true);
}

/** Whether the policy in effect for an endpoint looks at account or group names. */
export function wantsAccountNames(guards: Guards, endpoint: Endpoint): boolean {
  return guards[endpoint].policy?.wantsAccountNames === true;
}

/** The endpoints whose traffic must come to us. */
export function wantsRedirect(guards: Guards): Readonly<Record<Endpoint, boolean>> {
  return perEndpoint((endpoint) => guards[endpoint].mode !== "disabled");
}
