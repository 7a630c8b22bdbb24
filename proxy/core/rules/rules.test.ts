import { describe, expect, test } from "bun:test";
import { parseRuleItem, RULE_LIMITS, renderRuleError } from "./rules.ts";

const privileges = [{ name: "instance", path: "/metadata/instance" }];
const roles = [{ name: "reader", privileges: ["instance"] }];
const identities = [{ name: "alice", userName: "alice" }];
const roleAssignments = [{ role: "reader", identities: ["alice"] }];
const rules = { privileges, roles, identities, roleAssignments };
const item = { defaultAccess: "deny", mode: "enforce", id: "r1", rules };

function withPrivilege(privilege: unknown) {
  return { ...item, rules: { ...rules, privileges: [privilege] } };
}

function withQuery(queryParameters: unknown) {
  return withPrivilege({ name: "instance", path: "/metadata/instance", queryParameters });
}

function withIdentity(identity: unknown) {
  return { ...item, rules: { ...rules, identities: [identity] } };
}

function parsed(json: unknown) {
  const result = parseRuleItem(json);
  if (!result.ok) throw new Error(renderRuleError(result.error));
  return result.value;
}

describe("parseRuleItem accepts", () => {
  test("a complete item, with names turned into indices", () => {
    expect(parsed(item)).toEqual({
      id: "r1",
      mode: "enforce",
      defaultAccess: "deny",
      privileges: [{ name: "instance", segments: ["metadata", "instance"], query: [] }],
      identities: [{ name: "alice", userName: "alice", groupName: undefined, exePath: undefined, processName: undefined }],
      roles: [{ name: "reader", privileges: [0], identities: [0] }],
      warnings: [],
    });
  });

  test.each([
    ["no rules", undefined],
    ["null rules", null],
    ["empty rules", {}],
    ["four empty sections", { privileges: [], roles: [], identities: [], roleAssignments: [] }],
    ["four null sections", { privileges: null, roles: null, identities: null, roleAssignments: null }],
  ])("%s as no privileges", (_, value) => {
    expect(parsed({ ...item, rules: value })).toMatchObject({ privileges: [], identities: [], roles: [], warnings: [] });
  });

  test.each(["Allow", "ALLOW", "allow"])("default access %p in any letter case", (word) => {
    expect(parsed({ ...item, defaultAccess: word }).defaultAccess).toBe("allow");
  });

  test.each(["Audit", "DISABLED", "enforce"])("mode %p in any letter case", (word) => {
    expect(parsed({ ...item, mode: word }).mode).toBe(word.toLowerCase() as "audit" | "disabled" | "enforce");
  });

  test.each([
    ["/METADATA/Instance", ["metadata", "instance"]],
    ["/metadata%2Finstance", ["metadata", "instance"]],
    ["metadata/instance/", ["metadata", "instance"]],
    ["/metadata/./instance;v=1", ["metadata", "instance"]],
    ["", []],
    ["/", []],
  ])("privilege path %p in canonical form", (path, segments) => {
    expect(parsed(withPrivilege({ name: "instance", path })).privileges[0]?.segments).toEqual(segments);
  });

  test.each([
    [{ k: "a+b" }, [{ name: "k", value: "a b" }]],
    [{ k: "a%20b" }, [{ name: "k", value: "a b" }]],
    [{ k: "a&b=c" }, [{ name: "k", value: "a&b=c" }]],
    [{ K: "É" }, [{ name: "k", value: "É" }]],
    [{ k: "" }, [{ name: "k", value: "" }]],
    [{ k: "v", K: "V" }, [{ name: "k", value: "v" }]],
    [{}, []],
    [null, []],
  ])("query parameters %p decoded one by one", (given, query) => {
    expect(parsed(withQuery(given)).privileges[0]?.query).toEqual(query);
  });

  test("unknown members, and names that objects inherit", () => {
    const odd = JSON.parse('{"name":"__proto__","path":"/x","verb":"GET","toString":1}');
    const set = parsed({ ...withPrivilege(odd), extra: [] });
    expect(set.privileges[0]?.name).toBe("__proto__");
    expect(set.warnings).toEqual([{ kind: "undefined-privilege", pointer: "/rules/roles/0/privileges/0", name: "instance" }]);
  });

  test("an executable path by its components", () => {
    expect(parsed(withIdentity({ name: "alice", exePath: "/usr//bin/./curl/" })).identities[0]?.exePath).toBe("/usr/bin/curl");
    expect(parsed(withIdentity({ name: "alice", exePath: "/usr/sbin/../bin/curl" })).identities[0]?.exePath).toBe("/usr/sbin/../bin/curl");
  });

  test("dangling names and duplicates, with a warning for each", () => {
    const set = parsed({
      ...item,
      rules: {
        privileges: [...privileges, { name: "instance", path: "/metadata/versions" }],
        roles: [
          { name: "reader", privileges: [] },
          { name: "reader", privileges: ["instance", "ghost", "instance"] },
        ],
        identities: [
          { name: "alice", userName: "alice" },
          { name: "alice", exePath: "curl" },
        ],
        roleAssignments: [
          { role: "nobody", identities: ["alice"] },
          { role: "reader", identities: ["alice", "ghost", "alice"] },
        ],
      },
    });
    expect(set.roles).toEqual([{ name: "reader", privileges: [1], identities: [1] }]);
    expect(set.privileges.map(({ segments }) => segments.join("/"))).toEqual(["metadata/instance", "metadata/versions"]);
    expect(set.warnings).toEqual([
      { kind: "duplicate-privilege", pointer: "/rules/privileges/0", name: "instance" },
      { kind: "duplicate-role", pointer: "/rules/roles/0", name: "reader" },
      { kind: "duplicate-identity", pointer: "/rules/identities/0", name: "alice" },
      { kind: "relative-exe-path", pointer: "/rules/identities/1/exePath", name: "curl" },
      { kind: "undefined-role", pointer: "/rules/roleAssignments/0/role", name: "nobody" },
      { kind: "undefined-identity", pointer: "/rules/roleAssignments/1/identities/1", name: "ghost" },
      { kind: "undefined-privilege", pointer: "/rules/roles/1/privileges/1", name: "ghost" },
    ]);
  });
});

const many = <Value>(count: number, value: Value): Value[] => Array.from({ length: count }, () => value);

describe("parseRuleItem refuses", () => {
  test.each<[string, unknown, string, string]>([
    ["nothing", undefined, "missing", ""],
    ["null", null, "missing", ""],
    ["a string", "deny", "wrong-type", ""],
    ["an array", [item], "wrong-type", ""],
    ["no id", { ...item, id: undefined }, "missing", "/id"],
    ["a number as id", { ...item, id: 1 }, "wrong-type", "/id"],
    ["no mode", { ...item, mode: undefined }, "missing", "/mode"],
    ["an unknown mode", { ...item, mode: "strict" }, "unknown-word", "/mode"],
    ["a padded mode", { ...item, mode: "enforce " }, "unknown-word", "/mode"],
    ["an empty mode", { ...item, mode: "" }, "unknown-word", "/mode"],
    ["a mode that objects inherit", { ...item, mode: "toString" }, "unknown-word", "/mode"],
    ["a boolean as mode", { ...item, mode: true }, "wrong-type", "/mode"],
    ["no default access", { ...item, defaultAccess: undefined }, "missing", "/defaultAccess"],
    ["a padded default access", { ...item, defaultAccess: " allow " }, "unknown-word", "/defaultAccess"],
    ["an empty default access", { ...item, defaultAccess: "" }, "unknown-word", "/defaultAccess"],
    ["an unknown default access", { ...item, defaultAccess: "permit" }, "unknown-word", "/defaultAccess"],
    ["rules as an array", { ...item, rules: [] }, "wrong-type", "/rules"],
    ["rules as a string", { ...item, rules: "" }, "wrong-type", "/rules"],
    ["missing privileges", { ...item, rules: { ...rules, privileges: undefined } }, "incomplete-rules", "/rules"],
    ["missing roles", { ...item, rules: { ...rules, roles: null } }, "incomplete-rules", "/rules"],
    ["missing identities", { ...item, rules: { ...rules, identities: undefined } }, "incomplete-rules", "/rules"],
    ["missing assignments", { ...item, rules: { ...rules, roleAssignments: undefined } }, "incomplete-rules", "/rules"],
    ["a section that is an object", { ...item, rules: { ...rules, roles: {} } }, "wrong-type", "/rules/roles"],
    ["a privilege that is a string", withPrivilege("/metadata"), "wrong-type", "/rules/privileges/0"],
    ["a null privilege", withPrivilege(null), "wrong-type", "/rules/privileges/0"],
    ["a privilege without name", withPrivilege({ path: "/x" }), "missing", "/rules/privileges/0/name"],
    ["a privilege without path", withPrivilege({ name: "p" }), "missing", "/rules/privileges/0/path"],
    ["a number as path", withPrivilege({ name: "p", path: 1 }), "wrong-type", "/rules/privileges/0/path"],
    ["a path with a question mark", withPrivilege({ name: "p", path: "/x?y" }), "unclear-path", "/rules/privileges/0/path"],
    ["a path that is not ASCII", withPrivilege({ name: "p", path: "/café" }), "unclear-path", "/rules/privileges/0/path"],
    ["a path with a bad escape", withPrivilege({ name: "p", path: "/100%" }), "unclear-path", "/rules/privileges/0/path"],
    ["a path above the root", withPrivilege({ name: "p", path: "/a/../.." }), "unclear-path", "/rules/privileges/0/path"],
    ["a path with a control character", withPrivilege({ name: "p", path: "/a\n" }), "unclear-path", "/rules/privileges/0/path"],
    ["a path with a lone surrogate", withPrivilege({ name: "p", path: "/\ud800" }), "unclear-text", "/rules/privileges/0/path"],
    ["a very deep path", withPrivilege({ name: "p", path: "/a".repeat(65) }), "too-many", "/rules/privileges/0/path"],
    ["query parameters as an array", withQuery([]), "wrong-type", "/rules/privileges/0/queryParameters"],
    ["a query value that is a number", withQuery({ k: 1 }), "wrong-type", "/rules/privileges/0/queryParameters/k"],
    ["a query value that is null", withQuery({ k: null }), "missing", "/rules/privileges/0/queryParameters/k"],
    ["a query value with a bad escape", withQuery({ k: "100%" }), "unclear-query", "/rules/privileges/0/queryParameters/k"],
    ["a query value that is not UTF-8", withQuery({ k: "%ff" }), "unclear-query", "/rules/privileges/0/queryParameters/k"],
    ["a query value with a lone surrogate", withQuery({ k: "\udfff" }), "unclear-text", "/rules/privileges/0/queryParameters/k"],
    ["an empty query name", withQuery({ "": "v" }), "unclear-query", "/rules/privileges/0/queryParameters/"],
    ["a query name with a bad escape", withQuery({ "a/%": "v" }), "unclear-query", "/rules/privileges/0/queryParameters/a~1%"],
    ["one query name with two values", withQuery({ k: "1", K: "2" }), "unclear-query", "/rules/privileges/0/queryParameters/K"],
    [
      "too many query parameters",
      withQuery(Object.fromEntries(many(33, "").map((_, i) => [`k${i}`, ""]))),
      "too-many",
      "/rules/privileges/0/queryParameters",
    ],
    ["an identity without name", withIdentity({ userName: "alice" }), "missing", "/rules/identities/0/name"],
    ["an identity without selector", withIdentity({ name: "alice" }), "no-selector", "/rules/identities/0"],
    ["an identity with null selectors only", withIdentity({ name: "alice", userName: null }), "no-selector", "/rules/identities/0"],
    ["an empty user name", withIdentity({ name: "alice", userName: "" }), "empty-selector", "/rules/identities/0/userName"],
    [
      "an empty executable path",
      withIdentity({ name: "alice", userName: "a", exePath: "" }),
      "empty-selector",
      "/rules/identities/0/exePath",
    ],
    [
      "a selector with an unreadable character",
      withIdentity({ name: "a", exePath: "/a\ufffd" }),
      "unclear-text",
      "/rules/identities/0/exePath",
    ],
    ["a selector with NUL", withIdentity({ name: "alice", userName: "a\0" }), "unclear-text", "/rules/identities/0/userName"],
    [
      "a selector with a lone surrogate",
      withIdentity({ name: "alice", groupName: "\ud801" }),
      "unclear-text",
      "/rules/identities/0/groupName",
    ],
    ["a list of user names", withIdentity({ name: "alice", userName: ["alice"] }), "wrong-type", "/rules/identities/0/userName"],
    ["a role without privileges", { ...item, rules: { ...rules, roles: [{ name: "r" }] } }, "missing", "/rules/roles/0/privileges"],
    [
      "a role naming a number",
      { ...item, rules: { ...rules, roles: [{ name: "r", privileges: [1] }] } },
      "wrong-type",
      "/rules/roles/0/privileges/0",
    ],
    [
      "an assignment without role",
      { ...item, rules: { ...rules, roleAssignments: [{ identities: [] }] } },
      "missing",
      "/rules/roleAssignments/0/role",
    ],
    [
      "an assignment to nobody",
      { ...item, rules: { ...rules, roleAssignments: [{ role: "r" }] } },
      "missing",
      "/rules/roleAssignments/0/identities",
    ],
    [
      "too many privileges",
      { ...item, rules: { ...rules, privileges: many(RULE_LIMITS.privileges + 1, privileges[0]) } },
      "too-many",
      "/rules/privileges",
    ],
    [
      "too many identities",
      { ...item, rules: { ...rules, identities: many(RULE_LIMITS.identities + 1, identities[0]) } },
      "too-many",
      "/rules/identities",
    ],
  ])("%s", (_, json, kind, pointer) => {
    const result = parseRuleItem(json);
    expect(result).toMatchObject({ ok: false, error: { kind, pointer } });
  });
});

describe("renderRuleError", () => {
  test("says where, what was found and what is wanted", () => {
    const result = parseRuleItem({ ...item, mode: "strict" });
    expect(result.ok ? "" : renderRuleError(result.error)).toBe(
      'cannot use rules: found "strict" at "/mode", want "disabled" or "audit" or "enforce"',
    );
  });

  test("shortens what it found", () => {
    const result = parseRuleItem({ ...item, mode: "x".repeat(100_000) });
    expect(result.ok ? 0 : renderRuleError(result.error).length).toBeLessThan(200);
  });
});
