import { describe, expect, test } from "bun:test";
import vectors from "../../test/vectors/local-rules.json";
import { mergeLocalRules, parseLocalRules, readRuleSwitch } from "./local-rules.ts";

/** Files the reference takes and we refuse: the padded word ends up as deny there, the blank selector as a value nobody has. */
const REFUSED_BY_US = ["L08", "L36"];

const bytes = (text: string) => Buffer.from(text, "utf8");

function errorOf(text: string | Uint8Array): string {
  const found = parseLocalRules(typeof text === "string" ? bytes(text) : text);
  return found.ok ? "accepted" : found.error;
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
    if (local.ok) expect(mergeLocalRules(remote, found.effectiveId, local.value)).toEqual(effective as never);
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

  test("half a rule set of the platform is not made whole by a local file", () => {
    const local = parseLocalRules(bytes('{"rules": {"privileges": []}}'));
    expect(local.ok && mergeLocalRules({ id: "x", rules: { privileges: [] } }, "x", local.value).rules).toEqual({ privileges: [] });
  });

  test.each(["e30=", "bnVsbA==", "eyJpZCI6MX0=", "eyJ1c2VMb2NhbEZpbGVSdWxlcyI6InRydWUifQ==", "not base64", "W10="])(
    "the id %p switches nothing on",
    (id) => {
      expect(readRuleSwitch(id).useLocalFileRules).toBe(false);
    },
  );
});
