import { describe, expect, test } from "bun:test";
import { parseRuleItem } from "../../core/rules/rules.ts";
import { checkRules } from "./check-rules.ts";
import { findRuleSources } from "./rule-document.ts";
import type { Finding } from "./rule-finding.ts";

const CURL = { name: "i", userName: "alice", exePath: "/usr/bin/curl" };

/** A sound rule set, with parts of it replaced. */
function item(parts: Readonly<Record<string, unknown>> = {}, header: object = {}) {
  return {
    defaultAccess: "deny",
    mode: "enforce",
    id: "x",
    ...header,
    rules: {
      privileges: [{ name: "p", path: "/metadata/instance" }],
      roles: [{ name: "r", privileges: ["p"] }],
      identities: [CURL],
      roleAssignments: [{ role: "r", identities: ["i"] }],
      ...parts,
    },
  };
}

function check(json: unknown, endpoint: "imds" | "wireserver" = "imds"): readonly Finding[] {
  const sources = findRuleSources(json, { endpoint, mode: undefined });
  if (!sources.ok || sources.value[0] === undefined) throw new Error("no rule set");
  return checkRules(sources.value[0]).findings;
}

function brief(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ level, kind, pointer }) => `${level} ${kind} ${pointer}`);
}

describe("checkRules", () => {
  test("finds nothing in a sound rule set", () => {
    expect(check(item())).toEqual([]);
  });

  test.each<[string, unknown, readonly string[]]>([
    ["an unknown mode", item({}, { mode: "strict" }), ["error unknown-word /mode"]],
    [
      "no mode and no default",
      { id: "x", properties: { rules: null } },
      ["error missing /properties/mode", "error missing /properties/defaultAccess"],
    ],
    ["half the sections", { ...item(), rules: { privileges: [] } }, ["error incomplete-rules /rules"]],
    [
      "everything that is wrong, not only the first",
      item(
        {
          privileges: [
            { name: "p", path: "/x?y" },
            { name: 7, path: "/a" },
          ],
          identities: [{ name: "i" }, { name: "k", userName: "" }],
        },
        { mode: "on" },
      ),
      [
        "error unknown-word /mode",
        "error unclear-path /rules/privileges/0/path",
        "error wrong-type /rules/privileges/1/name",
        "error no-selector /rules/identities/0",
        "error empty-selector /rules/identities/1/userName",
      ],
    ],
    [
      "names that lead nowhere beside what cannot be read",
      item({
        privileges: [{ name: "p", path: "/x?y" }],
        roles: [{ name: "r", privileges: ["q"] }],
        roleAssignments: [{ role: "s", identities: ["i", "k"] }],
      }),
      [
        "error unclear-path /rules/privileges/0/path",
        "error undefined-privilege /rules/roles/0/privileges/0",
        "error undefined-role /rules/roleAssignments/0/role",
        "error undefined-identity /rules/roleAssignments/0/identities/1",
      ],
    ],
    ["a section that is no list", item({ roles: {} }), ["error wrong-type /rules/roles"]],
    ["an element that is no object", item({ roleAssignments: [null] }), ["error wrong-type /rules/roleAssignments/0"]],
    [
      "a role that is not there",
      item({
        roleAssignments: [
          { role: "r", identities: ["i"] },
          { role: "admin", identities: ["i"] },
        ],
      }),
      ["error undefined-role /rules/roleAssignments/1/role"],
    ],
    [
      "an identity that is not there",
      item({ roleAssignments: [{ role: "r", identities: ["i", "I"] }] }),
      ["error undefined-identity /rules/roleAssignments/0/identities/1"],
    ],
    [
      "a privilege that is not there",
      item({ roles: [{ name: "r", privileges: ["p", "q"] }] }),
      ["error undefined-privilege /rules/roles/0/privileges/1"],
    ],
    ["a name given twice", item({ identities: [CURL, CURL] }), ["warning duplicate-identity /rules/identities/0"]],
    [
      "a misspelt selector",
      item({ identities: [{ ...CURL, groupname: "dev" }] }),
      ["warning unknown-member /rules/identities/0/groupname"],
    ],
    [
      "a misspelt section",
      { ...item(), rules: { ...item().rules, roleassignments: [] } },
      ["warning unknown-member /rules/roleassignments"],
    ],
    [
      "a program's name alone",
      item({ identities: [{ name: "i", processName: "curl" }] }),
      ["warning weak-identity /rules/identities/0/processName"],
    ],
    [
      "an interpreter",
      item({ identities: [{ ...CURL, exePath: "/usr/bin/python3.11" }] }),
      ["warning interpreter /rules/identities/0/exePath"],
    ],
    ["a program alone", item({ identities: [{ name: "i", exePath: "/usr/bin/curl" }] }), ["note program-only /rules/identities/0"]],
    [
      "a relative program",
      item({ identities: [{ ...CURL, exePath: "bin/curl" }] }),
      ["warning relative-exe-path /rules/identities/0/exePath"],
    ],
    [
      "a program above its folder",
      item({ identities: [{ ...CURL, exePath: "/usr/../bin/curl" }] }),
      ["warning never-fits /rules/identities/0/exePath"],
    ],
    [
      "a process of another name",
      item({ identities: [{ ...CURL, processName: "wget" }] }),
      ["warning never-fits /rules/identities/0/processName"],
    ],
    [
      "a path for a process",
      item({ identities: [{ name: "i", userName: "a", processName: "/bin/sh" }] }),
      ["warning never-fits /rules/identities/0/processName"],
    ],
    [
      "an asterisk in a path",
      item({ privileges: [{ name: "p", path: "/metadata/*" }] }),
      ["warning no-wildcards /rules/privileges/0/path"],
    ],
    [
      "an asterisk in a value",
      item({ privileges: [{ name: "p", path: "/m", queryParameters: { a: "*" } }] }),
      ["warning no-wildcards /rules/privileges/0/queryParameters"],
    ],
    ["the root path", item({ privileges: [{ name: "p", path: "/" }] }), ["warning covers-everything /rules/privileges/0/path"]],
    [
      "a blank name",
      item({ privileges: [{ name: " ", path: "/m" }], roles: [{ name: "r", privileges: [" "] }] }),
      ["warning blank-name /rules/privileges/0/name"],
    ],
    [
      "a name too long for a decision",
      item({ privileges: [{ name: "é".repeat(1001), path: "/m" }], roles: [{ name: "r", privileges: ["é".repeat(1001)] }] }),
      ["warning long-name /rules/privileges/0/name"],
    ],
    [
      "privileges nobody has",
      item({
        privileges: [
          { name: "p", path: "/a" },
          { name: "q", path: "/b" },
          { name: "s", path: "/c" },
        ],
        roles: [
          { name: "r", privileges: ["p"] },
          { name: "t", privileges: ["q"] },
        ],
      }),
      [
        "warning granted-to-nobody /rules/privileges/1",
        "warning granted-to-nobody /rules/privileges/2",
        "warning unassigned-role /rules/roles/1",
      ],
    ],
    [
      "an identity nobody uses",
      item({ identities: [CURL, { name: "k", userName: "bob" }] }),
      ["warning unused-identity /rules/identities/1"],
    ],
    [
      "a role without privileges",
      item({
        roles: [
          { name: "r", privileges: ["p"] },
          { name: "e", privileges: [] },
        ],
        roleAssignments: [
          { role: "r", identities: ["i"] },
          { role: "e", identities: ["i"] },
        ],
      }),
      ["warning empty-role /rules/roles/1"],
    ],
    [
      "a privilege in the shadow of a broader one",
      item({
        privileges: [
          { name: "p", path: "/m" },
          { name: "q", path: "/m/a", queryParameters: { k: "1" } },
        ],
        roles: [{ name: "r", privileges: ["p", "q"] }],
      }),
      ["warning shadowed /rules/privileges/1"],
    ],
    [
      "the second of two equal privileges",
      item({
        privileges: [
          { name: "p", path: "/m" },
          { name: "q", path: "/M/" },
        ],
        roles: [{ name: "r", privileges: ["q", "p"] }],
      }),
      ["warning shadowed /rules/privileges/1"],
    ],
    ["default allow", item({}, { defaultAccess: "Allow" }), ["note default-allow /defaultAccess"]],
    ["audit", item({}, { mode: "Audit" }), ["note audit /mode"]],
    ["disabled", item({}, { mode: "disabled" }), ["note disabled /mode"]],
  ])("tells of %s", (_, json, wanted) => {
    expect([...brief(check(json))].sort()).toEqual([...wanted].sort());
  });

  test.each<[string, unknown]>([
    [
      "a narrower privilege for others",
      item({
        privileges: [
          { name: "p", path: "/m" },
          { name: "q", path: "/m/a" },
        ],
        identities: [CURL, { name: "k", userName: "bob" }],
        roles: [
          { name: "r", privileges: ["p"] },
          { name: "s", privileges: ["q"] },
        ],
        roleAssignments: [
          { role: "r", identities: ["i"] },
          { role: "s", identities: ["i", "k"] },
        ],
      }),
    ],
    [
      "a privilege for another method",
      item({
        privileges: [
          { name: "p", path: "/m", method: ["GET"] },
          { name: "q", path: "/m", method: ["PUT"] },
        ],
        roles: [{ name: "r", privileges: ["p", "q"] }],
      }),
    ],
    [
      "a sibling path",
      item({
        privileges: [
          { name: "p", path: "/m" },
          { name: "q", path: "/m2" },
        ],
        roles: [{ name: "r", privileges: ["p", "q"] }],
      }),
    ],
    ["a hash with a user", item({ identities: [{ name: "i", userName: "a", exeSha256: "a".repeat(64) }] })],
  ])("takes no exception to %s", (_, json) => {
    expect(check(json)).toEqual([]);
  });

  test("says that only root gets to rules of WireServer", () => {
    expect(brief(check(item(), "wireserver"))).toEqual(["warning not-root /rules/identities/0/userName"]);
    expect(check(item({ identities: [{ ...CURL, userName: "root" }] }), "wireserver")).toEqual([]);
  });

  test("has for an error what was found and wanted, and a hint where there is one", () => {
    const [finding] = check(item({ privileges: [{ name: "p", path: "/metadata?x=1" }] }));
    expect(finding).toMatchObject({ found: '"/metadata?x=1"', wanted: "a path with one clear reading (CANON_EMBQ)" });
    expect(finding?.message).toContain("queryParameters");
    expect(check(item({ identities: [{ ...CURL, username: "x" }] }))[0]?.message).toContain('did you mean "userName"');
  });

  test("points into the file: into the wrapper, into the status", () => {
    const bad = { ...item(), mode: "on" };
    expect(brief(check({ properties: bad }))).toEqual(["error unknown-word /properties/mode"]);
    expect(brief(check({ authorizationRules: { imds: bad } }))).toEqual(["error unknown-word /authorizationRules/imds/mode"]);
  });

  test("knows the members of ARM files, and takes a repeated name in a local file for an error", () => {
    const arm = {
      ...item(),
      id: undefined,
      osType: "Linux",
      applicableHostEndpoint: "IMDS",
      targetLocations: ["westeurope"],
      excludeFromLatest: false,
    };
    expect(check(arm)).toEqual([]);
    const local = { rules: item({ identities: [CURL, CURL] }).rules };
    expect(brief(check(local))).toEqual(["error duplicate-identity /rules/identities/0"]);
  });

  test("leaves findings out when there are too many, and says how many", () => {
    const privileges = Array.from({ length: 1_500 }, (_, i) => ({ name: `p${i}`, path: "/x?y" }));
    const sources = findRuleSources(item({ privileges }), { endpoint: undefined, mode: undefined });
    const checked = sources.ok && sources.value[0] !== undefined ? checkRules(sources.value[0]) : undefined;
    expect([checked?.findings.length, checked?.omitted]).toEqual([1_000, 501]);
  });

  test("has an error exactly when the agent's parser refuses", () => {
    const odd = [undefined, null, 0, "", "x", [], {}, [null], [{}], [{ name: "p" }], { a: 1 }];
    const members = ["defaultAccess", "mode", "id"] as const;
    const sections = ["privileges", "roles", "identities", "roleAssignments"];
    const items = [
      ...members.flatMap((name) => odd.map((value) => item({}, { [name]: value }))),
      ...sections.flatMap((name) => odd.map((value) => item({ [name]: value }))),
      ...odd.map((rules) => ({ ...item(), rules })),
    ];
    for (const each of items) {
      const source = { shape: "item", endpoint: "imds", item: each, pointer: "", notes: [] } as const;
      const { findings, rules } = checkRules(source);
      const refused = !parseRuleItem(each).ok;
      const references = /^undefined-/;
      expect([each, findings.some(({ level, kind }) => level === "error" && !references.test(kind)), rules === undefined]).toEqual([
        each,
        refused,
        refused,
      ]);
    }
  });
});
