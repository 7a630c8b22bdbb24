// What the members of rule files mean that the platform's own format does not have: methods of privileges, hashes of executables,
// units and cgroups of identities.

import { describe, expect, test } from "bun:test";
import type { Claims } from "../../proxy/core/request/caller.ts";
import { METHODS, type Method } from "../../proxy/core/request/canonical-request.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy, policyIdOf } from "../support/policy-build.ts";
import type { PlainIdentity } from "../support/rule-evaluator.ts";

interface Question {
  readonly method?: Method;
  readonly path?: readonly string[];
  readonly query?: readonly (readonly [string, string])[];
  readonly claims?: Partial<Claims>;
}

function compiled(privileges: readonly unknown[], identities: readonly PlainIdentity[], defaultAccess: string): Uint8Array {
  const rules = {
    privileges,
    roles: [{ name: "r", privileges: privileges.map((privilege) => Object(privilege).name) }],
    identities,
    roleAssignments: [{ role: "r", identities: identities.map(({ name }) => name) }],
  };
  const parsed = parseRuleItem({ defaultAccess, mode: "enforce", id: "r1", rules });
  if (!parsed.ok) throw new Error(renderRuleError(parsed.error));
  const component = compilePolicy(parsed.value, "imds");
  if (!component.ok) throw new Error(component.error.kind);
  return component.value;
}

function asking(privileges: readonly unknown[], identities: readonly PlainIdentity[], defaultAccess = "deny") {
  const policy = loadPolicy(compiled(privileges, identities, defaultAccess));
  if (!policy.ok) throw new Error(policy.error.kind);
  return ({ method = "GET", path = ["a"], query = [], claims = { userName: "alice" } }: Question): string => {
    const pairs = query.map(([name, value]) => ({ name, value }));
    const request = { endpoint: "imds", method, segments: path, trailingSlash: false, query: pairs } as const;
    const { reason, rule } = policy.value.evaluate(request, claimsOf(claims));
    return rule === "" ? reason : `${reason} ${rule}`;
  };
}

const alice = { name: "alice", userName: "alice" };
const stranger = { userName: "bob" };

describe("a privilege with methods", () => {
  const ask = asking([{ name: "read", path: "/a", method: ["GET", "head"] }], [alice], "allow");

  test.each(METHODS)("covers %s only when it is listed", (method) => {
    const listed = method === "GET" || method === "HEAD";
    expect(ask({ method })).toBe(listed ? "granted read/alice" : "default-allow");
    // Under default allow it restricts these methods and no other.
    expect(ask({ method, claims: stranger })).toBe(listed ? "not-granted read" : "default-allow");
  });

  test("stands beside one for other methods and one for all", () => {
    const both = asking(
      [
        { name: "read", path: "/a", method: ["GET"] },
        { name: "write", path: "/a", method: ["PUT", "POST"] },
        { name: "all below", path: "/a/b" },
      ],
      [alice],
    );
    expect(METHODS.map((method) => both({ method }))).toEqual([
      "granted read/alice",
      "default-deny",
      "granted write/alice",
      "granted write/alice",
      "default-deny",
      "default-deny",
      "default-deny",
    ]);
    expect(both({ method: "DELETE", path: ["a", "b"] })).toBe("granted all below/alice");
  });

  test("wants its query parameters as well", () => {
    const narrow = asking([{ name: "n", path: "/a", method: ["PUT"], queryParameters: { k: "1" } }], [alice]);
    expect(narrow({ method: "PUT", query: [["k", "1"]] })).toBe("granted n/alice");
    expect(narrow({ method: "GET", query: [["k", "1"]] })).toBe("default-deny");
    expect(narrow({ method: "PUT", query: [["k", "2"]] })).toBe("default-deny");
    // The parameters of a method are nobody's business under another.
    const twice = [
      ["k", "1"],
      ["k", "2"],
    ] as const;
    expect(narrow({ method: "PUT", query: twice })).toBe("ambiguous-query n");
    expect(narrow({ method: "GET", query: twice })).toBe("default-deny");
  });

  test("is not met by a query parameter that spells the method", () => {
    const only = asking([{ name: "p", path: "/a", method: ["PUT"] }], [alice]);
    for (const name of ["", "method", "put"]) expect(only({ query: [[name, "put"]] })).toBe("default-deny");
  });

  test("with all methods is one without", () => {
    const all = asking([{ name: "p", path: "/a", method: [...METHODS] }], [alice], "allow");
    for (const method of METHODS) expect(all({ method, claims: stranger })).toBe("not-granted p");
  });
});

describe("an executable's hash", () => {
  const [good, other, bad] = ["11".repeat(32), "ab".repeat(32), "33".repeat(32)] as const;
  const ask = asking([{ name: "p", path: "/a" }], [{ name: "tool", exeSha256: [good, other.toUpperCase()], userName: "alice" }]);

  test.each<[string, Partial<Claims>, string]>([
    ["the first", { userName: "alice", executableSha256: good }, "granted p/tool"],
    ["the second", { userName: "alice", executableSha256: other }, "granted p/tool"],
    ["another", { userName: "alice", executableSha256: bad }, "not-granted p"],
    ["an unknown", { userName: "alice" }, "not-granted p"],
    ["an empty", { userName: "alice", executableSha256: "" }, "not-granted p"],
    ["the same with another user", { userName: "bob", executableSha256: good }, "not-granted p"],
    ["the same in capitals, which is no claim we make", { userName: "alice", executableSha256: other.toUpperCase() }, "not-granted p"],
  ])("%s", (_, claims, want) => {
    expect(ask({ claims })).toBe(want);
  });
});

describe("a unit", () => {
  const ask = asking([{ name: "p", path: "/a" }], [{ name: "web", systemdUnit: "nginx.service" }]);
  const slice = asking([{ name: "p", path: "/a" }], [{ name: "system", systemdUnit: "system.slice" }]);

  test.each<[string | undefined, boolean]>([
    ["/system.slice/nginx.service", true],
    ["/nginx.service", true],
    ["/system.slice/system-nginx.slice/nginx.service", true],
    ["/system.slice/nginx.service/worker/1", true],
    ["/system.slice/nginx.service2", false],
    ["/system.slice/xnginx.service", false],
    ["/system.slice/Nginx.service", false],
    ["/system.slice", false],
    ["/", false],
    ["", false],
    [undefined, false],
    ["nginx.service", false],
    ["system.slice/nginx.service", false],
    ["//nginx.service", false],
    ["/system.slice/../nginx.service", false],
    ["/./nginx.service", false],
  ])("nginx.service for %p: %p", (cgroupPath, want) => {
    expect(ask({ claims: { cgroupPath } })).toBe(want ? "granted p/web" : "not-granted p");
  });

  test.each([
    ["a user's own service manager", "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service"],
    ["a service that may make cgroups", "/system.slice/runner.service/nginx.service"],
    ["a container", "/system.slice/docker-1234.scope/system.slice/nginx.service"],
    ["a container engine that does not speak to systemd", "/docker/1234/nginx.service"],
    ["a folder named like a slice's ending", "/.slice/nginx.service"],
  ])("T-67: is not believed from below %s", (_, cgroupPath) => {
    expect(ask({ claims: { cgroupPath } })).toBe("not-granted p");
  });

  test("may be a slice around the caller", () => {
    expect(slice({ claims: { cgroupPath: "/system.slice/nginx.service" } })).toBe("granted p/system");
    expect(slice({ claims: { cgroupPath: "/user.slice/x.service/system.slice" } })).toBe("not-granted p");
  });
});

describe("a cgroup", () => {
  const ask = asking([{ name: "p", path: "/a" }], [{ name: "pod", cgroupPath: "/kubepods/pod1/" }]);

  test.each<[string | undefined, boolean]>([
    ["/kubepods/pod1", true],
    ["/kubepods/pod1/c", true],
    ["/kubepods/pod1/c/d", true],
    ["/kubepods", false],
    ["/kubepods/pod", false],
    ["/kubepods/pod10", false],
    ["/x/kubepods/pod1", false],
    ["/kubepods/pod1x/c", false],
    ["kubepods/pod1", false],
    ["//kubepods/pod1", false],
    ["/kubepods//pod1", false],
    ["/kubepods/./pod1", false],
    ["/kubepods/../kubepods/pod1", false],
    [undefined, false],
  ])("/kubepods/pod1 for %p: %p", (cgroupPath, want) => {
    expect(ask({ claims: { cgroupPath } })).toBe(want ? "granted p/pod" : "not-granted p");
  });

  test("of any depth is walked in one pass", () => {
    const deep = asking([{ name: "p", path: "/a" }], [{ name: "deep", cgroupPath: `/kubepods${"/x".repeat(1999)}` }]);
    expect(deep({ claims: { cgroupPath: `/kubepods${"/x".repeat(2000)}` } })).toBe("granted p/deep");
    expect(deep({ claims: { cgroupPath: `/kubepods${"/x".repeat(1998)}` } })).toBe("not-granted p");
  });
});

test("selectors stand together: all must fit", () => {
  const whole = { userName: "alice", cgroupPath: "/system.slice/a.service", executableSha256: "11".repeat(32) };
  const ask = asking(
    [{ name: "p", path: "/a" }],
    [{ name: "i", userName: "alice", systemdUnit: "a.service", cgroupPath: "/system.slice", exeSha256: "11".repeat(32) }],
  );
  expect(ask({ claims: whole })).toBe("granted p/i");
  for (const missing of Object.keys(whole)) expect(ask({ claims: { ...whole, [missing]: undefined } })).toBe("not-granted p");
});

test("the same rules give the same component, whatever the spelling of methods and hashes", () => {
  const hash = "ab".repeat(32);
  const ids = [
    compiled([{ name: "p", path: "/a", method: ["get", "PUT"] }], [{ name: "i", exeSha256: hash }], "deny"),
    compiled([{ name: "p", path: "/a", method: ["PUT", "GET"] }], [{ name: "i", exeSha256: [hash.toUpperCase()] }], "deny"),
  ].map(policyIdOf);
  expect(ids[0]).toBe(ids[1]);
});
