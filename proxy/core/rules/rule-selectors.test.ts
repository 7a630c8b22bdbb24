import { describe, expect, test } from "bun:test";
import { METHODS } from "../request/canonical-request.ts";
import { type Identity, type Privilege, parseRuleItem, renderRuleError, usesExecutableHashes } from "./rules.ts";

const HASH = "0123456789abcdef".repeat(4);

function parse(privilege: unknown, identity: unknown) {
  const rules = { privileges: [privilege], roles: [], identities: [identity], roleAssignments: [] };
  return parseRuleItem({ defaultAccess: "deny", mode: "enforce", id: "r1", rules });
}

function parsed(privilege: unknown, identity: unknown): { readonly privilege: Privilege; readonly identity: Identity } {
  const result = parse(privilege, identity);
  if (!result.ok) throw new Error(renderRuleError(result.error));
  const { privileges, identities } = result.value;
  if (privileges[0] === undefined || identities[0] === undefined) throw new Error("nothing parsed");
  return { privilege: privileges[0], identity: identities[0] };
}

const withMethod = (method: unknown) => parse({ name: "p", path: "/x", method }, { name: "i", userName: "alice" });
const withSelector = (selector: unknown) => parse({ name: "p", path: "/x" }, { name: "i", ...Object(selector) });
const identityOf = (selector: unknown) => parsed({ name: "p", path: "/x" }, { name: "i", ...Object(selector) }).identity;

describe("a privilege's methods", () => {
  test.each([
    [["GET"], ["GET"]],
    [
      ["put", "Get"],
      ["GET", "PUT"],
    ],
    [[...METHODS].reverse(), [...METHODS]],
    [null, undefined],
    [undefined, undefined],
  ])("%p are %p", (given, methods) => {
    expect(parsed({ name: "p", path: "/x", method: given }, { name: "i", userName: "alice" }).privilege.methods).toEqual(
      methods as Privilege["methods"],
    );
  });

  test.each<[string, unknown, string, string]>([
    ["an empty list", [], "empty-list", "/method"],
    ["one word without a list", "GET", "wrong-type", "/method"],
    ["an object", {}, "wrong-type", "/method"],
    ["an unknown word", ["GET", "TRACE"], "unknown-word", "/method/1"],
    ["any", ["*"], "unknown-word", "/method/0"],
    ["an empty word", [""], "unknown-word", "/method/0"],
    ["a padded word", ["GET "], "unknown-word", "/method/0"],
    ["a word that folds in Unicode only", ["PO\u017fT"], "unknown-word", "/method/0"],
    ["a number", [1], "wrong-type", "/method/0"],
    ["null", [null], "wrong-type", "/method/0"],
    ["a repeated word", ["GET", "PUT", "get"], "repeated", "/method/2"],
    ["more than there are", Array(20_000).fill("GET"), "too-many", "/method"],
  ])("refuse %s", (_, method, kind, pointer) => {
    expect(withMethod(method)).toMatchObject({ ok: false, error: { kind, pointer: `/rules/privileges/0${pointer}` } });
  });
});

describe("an identity's selectors", () => {
  test("each is enough by itself", () => {
    expect(identityOf({ exeSha256: HASH })).toMatchObject({ exeSha256: [HASH], userName: undefined });
    expect(identityOf({ systemdUnit: "nginx.service" })).toMatchObject({ systemdUnit: "nginx.service", exeSha256: undefined });
    expect(identityOf({ cgroupPath: "/a" })).toMatchObject({ cgroupPath: "/a", systemdUnit: undefined });
  });

  test("hashes in any letter case, each once, in one order", () => {
    const other = "f".repeat(64);
    expect(identityOf({ exeSha256: [other.toUpperCase(), HASH, other] }).exeSha256).toEqual([HASH, other]);
    expect(identityOf({ exeSha256: HASH.toUpperCase() }).exeSha256).toEqual([HASH]);
  });

  test.each(["nginx.service", "user@1000.service", "system.slice", "session-1.scope", "a\\x2db.service", "_cpu.service", "-.slice"])(
    "unit %p as it is",
    (systemdUnit) => {
      expect(identityOf({ systemdUnit }).systemdUnit).toBe(systemdUnit);
    },
  );

  test.each([
    ["/system.slice", "/system.slice"],
    ["/system.slice/", "/system.slice"],
    ["//a///b//", "/a/b"],
    ["/a b/é", "/a b/é"],
    ["/..a/...", "/..a/..."],
  ])("cgroup %p as %p", (cgroupPath, want) => {
    expect(identityOf({ cgroupPath }).cgroupPath).toBe(want);
  });

  test.each<[string, unknown, string, string]>([
    ["an empty hash", { exeSha256: "" }, "unclear-hash", "/exeSha256"],
    ["a short hash", { exeSha256: HASH.slice(1) }, "unclear-hash", "/exeSha256"],
    ["a long hash", { exeSha256: `${HASH}0` }, "unclear-hash", "/exeSha256"],
    ["a hash with a prefix", { exeSha256: `sha256:${HASH}` }, "unclear-hash", "/exeSha256"],
    ["a hash with a letter too far", { exeSha256: `g${HASH.slice(1)}` }, "unclear-hash", "/exeSha256"],
    ["a hash with a line break", { exeSha256: `${HASH}\n` }, "unclear-hash", "/exeSha256"],
    ["an empty list of hashes", { exeSha256: [] }, "empty-list", "/exeSha256"],
    ["a list with a bad hash", { exeSha256: [HASH, "x"] }, "unclear-hash", "/exeSha256/1"],
    ["a list with null", { exeSha256: [null] }, "wrong-type", "/exeSha256/0"],
    ["a number as hash", { exeSha256: 1 }, "wrong-type", "/exeSha256"],
    ["too many hashes", { exeSha256: Array(33).fill(HASH) }, "too-many", "/exeSha256"],
    ["an empty unit", { systemdUnit: "" }, "empty-selector", "/systemdUnit"],
    ["a unit without type", { systemdUnit: "nginx" }, "unclear-unit", "/systemdUnit"],
    ["a unit that holds no process", { systemdUnit: "daily.timer" }, "unclear-unit", "/systemdUnit"],
    ["a type without unit", { systemdUnit: ".service" }, "unclear-unit", "/systemdUnit"],
    ["a path as unit", { systemdUnit: "system.slice/nginx.service" }, "unclear-unit", "/systemdUnit"],
    ["a pattern as unit", { systemdUnit: "nginx*.service" }, "unclear-unit", "/systemdUnit"],
    ["a unit with a blank", { systemdUnit: "nginx.service " }, "unclear-unit", "/systemdUnit"],
    ["a very long unit", { systemdUnit: `${"x".repeat(250)}.service` }, "unclear-unit", "/systemdUnit"],
    ["a list of units", { systemdUnit: ["nginx.service"] }, "wrong-type", "/systemdUnit"],
    ["an empty cgroup", { cgroupPath: "" }, "empty-selector", "/cgroupPath"],
    ["the root cgroup", { cgroupPath: "/" }, "unclear-cgroup", "/cgroupPath"],
    ["the root cgroup in another spelling", { cgroupPath: "///" }, "unclear-cgroup", "/cgroupPath"],
    ["a relative cgroup", { cgroupPath: "system.slice" }, "unclear-cgroup", "/cgroupPath"],
    ["a cgroup with dot-dot", { cgroupPath: "/a/../b" }, "unclear-cgroup", "/cgroupPath"],
    ["a cgroup with dot", { cgroupPath: "/a/./b" }, "unclear-cgroup", "/cgroupPath"],
    ["a cgroup with NUL", { cgroupPath: "/a\0" }, "unclear-text", "/cgroupPath"],
    ["nothing but nulls", { exeSha256: null, systemdUnit: null, cgroupPath: null }, "no-selector", ""],
  ])("refuse %s", (_, selector, kind, pointer) => {
    expect(withSelector(selector)).toMatchObject({ ok: false, error: { kind, pointer: `/rules/identities/0${pointer}` } });
  });
});

describe("usesExecutableHashes", () => {
  test.each([
    [{ exeSha256: HASH }, true],
    [{ exePath: "/bin/a", systemdUnit: "a.service" }, false],
  ])("of %p is %p", (selector, want) => {
    const rules = withSelector(selector);
    expect(rules.ok && usesExecutableHashes(rules.value)).toBe(want);
  });
});
