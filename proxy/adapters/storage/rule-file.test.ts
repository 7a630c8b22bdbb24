import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRuleFolder, readRuleFile } from "./rule-file.ts";

const NAME = "IMDS_Rules.json";
const SELF = process.geteuid?.() ?? 0;

let folder: string;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "rule-file-")), "rules");
  makeRuleFolder(folder);
});

afterEach(() => {
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

function outcome(owner = SELF): string {
  const found = readRuleFile(folder, NAME, owner);
  if (!found.ok) return found.error;
  return found.value === undefined ? "missing" : Buffer.from(found.value).toString();
}

function place(content = "{}", mode = 0o600): string {
  const path = join(folder, NAME);
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
}

describe("readRuleFile", () => {
  test("reads what only the owner can have written", () => {
    place('{"id":"x"}', 0o644);
    expect(outcome()).toBe('{"id":"x"}');
  });

  test("tells a file that is not there from one that is not used", () => {
    expect(outcome()).toBe("missing");
    rmSync(folder, { recursive: true });
    expect(outcome()).toBe("missing");
  });

  test.each([0o620, 0o602, 0o666])("T-72: refuses a file that others may write to (%o)", (mode) => {
    place("{}", mode);
    expect(outcome()).toContain(`mode is 0${mode.toString(8)}, want one that only the owner may write to`);
  });

  test("T-72: refuses a file or folder of somebody else", () => {
    place();
    expect(outcome(SELF + 1)).toContain(`the folder's owner is uid ${SELF}`);
  });

  test("T-72: refuses a folder that others may write to", () => {
    place();
    chmodSync(folder, 0o777);
    expect(outcome()).toContain("the folder's mode is 0777");
  });

  test("T-72: refuses links, to the file and to the folder", () => {
    const path = place();
    renameSync(path, join(folder, "elsewhere"));
    symlinkSync(join(folder, "elsewhere"), path);
    expect(outcome()).toContain("found a link");
    rmSync(path);
    linkSync(join(folder, "elsewhere"), path);
    expect(outcome()).toContain("found 2 links to the file, want 1");
    const moved = `${folder}-moved`;
    renameSync(folder, moved);
    symlinkSync(moved, folder);
    expect(outcome()).toStartWith("cannot use local rules");
  });

  test("refuses what is no regular file, and does not wait for a pipe", () => {
    mkdirSync(join(folder, NAME));
    expect(outcome()).toContain("want a regular file");
    rmSync(join(folder, NAME), { recursive: true });
    spawnSync("mkfifo", ["-m", "600", join(folder, NAME)]);
    expect(outcome()).toContain("want a regular file");
  });

  test("reads a file of every length up to the limit whole", () => {
    for (const length of [0, 1, 1024 * 1024]) {
      place("x".repeat(length));
      expect(outcome().length).toBe(length);
    }
  });

  test("refuses a file that is too long", () => {
    place(" ".repeat(1024 * 1024 + 1));
    expect(outcome()).toContain("found 1048577 bytes, want at most 1048576");
  });
});
