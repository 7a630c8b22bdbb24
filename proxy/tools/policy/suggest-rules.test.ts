import { describe, expect, test } from "bun:test";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { parseRuleItem } from "../../core/rules/rules.ts";
import type { LoggedRequest } from "../log-lines.ts";
import { makeObserver, OBSERVER_LIMITS, type Observed, type UncoveredReason } from "./observed-requests.ts";
import { endpointsDecidedBy, type Suggestion, type SuggestOptions, suggestRules } from "./suggest-rules.ts";

function logged(known: Partial<LoggedRequest>): LoggedRequest {
  return {
    outcome: "forwarded",
    endpoint: "imds",
    method: "GET",
    url: "/metadata/instance?api-version=2021-02-01",
    status: 200,
    reason: "default-deny",
    wouldDeny: "default-deny",
    rule: "",
    ruleSetId: "rules-1",
    userName: "alice",
    userGroups: [],
    exePath: "/usr/bin/curl",
    elevated: false,
    processId: 1,
    atMs: undefined,
    repeated: 1,
    unlisted: 0,
    ...known,
  };
}

function observe(requests: readonly Partial<LoggedRequest>[], endpoint: Endpoint = "imds", includeDenied = false): Observed {
  const observer = makeObserver(endpointsDecidedBy(endpoint), { includeDenied });
  for (const known of requests) observer.add(logged(known));
  return observer.result();
}

function suggest(
  requests: readonly Partial<LoggedRequest>[],
  options: Partial<SuggestOptions> & { includeDenied?: boolean } = {},
): Suggestion {
  const { endpoint = "imds", includeDenied = false } = options;
  return suggestRules(observe(requests, endpoint, includeDenied), { endpoint, defaultAccess: "deny", minCount: 1, ...options });
}

const TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=";
const reasons = ({ uncovered }: Suggestion) => uncovered.map(({ why, count }) => [why, count]);
const paths = ({ item }: Suggestion) => item.rules.privileges.map(({ path }) => path);

describe("suggestRules", () => {
  test("gives an item as the platform sends it", () => {
    const { item } = suggest([{}, { userName: "svc", exePath: "/opt/svc", url: `${TOKEN}https%3A%2F%2Fvault.azure.net` }]);
    expect(item).toEqual({
      id: expect.stringMatching(/^suggested-imds-[0-9a-f]{12}$/),
      mode: "audit",
      defaultAccess: "deny",
      rules: {
        privileges: [
          {
            name: "identity-oauth2-token-vault.azure.net",
            path: "/metadata/identity/oauth2/token",
            queryParameters: { resource: "https://vault.azure.net" },
          },
          { name: "instance", path: "/metadata/instance" },
        ],
        roles: [
          { name: "read-instance", privileges: ["instance"] },
          { name: "read-identity-oauth2-token-vault.azure.net", privileges: ["identity-oauth2-token-vault.azure.net"] },
        ],
        identities: [
          { name: "alice-curl", userName: "alice", exePath: "/usr/bin/curl" },
          { name: "svc-svc", userName: "svc", exePath: "/opt/svc" },
        ],
        roleAssignments: [
          { role: "read-instance", identities: ["alice-curl"] },
          { role: "read-identity-oauth2-token-vault.azure.net", identities: ["svc-svc"] },
        ],
      },
    });
    expect(parseRuleItem(item)).toMatchObject({ ok: true, value: { warnings: [] } });
  });

  test("counts what lines stand for, and tells of requests that have no line", () => {
    const observed = observe([{ repeated: 240 }, { unlisted: 7 }]);
    expect([observed.requests, observed.callers[0]?.count]).toEqual([248, 241]);
    expect(observed.uncovered).toMatchObject([{ userName: "alice", why: "unlisted", count: 7 }]);
  });

  test("the order of lines does not matter", () => {
    const requests = [{}, { userName: "bob" }, { url: "/metadata/attested/document" }, { userName: "bob", exePath: "/bin/sh" }];
    expect(suggest(requests).item).toEqual(suggest(requests.toReversed()).item);
  });

  test("callers with the same needs share a role", () => {
    const { item } = suggest([{}, { userName: "bob" }]);
    expect(item.rules.roleAssignments).toEqual([{ role: "read-instance", identities: ["alice-curl", "bob-curl"] }]);
  });

  test("what a user's own identity grants is not given to its programs again", () => {
    const suggestion = suggest([{ exePath: "/usr/bin/python3" }, {}, { exePath: "/usr/bin/wget", url: "/metadata/scheduledevents" }]);
    expect(suggestion.item.rules.identities).toEqual([
      { name: "alice", userName: "alice" },
      { name: "alice-wget", userName: "alice", exePath: "/usr/bin/wget" },
    ]);
    expect(suggestion.coveredByUser.map(({ exePath }) => exePath)).toEqual(["/usr/bin/curl"]);
  });

  test("names stay apart, whatever users and programs are called", () => {
    const { item } = suggest([
      { userName: "a-b", exePath: "/x/c" },
      { userName: "a", exePath: "/x/b-c" },
      { userName: "\u001b[31m", exePath: "/x/\u001b" },
      { userName: "日本", exePath: "/x/日本" },
      { userName: "+", exePath: "/+" },
    ]);
    expect(new Set(item.rules.identities.map(({ name }) => name)).size).toBe(5);
    expect(parseRuleItem(item)).toMatchObject({ ok: true, value: { warnings: [] } });
  });

  test("paths and values that rules would decode are written escaped", () => {
    const { item } = suggest([{ url: "/metadata/a%2525b%20c?resource=x%2By%2525" }]);
    expect(item.rules.privileges).toMatchObject([{ path: "/metadata/a%2525b%20c", queryParameters: { resource: "x%2By%2525" } }]);
    expect(parseRuleItem(item)).toMatchObject({
      ok: true,
      value: { privileges: [{ segments: ["metadata", "a%25b c"], query: [{ name: "resource", value: "x+y%25" }] }] },
    });
  });

  test("a probe without the parameter does not open it", () => {
    const probed = suggest([{ url: `${TOKEN}vault` }, { url: "/metadata/identity/oauth2/token", status: 400 }]);
    expect(probed.item.rules.privileges).toMatchObject([{ queryParameters: { resource: "vault" } }]);
    expect(reasons(probed)).toEqual([["never-served", 1]]);
  });

  test.each([200, undefined])("but what the host serves without it (status %p) is allowed", (status) => {
    const { item, uncovered } = suggest([{ url: `${TOKEN}vault` }, { url: "/metadata/identity/oauth2/token", status }]);
    expect(item.rules.privileges).toEqual([{ name: "identity-oauth2-token", path: "/metadata/identity/oauth2/token" }]);
    expect(uncovered).toEqual([]);
  });

  test("WireServer's rules hold for HostGAPlugin too", () => {
    const root = { userName: "root", exePath: "/usr/sbin/agent", elevated: true };
    const requests: Partial<LoggedRequest>[] = [
      { ...root, endpoint: "wireserver", url: "/machine/?comp=goalstate" },
      { ...root, endpoint: "hostga", url: "/vmSettings" },
      { ...root, endpoint: "hostga", method: "PUT", url: "/vmAgentLog" },
    ];
    expect(paths(suggest(requests, { endpoint: "wireserver" }))).toEqual(["/machine", "/vmsettings"]);
    expect(paths(suggest(requests, { endpoint: "hostga" }))).toEqual(["/vmsettings"]);
    expect(observe(requests, "wireserver")).toMatchObject({ requests: 3, exempt: 1, elsewhere: 0 });
  });

  test.each<[string, Partial<LoggedRequest>, UncoveredReason]>([
    ["nobody known", { userName: undefined }, "unknown-user"],
    ["a name with unreadable bytes", { userName: "\ufffd" }, "unclear-user"],
    ["the root path", { url: "/" }, "root-path"],
    ["a target with two readings", { url: "/%zz" }, "no-clear-reading"],
    ["a target that was cut", { url: `/${"a".repeat(8200)}…` }, "cut-in-log"],
    ["two values", { url: "/t/u?resource=a&resource=b" }, "contradicting-parameters"],
    ["denied under enforce", { outcome: "denied", status: 403, wouldDeny: undefined }, "denied"],
    ["refused for its form", { outcome: "denied", status: 400, wouldDeny: undefined }, "refused-form"],
  ])("%s is told, not allowed", (_, known, why) => {
    const suggestion = suggest([known]);
    expect(reasons(suggestion)).toEqual([[why, 1]]);
    expect(suggestion.item.rules.privileges).toEqual([]);
  });

  test("callers that are not root are told to have no way to WireServer", () => {
    expect(reasons(suggest([{ endpoint: "wireserver", url: "/machine?comp=goalstate" }], { endpoint: "wireserver" }))).toEqual([
      ["root-only", 1],
    ]);
  });

  test("what was denied under enforce is taken when asked for", () => {
    const denied = { outcome: "denied", status: 403, wouldDeny: undefined } as const;
    expect(paths(suggest([denied], { includeDenied: true }))).toEqual(["/metadata/instance"]);
  });

  test("rare requests are left out when asked for", () => {
    const suggestion = suggest([{}, {}, { url: "/metadata/scheduledevents" }], { minCount: 2 });
    expect(paths(suggestion)).toEqual(["/metadata/instance"]);
    expect(reasons(suggestion)).toEqual([["rare", 1]]);
  });
});

describe("makeObserver", () => {
  test("keeps to its bounds and counts what does not fit; other users are not affected", () => {
    const observer = makeObserver(["imds"], { includeDenied: false });
    const total = 20_000;
    for (let i = 0; i < total; i++) observer.add(logged({ userName: "mallory", exePath: `/tmp/p${i}x`, url: `/metadata/y${i}z` }));
    observer.add(logged({}));
    const { callers, uncovered, requests } = observer.result();
    expect(callers.length).toBe(OBSERVER_LIMITS.callersPerUser + 1);
    expect(callers.some(({ userName }) => userName === "alice")).toBe(true);
    expect(requests).toBe(total + 1);
    expect(uncovered.length).toBeLessThanOrEqual(OBSERVER_LIMITS.uncovered + 1);
    expect(uncovered.reduce((sum, { count }) => sum + count, 0)).toBe(total - OBSERVER_LIMITS.callersPerUser);
  });

  test("requests that differ in variable parts only are one shape, with a few of them as examples", () => {
    const { callers } = observe(Array.from({ length: 500 }, (_, i) => ({ url: `/metadata/instance/disks/${i}` })));
    expect(callers[0]?.shapes).toHaveLength(1);
    expect(callers[0]?.shapes[0]).toMatchObject({ count: 500, served: 500 });
    expect(callers[0]?.shapes[0]?.requests).toHaveLength(OBSERVER_LIMITS.requestsPerShape);
  });
});
