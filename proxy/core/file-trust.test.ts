import { expect, test } from "bun:test";
import { distrustFile, distrustOwner, type LookedAt, renderMode, SECRET, TRUSTED } from "./file-trust.ts";

const FILE: LookedAt = { uid: 0, mode: 0o100600, nlink: 1, size: 10, isFile: () => true };

test.each<[string, Partial<LookedAt>, typeof SECRET | typeof TRUSTED, string | undefined]>([
  ["root's alone", {}, SECRET, undefined],
  ["one that others may read", { mode: 0o100644 }, TRUSTED, undefined],
  ["a secret that others may read", { mode: 0o100644 }, SECRET, "mode is 0644, want 0600"],
  ["one that its group may write to", { mode: 0o100620 }, TRUSTED, "mode is 0620, want one that only the owner may write to"],
  ["one that anybody may write to", { mode: 0o100602 }, TRUSTED, "mode is 0602, want one that only the owner may write to"],
  ["somebody else's", { uid: 1000 }, TRUSTED, "owner is uid 1000, want root"],
  ["a folder", { isFile: () => false }, TRUSTED, "found something else, want a regular file"],
  ["one with two names", { nlink: 2 }, TRUSTED, "found 2 links to the file, want 1"],
  ["one that is just short enough", { size: 100 }, TRUSTED, undefined],
  ["one that is too long", { size: 101 }, TRUSTED, "found 101 bytes, want at most 100"],
])("a file: %s", (_what, found, forbidden, wanted) => {
  expect(distrustFile({ ...FILE, ...found }, 0, forbidden, 100)).toBe(wanted);
});

test("another owner than root is named by its id", () => {
  expect(distrustOwner({ uid: 0, mode: 0o40755 }, 1000, TRUSTED)).toBe("owner is uid 0, want 1000");
});

test("a mode is written with four digits", () => {
  expect([0o100644, 0o41777, 0].map(renderMode)).toEqual(["0644", "1777", "0000"]);
});
