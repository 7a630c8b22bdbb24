import { describe, expect, test } from "bun:test";
import { type EndpointOrder, perEndpoint } from "../core/key-status.ts";
import type { Policy } from "../core/ports.ts";
import { err, ok } from "../core/result.ts";
import { applyOrders, DENY_ALL, type Guards, type PrepareRules, UNKNOWN_GUARDS, wantsRedirect } from "./guards.ts";

function policyNamed(policyId: string): Policy {
  return { policyId, evaluate: () => ({ kind: "allow", reason: "test", rule: "" }) };
}

const prepare: PrepareRules = (_endpoint, item) =>
  item.id.startsWith("bad") ? err(`${item.id} does not compile`) : ok({ policy: policyNamed(item.id), warnings: [] });

function orders(imds: EndpointOrder) {
  return perEndpoint((endpoint): EndpointOrder => (endpoint === "imds" ? imds : { kind: "mode", mode: "disabled" }));
}

function rules(id: string, mode = "enforce"): EndpointOrder {
  return { kind: "rules", item: { id, mode, defaultAccess: "deny", json: { id, mode } } };
}

function apply(...steps: EndpointOrder[]): Guards {
  return steps.reduce<Guards>((guards, step) => applyOrders(guards, orders(step), prepare).guards, UNKNOWN_GUARDS);
}

describe("applyOrders", () => {
  test("puts the host's rules in force", () => {
    expect(apply(rules("r1")).imds).toMatchObject({ mode: "enforce", ruleSetId: "r1", policy: { policyId: "r1" }, refusal: undefined });
  });

  test("T-12: rules that cannot be used leave the last good ones in force and say why", () => {
    expect(apply(rules("r1"), rules("bad2")).imds).toMatchObject({
      ruleSetId: "r1",
      policy: { policyId: "r1" },
      refusal: 'cannot use IMDS rules "bad2": bad2 does not compile',
    });
  });

  test("T-12: without last good rules the endpoint is closed", () => {
    expect(apply(rules("bad1")).imds).toMatchObject({ mode: "enforce", policy: DENY_ALL });
  });

  test.each(["strict", "enforce ", "", "Enforced", "toString"])(
    "T-13: the mode word %p counts as enforce and the rules are refused",
    (mode) => {
      const guard = apply(rules("r1", mode)).imds;
      expect(guard).toMatchObject({ mode: "enforce", policy: DENY_ALL });
      expect(guard.refusal).toContain(`found mode ${JSON.stringify(mode)}`);
    },
  );

  test("the platform can still switch an endpoint off with rules that do not compile", () => {
    expect(apply(rules("r1"), rules("bad2", "Disabled")).imds.mode).toBe("disabled");
  });

  test("an order that did not change is not compiled again; changed content under the same id is", () => {
    let compiled = 0;
    const counting: PrepareRules = (endpoint, item) => {
      compiled++;
      return prepare(endpoint, item);
    };
    const first = applyOrders(UNKNOWN_GUARDS, orders(rules("r1")), counting);
    const second = applyOrders(first.guards, orders(rules("r1")), counting);
    expect([compiled, second.changes.length, second.guards.imds === first.guards.imds]).toEqual([1, 0, true]);
    applyOrders(
      second.guards,
      orders({ kind: "rules", item: { id: "r1", mode: "enforce", defaultAccess: "allow", json: { other: true } } }),
      counting,
    );
    expect(compiled).toBe(2);
  });

  test("rules that disappear leave no policy behind", () => {
    expect(apply(rules("r1"), { kind: "mode", mode: "disabled" }).imds).toMatchObject({ mode: "disabled", policy: undefined });
  });
});

describe("wantsRedirect", () => {
  test("asks for the redirect exactly where the mode is not disabled", () => {
    expect(wantsRedirect(apply(rules("r1", "audit")))).toEqual({ wireserver: false, hostga: false, imds: true });
  });
});
