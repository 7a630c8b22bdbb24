import { describe, expect, test } from "bun:test";
import { type EndpointOrder, perEndpoint } from "../core/key-status.ts";
import type { Policy } from "../core/ports.ts";
import { err, ok } from "../core/result.ts";
import {
  applyOrders,
  type ComposedRules,
  type ComposeRules,
  DENY_ALL,
  type Guards,
  type PrepareRules,
  UNKNOWN_GUARDS,
  wantsRedirect,
} from "./guards.ts";

function policyNamed(policyId: string): Policy {
  return { policyId, evaluate: () => ({ kind: "allow", reason: "test", rule: "" }) };
}

const prepare: PrepareRules = async (_endpoint, json) => {
  const id = String(json.id);
  return id.startsWith("bad") ? err(`${id} does not compile`) : ok({ policy: policyNamed(id), warnings: [] });
};

const withoutFile: ComposeRules = (item) => ({ kind: "platform", json: item.json });

function orders(imds: EndpointOrder) {
  return perEndpoint((endpoint): EndpointOrder => (endpoint === "imds" ? imds : { kind: "mode", mode: "disabled" }));
}

function rules(id: string, mode = "enforce"): EndpointOrder {
  return { kind: "rules", item: { id, mode, defaultAccess: "deny", json: { id, mode } }, from: "imds" };
}

async function apply(...steps: EndpointOrder[]): Promise<Guards> {
  let guards = UNKNOWN_GUARDS;
  for (const step of steps) guards = (await applyOrders(guards, orders(step), withoutFile, prepare)).guards;
  return guards;
}

describe("applyOrders", () => {
  test("puts the host's rules in force", async () => {
    expect((await apply(rules("r1"))).imds).toMatchObject({
      mode: "enforce",
      ruleSetId: "r1",
      policy: { policyId: "r1" },
      refusal: undefined,
    });
  });

  test("T-12: rules that cannot be used leave the last good ones in force and say why", async () => {
    expect((await apply(rules("r1"), rules("bad2"))).imds).toMatchObject({
      ruleSetId: "r1",
      policy: { policyId: "r1" },
      refusal: 'cannot use IMDS rules "bad2": bad2 does not compile',
    });
  });

  test("T-12: without last good rules the endpoint is closed", async () => {
    expect((await apply(rules("bad1"))).imds).toMatchObject({ mode: "enforce", policy: DENY_ALL });
  });

  test.each(["strict", "enforce ", "", "Enforced", "toString"])(
    "T-13: the mode word %p counts as enforce and the rules are refused",
    async (mode) => {
      const guard = (await apply(rules("r1", mode))).imds;
      expect(guard).toMatchObject({ mode: "enforce", policy: DENY_ALL });
      expect(guard.refusal).toContain(`found mode ${JSON.stringify(mode)}`);
    },
  );

  test("the platform can still switch an endpoint off with rules that do not compile", async () => {
    expect((await apply(rules("r1"), rules("bad2", "Disabled"))).imds.mode).toBe("disabled");
  });

  test("an order that did not change is not compiled again; changed content under the same id is", async () => {
    let compiled = 0;
    const counting: PrepareRules = (endpoint, item) => {
      compiled++;
      return prepare(endpoint, item);
    };
    const first = await applyOrders(UNKNOWN_GUARDS, orders(rules("r1")), withoutFile, counting);
    const second = await applyOrders(first.guards, orders(rules("r1")), withoutFile, counting);
    expect([compiled, second.changes.length, second.guards.imds === first.guards.imds]).toEqual([1, 0, true]);
    await applyOrders(
      second.guards,
      orders({ kind: "rules", item: { id: "r1", mode: "enforce", defaultAccess: "allow", json: { id: "r1", other: true } }, from: "imds" }),
      withoutFile,
      counting,
    );
    expect(compiled).toBe(2);
  });

  test("rules that disappear leave no policy behind", async () => {
    expect((await apply(rules("r1"), { kind: "mode", mode: "disabled" })).imds).toMatchObject({ mode: "disabled", policy: undefined });
  });
});

describe("wantsRedirect", () => {
  test("asks for the redirect exactly where the mode is not disabled", async () => {
    expect(wantsRedirect(await apply(rules("r1", "audit")))).toEqual({ wireserver: false, hostga: false, imds: true });
  });
});

describe("local rule files", () => {
  const path = "/rules/IMDS_Rules.json";
  const merged = (id: string): ComposedRules => ({ kind: "merged", json: { id }, id, path });
  const refused: ComposedRules = { kind: "refused-file", path, message: "owner is uid 1000, want root" };

  async function follow(mode: string, ...files: ComposedRules[]): Promise<Guards> {
    let guards = UNKNOWN_GUARDS;
    for (const file of files) guards = (await applyOrders(guards, orders(rules("r1", mode)), () => file, prepare)).guards;
    return guards;
  }

  test("merged rules are in force under the merged id; the platform's id stays known", async () => {
    expect((await follow("enforce", merged("r1_loc"))).imds).toMatchObject({
      ruleSetId: "r1_loc",
      platformRuleId: "r1",
      policy: { policyId: "r1_loc" },
      localFile: { state: "applied" },
    });
  });

  test.each(["audit", "enforce", "strict"])("T-71: under %s a wanted file that was never good closes the endpoint", async (mode) => {
    expect((await follow(mode, refused)).imds).toMatchObject({
      mode: "enforce",
      policy: DENY_ALL,
      localFile: { state: "refused", message: "owner is uid 1000, want root" },
    });
  });

  test("an endpoint that the platform has switched off stays off", async () => {
    expect((await follow("disabled", refused)).imds.mode).toBe("disabled");
  });

  test("T-71: a file that turned bad leaves the last good merged rules in force", async () => {
    const { imds } = await follow("enforce", merged("r1_loc"), refused);
    expect(imds).toMatchObject({ ruleSetId: "r1_loc", policy: { policyId: "r1_loc" } });
    expect(imds.refusal).toContain("owner is uid 1000");
  });

  test("an edit is seen by content, and a file that was removed gives the platform's rules back", async () => {
    const without: ComposedRules = {
      kind: "without-file",
      json: { id: "r1-useLocalFileRules-true" },
      id: "r1-useLocalFileRules-true",
      path,
    };
    expect((await follow("enforce", merged("r1_a"), merged("r1_b"))).imds.ruleSetId).toBe("r1_b");
    expect((await follow("enforce", merged("r1_a"), without)).imds).toMatchObject({
      ruleSetId: "r1-useLocalFileRules-true",
      localFile: { state: "missing" },
    });
  });
});
