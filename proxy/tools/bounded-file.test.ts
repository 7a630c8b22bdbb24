import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFiles, isFolder, readBoundedFile } from "./bounded-file.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-files-"));
  mkdirSync(join(folder, "b/c"), { recursive: true });
  writeFileSync(join(folder, "large"), Buffer.alloc(200_000, "x"));
  writeFileSync(join(folder, "empty"), "");
  for (const path of ["cases.json", "b/c/cases.json", "b/other.json"]) writeFileSync(join(folder, path), "{}");
  symlinkSync(folder, join(folder, "b/loop"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("readBoundedFile", () => {
  test("reads up to the limit and no further", () => {
    const whole = readBoundedFile(join(folder, "large"), 200_000);
    expect(whole.ok && whole.value.length).toBe(200_000);
    expect(readBoundedFile(join(folder, "empty"), 1)).toMatchObject({ ok: true, value: { length: 0 } });
    expect(readBoundedFile(join(folder, "large"), 199_999)).toEqual({
      ok: false,
      error: "found more than 199999 bytes, want at most that",
    });
  });

  test("stops at the limit of a file without an end", () => {
    expect(readBoundedFile("/dev/zero", 100_000).ok).toBe(false);
  });

  test("says what is not a file", () => {
    expect(readBoundedFile(join(folder, "none"), 10)).toEqual({ ok: false, error: "no such file" });
    expect(readBoundedFile(folder, 10)).toEqual({ ok: false, error: "found a folder, want a file" });
  });
});

describe("findFiles", () => {
  test("finds the name at every depth, sorted, and follows no link", () => {
    expect(findFiles(folder, "cases.json", 100)).toEqual({ ok: true, value: [join(folder, "b/c/cases.json"), join(folder, "cases.json")] });
  });
  test("refuses more than it should look at, and what is no folder", () => {
    expect(findFiles(folder, "cases.json", 2).ok).toBe(false);
    expect(findFiles(join(folder, "none"), "cases.json", 2).ok).toBe(false);
  });
});

test("isFolder is true for folders only", () => {
  expect([folder, join(folder, "large"), join(folder, "none")].map(isFolder)).toEqual([true, false, false]);
});
