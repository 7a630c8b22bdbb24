// What `policy diff` says about edits that people make, with the compiled policies: one row per kind of change, and what must not
// be a change at all.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { renderCanonical } from "../../proxy/core/request/canonical-request.ts";
import type { Endpoint } from "../../proxy/core/request/endpoint.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import { LINE_COLUMNS } from "../../proxy/core/text/text-layout.ts";
import type { RuleChange } from "../../proxy/tools/policy/diff-groups.ts";
import { diffRules } from "../../proxy/tools/policy/diff-rules.ts";
import { renderDiff } from "../../proxy/tools/policy/render-diff.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

type Who = Readonly<Record<string, string | readonly string[]>>;
interface Privilege {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly method?: readonly string[];
  /** Who is granted it. */
  readonly to?: readonly Who[];
}

/** Rules written shortly: each privilege with those who have it. */
function rulesOf(defaultAccess: "allow" | "deny", list: readonly Privilege[]) {
  const privileges = list.map(({ path, query, method }, i) => ({ name: `p${i}`, path, queryParameters: query, method }));
  const identities = list.flatMap(({ to = [] }, i) => to.map((who, k) => ({ name: `i${i}.${k}`, ...who })));
  const roles = list.map((_, i) => ({ name: `r${i}`, privileges: [`p${i}`] }));
  const roleAssignments = list.map(({ to = [] }, i) => ({ role: `r${i}`, identities: to.map((_, k) => `i${i}.${k}`) }));
  return { defaultAccess, mode: "enforce", id: "x", rules: { privileges, roles, identities, roleAssignments } };
}

function diffOf(oldItem: unknown, newItem: unknown, endpoint: Endpoint = "imds", limits?: { combinations: number; decisions: number }) {
  const [before, after] = [oldItem, newItem].map((item) => {
    const rules = parseRuleItem(item);
    if (!rules.ok) throw new Error(renderRuleError(rules.error));
    const component = compilePolicy(rules.value, endpoint);
    const policy = component.ok ? loadPolicy(component.value) : component;
    if (!policy.ok) throw new Error(JSON.stringify(policy.error));
    return { rules: rules.value, policy: policy.value };
  });
  if (before === undefined || after === undefined) throw new Error("internal error: two of two are there");
  const rules = { old: before.rules, new: after.rules };
  const diff = diffRules(rules, { old: before.policy, new: after.policy }, endpoint, limits);
  return { diff, lines: renderDiff(diff, rules, { old: "old.json", new: "new.json" }) };
}

/** A change as one line. */
function brief({ direction, paths, methods, query, who }: RuleChange): string {
  const path = (segments: readonly string[]) => renderCanonical({ segments, trailingSlash: false, query: [] });
  const pairs = (list: readonly { readonly name: string; readonly value: string }[]) =>
    list.map(({ name, value }) => `${name}=${value}`).join("&");
  return [
    direction === "newly-allowed" ? "+" : "-",
    paths.map((each) => [path(each.path), ...each.except.map((segments) => `!${path(segments)}`)].join(" ")).join(" | "),
    ...(methods.kind === "any" ? [] : [`${methods.kind} ${methods.methods.join("+")}`]),
    ...(query.kind === "any"
      ? []
      : query.kind === "repeated"
        ? [`repeated ${query.name}`]
        : [`?${pairs(query.with)}${query.unless.map((each) => ` unless ${pairs(each)}`).join("")}`]),
    who.kind === "callers" ? who.selectors.map((selectors) => Object.values(selectors).join("&")).join(" or ") : who.kind,
  ].join(" ; ");
}

const ALICE = { userName: "alice" };
const BOB = { userName: "bob" };
const METADATA = { path: "/metadata", to: [ALICE] };

describe("policy diff", () => {
  test.each<[string, unknown, unknown, readonly string[]]>([
    ["nothing", rulesOf("deny", [METADATA]), rulesOf("deny", [METADATA]), []],
    ["another id and mode", rulesOf("deny", [METADATA]), { ...rulesOf("deny", [METADATA]), id: "y", mode: "audit" }, []],
    [
      "one privilege split in two methods",
      rulesOf("deny", [{ ...METADATA, method: ["GET", "HEAD"] }]),
      rulesOf("deny", [
        { ...METADATA, method: ["GET"] },
        { ...METADATA, method: ["HEAD"] },
      ]),
      [],
    ],
    [
      "a privilege below one that has the same callers",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [METADATA, { path: "/metadata/instance", to: [ALICE] }]),
      [],
    ],
    [
      "an identity that nobody can be",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ ...METADATA, to: [ALICE, { exePath: "bin/curl" }, { exePath: "/bin/curl", processName: "wget" }] }]),
      [],
    ],
    ["one more caller", rulesOf("deny", [METADATA]), rulesOf("deny", [{ ...METADATA, to: [ALICE, BOB] }]), ["+ ; /metadata ; bob"]],
    [
      "another caller",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ ...METADATA, to: [BOB] }]),
      ["+ ; /metadata ; bob", "- ; /metadata ; alice"],
    ],
    [
      "a narrower caller",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ ...METADATA, to: [{ ...ALICE, exePath: "/usr/bin/curl" }] }]),
      ["- ; /metadata ; alice"],
    ],
    [
      "a wider caller",
      rulesOf("deny", [{ ...METADATA, to: [{ ...ALICE, groupName: "dev" }] }]),
      rulesOf("deny", [METADATA]),
      ["+ ; /metadata ; alice"],
    ],
    [
      "a broader identity beside a narrow one is told once",
      rulesOf("deny", []),
      rulesOf("deny", [{ path: "/m", to: [{ ...ALICE, groupName: "dev" }, ALICE] }]),
      ["+ ; /m ; alice"],
    ],
    [
      "one hash more",
      rulesOf("deny", [{ path: "/m", to: [{ exeSha256: ["a".repeat(64)] }] }]),
      rulesOf("deny", [{ path: "/m", to: [{ exeSha256: ["a".repeat(64), "b".repeat(64)] }] }]),
      [`+ ; /m ; ${"b".repeat(64)}`],
    ],
    ["default allow", rulesOf("deny", [METADATA]), rulesOf("allow", [METADATA]), ["+ ; / !/metadata ; everyone"]],
    ["default deny", rulesOf("allow", [METADATA]), rulesOf("deny", [METADATA]), ["- ; / !/metadata ; everyone"]],
    ["a restriction under default allow", rulesOf("allow", []), rulesOf("allow", [METADATA]), ["- ; /metadata ; everyone"]],
    ["a restriction taken off", rulesOf("allow", [METADATA]), rulesOf("allow", []), ["+ ; /metadata ; everyone"]],
    [
      "a hole in a grant",
      rulesOf("deny", [METADATA, { path: "/metadata/identity", to: [BOB] }]),
      rulesOf("deny", [METADATA]),
      ["- ; /metadata/identity ; bob"],
    ],
    [
      "a longer path",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ path: "/metadata/instance", to: [ALICE] }]),
      ["- ; /metadata !/metadata/instance ; alice"],
    ],
    [
      "fewer methods",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ ...METADATA, method: ["GET", "HEAD"] }]),
      ["- ; /metadata ; except GET+HEAD ; alice"],
    ],
    [
      "one method more",
      rulesOf("deny", [{ ...METADATA, method: ["GET"] }]),
      rulesOf("deny", [{ ...METADATA, method: ["GET", "PUT"] }]),
      ["+ ; /metadata ; only PUT ; alice"],
    ],
    [
      "a parameter wanted",
      rulesOf("deny", [METADATA]),
      rulesOf("deny", [{ ...METADATA, query: { resource: "vault" } }]),
      ["- ; /metadata ; ? unless resource=vault ; alice", "- ; /metadata ; repeated resource ; whoever"],
    ],
    [
      "two restrictions that meet only in one request",
      rulesOf("allow", [{ path: "/m", query: { y: "1" }, to: [BOB] }]),
      rulesOf("allow", [
        { path: "/m", query: { y: "1" }, to: [BOB] },
        { path: "/m", query: { x: "1" }, to: [ALICE] },
      ]),
      ["- ; /m ; ?x=1 unless y=1 ; everyone", "+ ; /m ; ?x=1&y=1 ; alice", "- ; /m ; repeated x ; whoever"],
    ],
    [
      "a unit, told apart from its slice",
      rulesOf("deny", [{ path: "/m", to: [{ systemdUnit: "nginx.service" }, { cgroupPath: "/system.slice" }] }]),
      rulesOf("deny", [{ path: "/m", to: [{ cgroupPath: "/system.slice" }] }]),
      ["- ; /m ; nginx.service"],
    ],
    [
      "a process name, told apart from programs of that name",
      rulesOf("deny", [{ path: "/m", to: [{ processName: "curl" }, { exePath: "/usr/bin/curl" }] }]),
      rulesOf("deny", [{ path: "/m", to: [{ exePath: "/usr/bin/curl" }] }]),
      ["- ; /m ; curl"],
    ],
  ])("tells of %s", (_, before, after, wanted) => {
    const { diff } = diffOf(before, after);
    expect(diff.changes.map(brief).sort()).toEqual([...wanted].sort());
    expect(diff.omissions).toEqual([]);
  });

  test("asks as root where only root gets to the rules", () => {
    const { diff } = diffOf(rulesOf("deny", []), rulesOf("deny", [{ path: "/machine", to: [{ userName: "root" }] }]), "wireserver");
    expect(diff.changes.map(({ witness }) => [witness.caller.claims.runAsElevated, witness.caller.claims.userName])).toEqual([
      [true, "root"],
    ]);
  });

  test("says when a limit was reached", () => {
    const many = Array.from({ length: 12 }, (_, i) => ({ path: "/m", query: { [`k${i}`]: "1" }, to: [{ userName: `u${i}` }] }));
    const before = rulesOf("deny", []);
    const small = diffOf(before, rulesOf("deny", many), "imds", { combinations: 50, decisions: 100_000 });
    expect(small.diff.omissions).toEqual(["more than 50 combinations of parameters on /m: the larger ones were left out"]);
    expect(small.lines.join("\n")).toContain("NOT COMPLETE");
    const hasty = diffOf(before, rulesOf("deny", many), "imds", { combinations: 50, decisions: 10 });
    expect(hasty.diff.omissions.some((text) => text.startsWith("the limit of 10 decisions"))).toBe(true);
  });

  test("compares large rule sets that hardly differ without asking about each rule", () => {
    const many = Array.from({ length: 3_000 }, (_, i) => ({ path: `/metadata/p${i}`, to: [{ userName: `u${i}` }] }));
    const changed = many.map((each, i) => (i === 1234 ? { ...each, to: [BOB] } : each));
    const { diff } = diffOf(rulesOf("deny", many), rulesOf("deny", changed));
    expect(diff.changes.map(brief)).toEqual(["+ ; /metadata/p1234 ; bob", "- ; /metadata/p1234 ; u1234"]);
    expect(diff.explored.decisions).toBeLessThan(10);
  });

  test("writes no line that is wider than the terminal or moves its cursor", () => {
    const odd = { userName: "al\u001b[2Jice\u202e", groupName: "g".repeat(10) };
    const list = Array.from({ length: 20 }, (_, i) => ({ path: `/metadata/part${i}`, query: { api: `${i}` }, to: [odd, BOB] }));
    const { lines } = diffOf(rulesOf("deny", []), rulesOf("deny", list));
    expect(lines.filter((line) => line.length > LINE_COLUMNS)).toEqual([]);
    expect(lines.filter((line) => /[\u0000-\u001f\u202e]/.test(line))).toEqual([]);
    expect(lines.join("\n")).toContain("\\u001b[2J");
  });
});
