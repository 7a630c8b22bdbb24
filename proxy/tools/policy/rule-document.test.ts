import { describe, expect, test } from "bun:test";
import { parseRuleItem } from "../../core/rules/rules.ts";
import { chooseSource, findRuleSources, type RuleChoices } from "./rule-document.ts";

const NOTHING_ASKED: RuleChoices = { endpoint: undefined, mode: undefined };
const RULES = { privileges: [], roles: [], identities: [], roleAssignments: [] };
const ITEM = { defaultAccess: "Deny", mode: "Enforce", id: "r1", rules: RULES };
const ARM = {
  mode: "Audit",
  defaultAccess: "Allow",
  osType: "Linux",
  applicableHostEndpoint: "WireServer",
  targetLocations: [],
  rules: RULES,
};

function sources(json: unknown, choices = NOTHING_ASKED) {
  const found = findRuleSources(json, choices);
  if (!found.ok) throw new Error(found.error);
  return found.value;
}

describe("findRuleSources", () => {
  test.each<[string, unknown, string, string, string, string]>([
    ["an item", ITEM, "item", "imds", "", "r1"],
    ["an ARM version", ARM, "arm", "wireserver", "", ""],
    [
      "an ARM version in its resource",
      { id: "/subscriptions/x", name: "1.0.0", properties: ARM },
      "arm",
      "wireserver",
      "/properties",
      "/subscriptions/x",
    ],
    ["an ARM version for the command line", { mode: "enforce", defaultAccess: "deny", rules: RULES }, "arm", "imds", "", ""],
    ["a local file", { defaultAccess: "deny", rules: RULES }, "local", "imds", "", ""],
    ["a local file with an id", { id: "mine", rules: RULES }, "local", "imds", "", "mine"],
    ["a status", { authorizationRules: { imds: ITEM } }, "status", "imds", "/authorizationRules/imds", "r1"],
    ["the rules of a status", { wireserver: ITEM }, "status", "wireserver", "/wireserver", "r1"],
  ])("recognises %s", (_, json, shape, endpoint, pointer, id) => {
    const found = sources(json);
    expect(found.map((source) => [source.shape, source.endpoint, source.pointer])).toEqual([[shape, endpoint, pointer]]);
    const parsed = parseRuleItem(found[0]?.item);
    expect(parsed.ok && parsed.value.id).toBe(id);
  });

  test("finds every item of a status; HostGAPlugin borrows from WireServer when asked for", () => {
    const status = { authorizationRules: { imds: ITEM, wireserver: { ...ITEM, id: "w" } } };
    expect(sources(status).map(({ endpoint }) => endpoint)).toEqual(["wireserver", "imds"]);
    const hostga = sources(status, { endpoint: "hostga", mode: undefined }).find(({ endpoint }) => endpoint === "hostga");
    expect([hostga?.pointer, hostga?.item.id]).toEqual(["/authorizationRules/wireserver", "w"]);
    expect(hostga?.notes.join()).toContain("WireServer");
  });

  test("says what it assumes: mode and default access of a local file, a mode that was asked for, an endpoint that differs", () => {
    expect(sources({ rules: RULES })[0]?.notes).toHaveLength(2);
    expect(sources({ rules: RULES })[0]?.item).toMatchObject({ mode: "enforce", defaultAccess: "deny" });
    expect(sources(ITEM, { endpoint: undefined, mode: "audit" })[0]).toMatchObject({
      item: { mode: "audit" },
      notes: ['mode audit as asked, instead of "Enforce"'],
    });
    expect(sources(ARM, { endpoint: "imds", mode: undefined })[0]?.notes.join()).toContain("looked at as rules for imds");
    expect(sources(ARM, { endpoint: "hostga", mode: undefined })[0]?.notes).toEqual([]);
    expect(sources({ ...ARM, applicableHostEndpoint: "Moon" })[0]?.notes.join()).toContain('"Moon" is not known');
  });

  test("a local file may leave sections out, an item may not", () => {
    const rules = { privileges: [{ name: "p", path: "/x" }] };
    expect(parseRuleItem(sources({ rules })[0]?.item).ok).toBe(true);
    expect(parseRuleItem(sources({ ...ITEM, rules })[0]?.item).ok).toBe(false);
  });

  test.each([
    [null, "want an object"],
    [[ITEM], "want an object"],
    ["x", "want an object"],
    [{}, "want a rule set"],
    [{ authorizationRules: [] }, "want an object"],
    [{ authorizationRules: {} }, "found no rule item"],
    [{ authorizationRules: { imds: null } }, "found no rule item"],
    [{ imds: "x" }, 'at "/imds", want an object'],
    [{ imds: ITEM, wireserver: 1 }, 'at "/wireserver", want an object'],
  ])("refuses %p", (json, words) => {
    const found = findRuleSources(json, NOTHING_ASKED);
    expect(found.ok ? "read" : found.error).toContain(words);
  });
});

describe("chooseSource", () => {
  const both = sources({ imds: ITEM, wireserver: ITEM });
  test("takes what was asked for, the only one, or IMDS", () => {
    expect(chooseSource(both, "wireserver")).toMatchObject({ ok: true, value: { endpoint: "wireserver" } });
    expect(chooseSource(both, undefined)).toMatchObject({ ok: true, value: { endpoint: "imds" } });
    expect(chooseSource(sources({ wireserver: ITEM }), undefined)).toMatchObject({ ok: true, value: { endpoint: "wireserver" } });
  });
  test("refuses what is not there", () => {
    expect(chooseSource(sources({ wireserver: ITEM }), "imds").ok).toBe(false);
    expect(chooseSource([], undefined).ok).toBe(false);
  });
});
