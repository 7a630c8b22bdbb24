import { describe, expect, test } from "bun:test";
import vectors from "../../../test/vectors/local-rules.json";
import { type LocalRules, mergeLocalRules, parseLocalRules, readRuleSwitch } from "./local-rules.ts";
import { parseRuleItem } from "./rules.ts";

/** Files the reference takes and we refuse: the padded word ends up as deny there, the blank selector as a value nobody has. */
const REFUSED_BY_US = ["L08", "L36"];

const bytes = (text: string) => Buffer.from(text, "utf8");

function errorOf(text: string | Uint8Array): string {
  const found = parseLocalRules(typeof text === "string" ? bytes(text) : text);
  return found.ok ? "accepted" : found.error;
}

function local(text: string): LocalRules {
  const found = parseLocalRules(bytes(text));
  if (!found.ok) throw new Error(found.error);
  return found.value;
}

function merged(remote: Readonly<Record<string, unknown>>, file: LocalRules, id = "x"): unknown {
  const found = mergeLocalRules(remote, id, file);
  return found.ok ? found.value : found.error;
}

describe("local rule files", () => {
  test.each(vectors.vectors.map((vector) => [vector.id, vector] as const))("vector %s", (id, vector) => {
    const { remote, localFile, effective, failClosed, useLocalFileRules } = vector;
    const found = readRuleSwitch(remote.id);
    expect(found.useLocalFileRules).toBe(useLocalFileRules);
    if (!useLocalFileRules || (localFile === null && id !== "L13")) {
      expect({ ...remote, id: found.effectiveId }).toEqual(effective as never);
      return;
    }
    const local = parseLocalRules(bytes(localFile ?? ""));
    expect(local.ok).toBe(!failClosed && !REFUSED_BY_US.includes(id));
    if (local.ok) expect(merged(remote, local.value, found.effectiveId)).toEqual(effective as never);
  });

  test.each([
    ["", "line 1, column 1"],
    ["[]", "line 1, column 1"],
    ['{\n  "id": "x",\n  "id": "y"\n}', "line 3"],
    ['{\n  "rules": {\n    "privileges": [ { "name": "p", "path": "/a%" } ] } }', 'line 3, column 44 ("/rules/privileges/0/path")'],
    ['{"defaultAccess": "perhaps"}', '("/defaultAccess")'],
    ['{"defaultAccess": 1}', '("/defaultAccess")'],
    ['{"id": 7}', '("/id")'],
    ['{"rules": []}', '("/rules")'],
    ['{"rules": {"privileges": {}}}', '("/rules/privileges")'],
    ['{"rules": {"privileges": ["p"]}}', '("/rules/privileges/0")'],
    ['{"rules": {"roles": [{"name": "r", "privileges": []}]}}', "empty list"],
    ['{"rules": {"identities": [{"name": "i", "userName": ""}]}}', "/rules/identities/0"],
    ['{"rules": {"roleAssignments": [{"role": "nobody", "identities": ["i"]}]}}', "undefined-role"],
    [`${"[".repeat(100)}`, "at most 64 levels of nesting"],
    ['{"id": "a\u0000b"}', "NUL"],
  ])("refuses %j and says where", (text, place) => {
    expect(errorOf(text)).toContain(place);
  });

  test.each([
    [new Uint8Array([0xff, 0xfe, 0x7b, 0]), "UTF-16"],
    [new Uint8Array([0x7b, 0xc0, 0xaf, 0x7d]), "not UTF-8"],
    [new Uint8Array(1024 * 1024 + 1).fill(0x20), "1048576"],
  ])("refuses bytes that are no small UTF-8 text", (text, message) => {
    expect(errorOf(text)).toContain(message);
  });

  test.each([
    ["a comment that is blank", '{"comment": "", "rules": {"privileges": [{"name": "p", "path": "/a", "tags": []}]}}'],
    ["members that are null", '{"id": null, "defaultAccess": null, "rules": {"privileges": null, "roles": []}}'],
    ["a byte order mark", "\ufeff{}"],
    ["a member called __proto__", '{"__proto__": {"id": " "}, "rules": {"__proto__": {"privileges": 7}}}'],
  ])("takes %s", (_what, text) => {
    expect(errorOf(text)).toBe("accepted");
  });

  test.each([
    ["another byte order mark inside", '{"id": "a"}\ufeff', "column 12"],
    ["a long id", JSON.stringify({ id: "x".repeat(257) }), "want at most 256"],
    ["a parameter without a name", '{"rules": {"privileges": [{"name": "p", "path": "/a", "queryParameters": {" ": "v"}}]}}', "blank name"],
    [
      "a role given twice",
      '{"rules": {"roles": [{"name": "r", "privileges": ["p"]}, {"name": "r", "privileges": ["p"]}]}}',
      "duplicate-role",
    ],
    ["an exePath that can never fit", '{"rules": {"identities": [{"name": "i", "exePath": "curl"}]}}', "relative-exe-path"],
    [
      "a privilege named twice by a role",
      '{"rules": {"privileges": [{"name": "p", "path": "/a"}], "roles": [{"name": "r", "privileges": ["p", "p"]}]}}',
      "a name twice",
    ],
    ["a name that no text can be", '{"rules": {"privileges": [{"name": "\\ud800", "path": "/a"}]}}', "lone surrogates"],
    ["a very long name", JSON.stringify({ rules: { roles: [{ name: "r", privileges: ["x".repeat(9000)] }] } }), "undefined-privilege"],
  ])("refuses %s, in few words", (_what, text, words) => {
    expect(errorOf(text)).toContain(words);
    expect(errorOf(text).length).toBeLessThan(250);
  });
});

describe("T-73: merging", () => {
  const file = local('{"rules": {"privileges": [{"name": "p", "path": "/a"}], "identities": [{"name": "i", "userName": "u"}]}}');

  test.each([
    ["half a rule set", { privileges: [] }],
    ["rules of a wrong type", []],
    ["sections of a wrong type", { privileges: {}, roles: {}, identities: {}, roleAssignments: {} }],
    ["one section of a wrong type", { privileges: "p", roles: [], identities: [], roleAssignments: [] }],
  ])("%s of the platform are not made good by a local file", (_what, rules) => {
    const remote = { id: "x", mode: "enforce", defaultAccess: "allow", rules };
    expect(parseRuleItem(remote).ok).toBe(false);
    expect(parseRuleItem(merged(remote, file)).ok).toBe(false);
  });

  test.each([null, undefined, {}, { privileges: null, roles: null, identities: null, roleAssignments: null }])(
    "a local file is not lost when the platform's rules are %j",
    (rules) => {
      expect(JSON.stringify(merged({ id: "x", mode: "enforce", defaultAccess: "deny", rules }, file))).toContain('"path":"/a"');
    },
  );

  test.each([
    ["privilege", { privileges: [{ name: "LocalFileRules_p", path: "/b" }] }],
    ["identity", { identities: [{ name: "LocalFileRules_i", userName: "v" }] }],
    ["reference to a privilege", { roles: [{ name: "r", privileges: ["LocalFileRules_p"] }] }],
    ["reference to an identity", { roleAssignments: [{ role: "r", identities: ["LocalFileRules_i"] }] }],
  ])("a %s of the platform with a name that is the file's is refused", (_what, part) => {
    const rules = { privileges: [], roles: [], identities: [], roleAssignments: [], ...part };
    expect(merged({ id: "x", rules }, file)).toContain("in the platform's rules");
  });

  test("the platform's mode counts, whatever the file says", () => {
    expect(merged({ id: "x", mode: "enforce", defaultAccess: "deny" }, local('{"mode": "disabled"}'))).toMatchObject({ mode: "enforce" });
  });
});

describe("the switch in the id", () => {
  const encoded = (text: string) => Buffer.from(text).toString("base64");

  test.each([
    "e30=",
    "bnVsbA==",
    "W10=",
    "not base64",
    encoded('{"id":1}'),
    encoded('{"useLocalFileRules":"true"}'),
    encoded('{"useLocalFileRules":1}'),
    encoded('{"useLocalFileRules":null}'),
    encoded('{"useLocalFileRules":false,"useLocalFileRules":true}'),
    encoded('{"__proto__":{"useLocalFileRules":true}}'),
    encoded('{"useLocalFileRules":true'),
    encoded('{"useLocalFileRules":true}').replace("=", ""),
    encoded('{"useLocalFileRules":true} ').replace(/.$/, "-"),
    // The same bytes with a stray bit in the last digit.
    encoded('{"useLocalFileRules":true}').replace("0=", "1="),
  ])("%p switches nothing on", (id) => {
    expect(readRuleSwitch(id).useLocalFileRules).toBe(false);
  });
});
