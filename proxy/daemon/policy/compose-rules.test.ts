import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { makeComposeRules } from "./compose-rules.ts";
import type { GoodFile } from "./guards.ts";

const WANTED = Buffer.from('{"id": "sig-1", "useLocalFileRules": true}').toString("base64");
const NOT_WANTED = Buffer.from('{"id": "sig-1", "useLocalFileRules": false}').toString("base64");
const FILE = '{"id": "loc", "defaultAccess": "deny"}';

function item(id: string, more: Readonly<Record<string, unknown>> = {}) {
  const json = { id, mode: "enforce", defaultAccess: "allow", ...more };
  return { id, mode: "enforce", defaultAccess: "allow", json };
}

function setUp(files: Readonly<Record<string, Result<Uint8Array | undefined, string>>>) {
  const asked: string[] = [];
  const compose = makeComposeRules("/var/lib/azure-proxy-agent/rules", (name) => {
    asked.push(name);
    return files[name] ?? ok(undefined);
  });
  return { asked, compose };
}

const content = (text: string) => ok(Buffer.from(text));
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

describe("composing a platform item with a local rule file", () => {
  test.each(["plain", NOT_WANTED, "", "aGVsbG8="])("with the id %p no file is looked at and the item stays as it is", (id) => {
    const { asked, compose } = setUp({ "IMDS_Rules.json": content(FILE) });
    expect(compose(item(id), "imds", undefined)).toEqual({ json: item(id).json, id, localFile: undefined, goodFile: undefined });
    expect(asked).toEqual([]);
  });

  test.each([
    ["imds", ["IMDS_Rules.json"]],
    ["wireserver", ["WireServer_Rules.json"]],
    // An item of HostGAPlugin's own; one that it takes over from WireServer comes as "wireserver".
    ["hostga", []],
  ] as const)("an item of %s has the files %p", (from, names) => {
    const { asked, compose } = setUp({});
    compose(item(WANTED), from as Endpoint, undefined);
    expect(asked).toEqual([...names]);
  });

  test("merges, and says which content it was", () => {
    const { compose } = setUp({ "IMDS_Rules.json": content(FILE) });
    expect(compose(item(WANTED), "imds", undefined)).toMatchObject({
      id: "sig-1-useLocalFileRules-true_loc",
      json: { id: "sig-1-useLocalFileRules-true_loc", mode: "enforce", defaultAccess: "deny" },
      localFile: { path: "/var/lib/azure-proxy-agent/rules/IMDS_Rules.json", state: "applied", sha256: sha256(FILE) },
      goodFile: { sha256: sha256(FILE) },
    });
  });

  test("a missing file leaves the platform's rules, and nothing of a file that was good", () => {
    const { compose } = setUp({});
    expect(compose(item(WANTED), "imds", goodFile(FILE))).toMatchObject({
      id: "sig-1-useLocalFileRules-true",
      json: { defaultAccess: "allow" },
      localFile: { state: "missing", sha256: "" },
      goodFile: undefined,
    });
  });

  const TAKEN = '{"rules": {"privileges": [{"name": "p", "path": "/a"}]}}';
  test.each([
    ["an untrusted file", err('cannot use local rules "F": owner is uid 1000, want root'), "owner is uid 1000"],
    ["a file that is not JSON", content("{ nope "), "line 1, column 3"],
    ["an empty file", content(""), "found the end of the text"],
    ["a file with a loose end", content('{"rules": {"roles": [{"name": "r", "privileges": ["p"]}]}}'), "undefined-privilege"],
    ["a file whose names the platform uses", content(TAKEN), '"LocalFileRules_p" in the platform\'s rules'],
  ])("T-71: %s is refused; there is nothing to compile unless a good file was there before", (_what, found, words) => {
    const { compose } = setUp({ "IMDS_Rules.json": found });
    const rules = { privileges: [{ name: "LocalFileRules_p", path: "/b" }], roles: [], identities: [], roleAssignments: [] };
    const one = item(WANTED, { rules });
    const closed = compose(one, "imds", undefined);
    expect(closed).toMatchObject({ json: undefined, localFile: { state: "refused", sha256: "" }, goodFile: undefined });
    expect(closed.localFile?.message).toContain(words);
    expect(closed.localFile?.message).toStartWith('cannot use local rules "');
    const before = goodFile(FILE);
    expect(compose(one, "imds", before)).toMatchObject({
      // The platform's rules of now, not those of the time when the file was good.
      json: { id: "sig-1-useLocalFileRules-true_loc", defaultAccess: "deny", rules },
      localFile: { state: "refused", message: closed.localFile?.message ?? "", sha256: sha256(FILE) },
      goodFile: before,
    });
  });

  test("the same content is parsed once, new content always", () => {
    const files: Record<string, Result<Uint8Array | undefined, string>> = { "IMDS_Rules.json": content(FILE) };
    const { compose } = setUp(files);
    const first = compose(item(WANTED), "imds", undefined).goodFile;
    expect(compose(item(WANTED), "imds", first).goodFile).toBe(first as GoodFile);
    files["IMDS_Rules.json"] = content('{"id": "lok", "defaultAccess": "deny"}');
    expect(compose(item(WANTED), "imds", first).id).toEndWith("_lok");
  });
});

function goodFile(text: string): GoodFile {
  const found = setUp({ "IMDS_Rules.json": content(text) }).compose(item(WANTED), "imds", undefined).goodFile;
  if (found === undefined) throw new Error("the file is not good");
  return found;
}
