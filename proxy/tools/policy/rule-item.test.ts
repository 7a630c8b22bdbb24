import { describe, expect, test } from "bun:test";
import { parseRuleItem, type RuleSet } from "../../core/rules/rules.ts";
import { readCarriedRules, renderRuleItem } from "./rule-item.ts";

function parse(item: unknown): RuleSet {
  const parsed = parseRuleItem(item);
  if (!parsed.ok) throw new Error(`${parsed.error.pointer}: found ${parsed.error.found}`);
  return parsed.value;
}

const ODD = {
  defaultAccess: "Allow",
  mode: "AUDIT",
  id: "a/b",
  rules: {
    privileges: [
      { name: "", path: "/A%2520b/%3Bx;y/.//c d/", queryParameters: { "a%2Bb": "50%25+c", K: "é&=%23" }, method: ["put", "GET"] },
      { name: "twice", path: "/1" },
      { name: "twice", path: "/2" },
    ],
    roles: [
      { name: "r", privileges: ["", "twice"] },
      { name: "unassigned", privileges: [] },
    ],
    identities: [
      { name: "i", userName: "a b", groupName: "g", exePath: "//usr/./bin/x/", processName: "x" },
      { name: "j", exeSha256: ["A".repeat(64), "b".repeat(64)], systemdUnit: "a\\x2db.service", cgroupPath: "/system.slice/" },
    ],
    roleAssignments: [
      { role: "r", identities: ["i"] },
      { role: "r", identities: ["j"] },
    ],
  },
};

describe("renderRuleItem", () => {
  test("writes what reads back as the same rule set", () => {
    const rules = parse(ODD);
    const again = parse(JSON.parse(JSON.stringify(renderRuleItem(rules))));
    expect(again).toEqual(rules);
  });

  test("writes paths and parameters so that decoding them once gives the canonical ones", () => {
    expect(renderRuleItem(parse(ODD)).rules).toMatchObject({
      privileges: [{ path: "/a%2520b/c%20d", queryParameters: { "a%2Bb": "50%25 c", k: "é&=#" }, method: ["GET", "PUT"] }, {}, {}],
    });
  });
});

describe("readCarriedRules", () => {
  const rules = parse(ODD);
  test("takes what a component carries", () => {
    expect(readCarriedRules(structuredClone(rules))).toEqual({ ok: true, value: rules });
  });

  const privilege = rules.privileges[0];
  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["a text", "rules"],
    ["a list", []],
    ["no sections", { id: "x", mode: "enforce", defaultAccess: "deny" }],
    ["an unknown mode", { ...rules, mode: "on" }],
    ["a mode in other letters", { ...rules, mode: "Audit" }],
    ["an id that is no text", { ...rules, id: 7 }],
    ["a role of nothing", { ...rules, roles: [null] }],
    ["a role that names a privilege that is not there", { ...rules, roles: [{ name: "r", privileges: [3], identities: [] }] }],
    ["a role with a negative number", { ...rules, roles: [{ name: "r", privileges: [-1], identities: [] }] }],
    ["a role with half a number", { ...rules, roles: [{ name: "r", privileges: [0.5], identities: [] }] }],
    ["a privilege without a path", { ...rules, privileges: [{ name: "p", query: [] }] }],
    ["a privilege with a path of numbers", { ...rules, privileges: [{ ...privilege, segments: [1] }] }],
    ["a privilege with a query that is none", { ...rules, privileges: [{ ...privilege, query: [{ name: "a" }] }] }],
    ["a privilege with an unknown method", { ...rules, privileges: [{ ...privilege, methods: ["TRACE"] }, ...rules.privileges.slice(1)] }],
    ["an identity of nothing", { ...rules, identities: [null, null] }],
    ["an identity without a selector", { ...rules, identities: [{ name: "i" }, { name: "j" }] }],
  ])("refuses %s", (_, found) => {
    expect(readCarriedRules(found).ok).toBe(false);
  });
});
