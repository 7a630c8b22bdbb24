// World `policy` of policy-wasm/wit/policy.wit as types to compare a module with. Shapes count, not names alone: a module made from
// another WIT with similar names would read a claim as something else.

import type { ComponentFunction, TypeId, TypeTable } from "./component-types.ts";

/** Version of the world that this agent speaks. */
export const AGENT_WORLD = { major: 1, minor: 0, text: "1.0.0" } as const;

export const PACKAGE = "azure:proxy-agent-policy";
export const SETTINGS_FUNCTIONS = ["validate-settings", "configure"] as const;

export interface WorldTypes {
  /** What the interface `types` may hold. */
  readonly types: ReadonlyMap<string, TypeId>;
  readonly functions: ReadonlyMap<string, ComponentFunction>;
}

export function worldTypes(table: TypeTable): WorldTypes {
  const [text, bool, u8, u32, u64] = [
    table.named("string"),
    table.named("bool"),
    table.named("u8"),
    table.named("u32"),
    table.named("u64"),
  ];
  const endpoint = table.enumeration(["wireserver", "hostga", "imds"]);
  const method = table.enumeration(["get", "head", "post", "put", "delete", "options", "patch"]);
  const pair = table.record([
    ["name", text],
    ["value", text],
  ]);
  const request = table.record([
    ["endpoint", endpoint],
    ["method", method],
    ["segments", table.list(text)],
    ["trailing-slash", bool],
    ["query", table.list(pair)],
    ["headers", table.list(pair)],
    ["uptime-seconds", u64],
    ["unix-seconds", u64],
  ]);
  const optionalText = table.option(text);
  const caller = table.record([
    ["process-id", u32],
    ["user-id", u32],
    ["elevated", bool],
    ["user-name", optionalText],
    ["user-groups", table.list(text)],
    ["executable-path", optionalText],
    ["process-name", optionalText],
    ["executable-sha256", optionalText],
    ["cgroup-id", u64],
    ["cgroup-path", optionalText],
  ]);
  const outcomeKind = table.enumeration(["allow", "deny", "abstain"]);
  const outcome = table.record([
    ["kind", outcomeKind],
    ["reason", text],
    ["rule", text],
    ["labels", table.list(table.tuple([text, text]))],
  ]);
  const settings: ComponentFunction = { params: [["settings", table.list(u8)]], result: table.result(undefined, text) };
  const evaluate: ComponentFunction = {
    params: [
      ["request", request],
      ["caller", caller],
      ["so-far", table.option(outcome)],
    ],
    result: outcome,
  };
  return {
    types: new Map([
      ["endpoint", endpoint],
      ["method", method],
      ["query-parameter", pair],
      ["header-field", pair],
      ["request", request],
      ["caller", caller],
      ["outcome-kind", outcomeKind],
      ["outcome", outcome],
    ]),
    functions: new Map([...SETTINGS_FUNCTIONS.map((name) => [name, settings] as const), ["evaluate", evaluate]]),
  };
}

export function sameFunction(a: ComponentFunction, b: ComponentFunction): boolean {
  return (
    a.result === b.result &&
    a.params.length === b.params.length &&
    a.params.every(([label, type], i) => label === b.params[i]?.[0] && type === b.params[i]?.[1])
  );
}

const AUTHORIZER = /^azure:proxy-agent-policy\/authorizer@(\d{1,5})\.(\d{1,5})\.(\d{1,5})$/;

/** The version that an authorizer of this name was built for; undefined: it is none. */
export function authorizerVersion(name: string): { readonly text: string; readonly major: number; readonly minor: number } | undefined {
  const match = AUTHORIZER.exec(name);
  if (match === null) return undefined;
  const [, major, minor, patch] = match;
  return { text: `${major}.${minor}.${patch}`, major: Number(major), minor: Number(minor) };
}

/** Within a major version nothing changes its shape and a minor one only adds, so the agent runs its own minor version and those below. */
export function runsVersion({ major, minor }: { readonly major: number; readonly minor: number }): boolean {
  return major === AGENT_WORLD.major && minor <= AGENT_WORLD.minor;
}
