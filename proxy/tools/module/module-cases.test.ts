import { describe, expect, test } from "bun:test";
import { findDifference, parseModuleCases } from "./module-cases.ts";

const CASE = { name: "one", request: "GET /a/./B?x=1", caller: "userName=alice,cgroupPath=/system.slice/a.service", expect: "deny" };

function parseOne(changes: Readonly<Record<string, unknown>>) {
  return parseModuleCases({ cases: [{ ...CASE, ...changes }] });
}

describe("parseModuleCases", () => {
  test("reads a case with everything", () => {
    const file = parseModuleCases({
      comment: "x",
      settings: "settings.json",
      settingsCases: [{ name: "bad", settings: { text: "{" }, error: "line 1" }],
      cases: [
        {
          ...CASE,
          caller: "userName=root,cgroupPath=/system.slice/a.service",
          settings: { json: { a: 1 } },
          endpoint: "wireserver",
          headers: [
            ["User-Agent", "curl"],
            ["user-agent", "wget"],
          ],
          uptimeSeconds: 12,
          unixSeconds: 34,
          soFar: { kind: "allow", rule: "r" },
          reason: "no",
          rule: "",
          labels: { a: "b" },
        },
      ],
    });
    if (!file.ok) throw new Error(file.error.message);
    expect(file.value.settings).toEqual({ kind: "path", path: "settings.json" });
    expect(file.value.settingsCases).toEqual([{ name: "bad", settings: { kind: "text", text: "{" }, error: "line 1" }]);
    expect(file.value.cases[0]).toMatchObject({
      settings: { kind: "text", text: '{"a":1}' },
      question: {
        request: { endpoint: "wireserver", method: "GET", segments: ["a", "b"], query: [{ name: "x", value: "1" }] },
        claims: { userName: "root", runAsElevated: true, cgroupPath: "/system.slice/a.service" },
        headers: [
          { name: "user-agent", value: "curl" },
          { name: "user-agent", value: "wget" },
        ],
        uptimeSeconds: 12,
        unixSeconds: 34,
        soFar: { kind: "allow", reason: "granted", rule: "r", labels: [] },
      },
      expect: "deny",
      reason: "no",
      rule: "",
      labels: [["a", "b"]],
    });
  });

  test.each([
    [{ expects: "deny" }, "unknown member"],
    [{ expect: undefined }, 'want "expect"'],
    [{ expect: "audit" }, "one of allow, deny, abstain"],
    [{ name: "" }, 'want a text "name"'],
    [{ request: "GET /a%2" }, "CANON_PCT"],
    [{ request: "BREW /a" }, "CANON_METHOD"],
    [{ request: 5 }, 'want a text "request"'],
    [{ caller: "username=alice" }, "userName"],
    [{ caller: undefined }, "caller"],
    [{ endpoint: "metadata" }, "want one of wireserver"],
    [{ uptimeSeconds: -1 }, "whole number"],
    [{ uptimeSeconds: "1" }, "whole number"],
    [{ headers: { a: 1 } }, "an object of texts"],
    [{ labels: [["a"]] }, "pairs of texts"],
    [{ settings: { json: {}, text: "" } }, "want the path"],
    [{ settings: "" }, "want the path"],
    [{ soFar: { kind: "maybe" } }, "one of allow, deny"],
    [{ soFar: { kind: "deny", why: "x" } }, "unknown member"],
    [{ reason: 1 }, "want a text"],
    [{ fuelAtMost: 1.5 }, "whole number"],
    [{ expect: "failed", reason: "x" }, "answers nothing"],
    [{ endpoint: "wireserver" }, "not-root"],
    [{ endpoint: "wireserver", caller: "userName=root", request: "PUT /vmagentlog" }, "an upload"],
  ])("refuses %j", (changes, message) => {
    const file = parseOne(changes);
    expect(file.ok).toBe(false);
    if (!file.ok) {
      expect(file.error.message).toContain(message);
      expect(file.error.pointer).toStartWith("/cases/0");
    }
  });

  test("a module is asked after rules that allow, unless the case says otherwise", () => {
    const soFarOf = (changes: Readonly<Record<string, unknown>>) => {
      const file = parseOne(changes);
      return file.ok ? file.value.cases[0]?.question.soFar : file.error.message;
    };
    expect(soFarOf({})).toEqual({ kind: "allow", reason: "no-rules", rule: "", labels: [] });
    expect(soFarOf({ soFar: null })).toBeUndefined();
    expect(soFarOf({ soFar: { kind: "deny", reason: "not-granted" } })).toMatchObject({ kind: "deny", reason: "not-granted" });
  });

  test.each([
    [[], "want an object"],
    [{}, 'want a list "cases"'],
    [{ cases: [] }, "of 1 to"],
    [{ cases: [CASE], rules: "x" }, "unknown member"],
    [{ cases: [CASE], settingsCases: [{ name: "x" }] }, 'want "settings"'],
    [{ cases: [CASE], settingsCases: [{ name: "x", settings: "a", error: "" }] }, "not empty"],
  ])("refuses the file %j", (json, message) => {
    const file = parseModuleCases(json);
    expect(!file.ok && file.error.message).toContain(message);
  });
});

describe("findDifference", () => {
  const answer = { kind: "deny", reason: "no", rule: "r", labels: [["a", "b"]] } as const;
  const differenceOf = (changes: Readonly<Record<string, unknown>>) => {
    const file = parseOne(changes);
    const wanted = file.ok ? file.value.cases[0] : undefined;
    if (wanted === undefined) throw new Error("internal error: bad case");
    return findDifference(wanted, answer);
  };

  test("compares only what is given", () => {
    expect(differenceOf({})).toBeUndefined();
    expect(differenceOf({ reason: "no", rule: "r", labels: { a: "b" } })).toBeUndefined();
  });

  test.each([
    [{ expect: "allow" }, 'found answer "deny", want "allow"'],
    [{ reason: "yes" }, 'found reason "no", want "yes"'],
    [{ rule: "" }, 'found rule "r", want ""'],
    [{ labels: {} }, "found labels"],
  ])("tells %j", (changes, message) => {
    expect(differenceOf(changes)).toContain(message);
  });
});
