import { describe, expect, test } from "bun:test";
import { type EndpointOrder, perEndpoint } from "../../core/channel/key-status.ts";
import type { Policy } from "../../core/ports.ts";
import { err, ok } from "../../core/result.ts";
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

const withoutFile: ComposeRules = (item) => ({ json: item.json, id: item.id, localFile: undefined, goodFile: undefined });

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
  const nothing = { json: undefined, goodFile: undefined };
  const merged = (id: string, sha256 = "aa"): ComposedRules => ({
    json: { id },
    id,
    localFile: { path, state: "applied", message: "", sha256 },
    goodFile: { rules: { id: undefined, defaultAccess: undefined, rules: undefined }, sha256 },
  });
  const message = "owner is uid 1000, want root";
  const refused: ComposedRules = { ...nothing, id: "r1", localFile: { path, state: "refused", message, sha256: "" } };
  const refusedWithGood: ComposedRules = { ...merged("r2_loc"), localFile: { path, state: "refused", message, sha256: "aa" } };
  const missing: ComposedRules = {
    json: { id: "r1" },
    id: "r1",
    localFile: { path, state: "missing", message: "", sha256: "" },
    goodFile: undefined,
  };
  const platform: ComposedRules = { json: { id: "r1" }, id: "r1", localFile: undefined, goodFile: undefined };

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
      refusal: undefined,
    });
  });

  const closed = { mode: "enforce", policy: DENY_ALL, localFile: { state: "refused", sha256: "" } };

  test.each(["audit", "enforce", "strict"])("T-71: under %s a wanted file that was never good closes the endpoint", async (mode) => {
    const { imds } = await follow(mode, refused);
    expect(imds).toMatchObject({ ...closed, localFile: { message } });
    expect(imds.refusal).toContain(message);
  });

  test.each([
    ["rules from before the file was wanted", [platform, refused]],
    ["rules from while the file was missing", [missing, refused]],
    ["rules that were merged before the file was forgotten", [merged("r1_loc"), platform, refused]],
    ["rules that were merged before the file was removed", [merged("r1_loc"), missing, refused]],
    ["platform rules alone, when the merged ones do not compile", [platform, merged("bad_loc")]],
  ] as const)("T-71: %s are no stand-in for a file that is bad", async (_what, files) => {
    expect((await follow("audit", ...files)).imds).toMatchObject(closed);
  });

  test("an endpoint that the platform has switched off stays off", async () => {
    expect((await follow("disabled", refused)).imds.mode).toBe("disabled");
    expect((await follow("disabled", merged("r1_loc"), merged("bad_loc"))).imds.mode).toBe("disabled");
  });

  test("T-71: while a file is bad the last good one is in force, together with the platform's newest rules", async () => {
    const { imds } = await follow("enforce", merged("r1_loc"), refusedWithGood);
    expect(imds).toMatchObject({ ruleSetId: "r2_loc", policy: { policyId: "r2_loc" }, localFile: { state: "refused", sha256: "aa" } });
    expect(imds.refusal).toBe(`${message}; the last good file stays in force`);
  });

  test("T-71: merged rules that do not compile leave the last good merged ones in force, and their file is the good one", async () => {
    const { imds } = await follow("enforce", merged("r1_loc"), merged("bad_loc", "bb"));
    expect(imds).toMatchObject({
      ruleSetId: "r1_loc",
      policy: { policyId: "r1_loc" },
      goodFile: { sha256: "aa" },
      localFile: { state: "refused", message: "bad_loc does not compile", sha256: "aa" },
    });
  });

  test("the good file is handed to who looks at the next one, and forgotten when none is wanted", async () => {
    const seen: (string | undefined)[] = [];
    let guards = UNKNOWN_GUARDS;
    for (const file of [merged("r1_a", "aa"), merged("r1_b", "bb"), refused, platform, refused]) {
      const compose: ComposeRules = (_item, _from, before) => {
        seen.push(before?.sha256);
        return file;
      };
      guards = (await applyOrders(guards, orders(rules("r1")), compose, prepare)).guards;
    }
    expect(seen).toEqual([undefined, "aa", "bb", "bb", undefined]);
  });

  test("an edit is seen by its hash, an untouched file is not compiled again, and a removed one gives the platform's rules back", async () => {
    const first = await follow("enforce", merged("r1_a", "aa"));
    const again = await applyOrders(first, orders(rules("r1")), () => merged("r1_a", "aa"), prepare);
    expect(again.changes).toEqual([]);
    expect((await follow("enforce", merged("r1_a", "aa"), merged("r1_a", "bb"))).imds.goodFile?.sha256).toBe("bb");
    expect((await follow("enforce", merged("r1_a"), missing)).imds).toMatchObject({
      policy: { policyId: "r1" },
      localFile: { state: "missing" },
      goodFile: undefined,
      refusal: undefined,
    });
  });
});
