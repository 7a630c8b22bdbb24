import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTagFiles, writeTagFiles } from "./tag-files.ts";

let folder = "";
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "apa-tags-")), "keys");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const NOW = new Date("2026-11-25T01:02:03.004Z");
const modeOf = (name: string) => statSync(join(folder, name)).mode & 0o7777;

describe("tag files", () => {
  test("success: an empty status.tag and a time, for root alone, and nothing else beside them", () => {
    expect(writeTagFiles(folder, NOW, "").ok).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["provisioned.tag", "status.tag"]);
    expect(readFileSync(join(folder, "status.tag"), "utf8")).toBe("");
    const time = readFileSync(join(folder, "provisioned.tag"), "utf8");
    expect(time).toMatch(/^2026-11-2[45] [0-9]{2}:[0-9]{2}:03\.004 [+-][0-9]{2}:[0-9]{2}$/);
    expect(new Date(time.replace(" ", "T").replace(" ", "")).getTime()).toBe(NOW.getTime());
    expect([modeOf("status.tag"), modeOf("provisioned.tag"), modeOf("")]).toEqual([0o600, 0o600, 0o700]);
  });

  test("an error stands in status.tag, escaped for XML", () => {
    writeTagFiles(folder, NOW, `keyLatchStatus - found "<a>" & 'b'\r\n`);
    expect(readFileSync(join(folder, "status.tag"), "utf8")).toBe("keyLatchStatus - found &quot;&lt;a&gt;&quot; &amp; &apos;b&apos;\r\n");
    writeTagFiles(folder, NOW, "");
    expect(readFileSync(join(folder, "status.tag"), "utf8")).toBe("");
  });

  test("those of an earlier start are removed; none there is fine, also no folder", () => {
    expect(removeTagFiles(folder).ok).toBe(true);
    writeTagFiles(folder, NOW, "old");
    writeFileSync(join(folder, "x.key"), "");
    expect(removeTagFiles(folder).ok).toBe(true);
    expect(readdirSync(folder)).toEqual(["x.key"]);
  });

  test("what cannot be removed is told", () => {
    mkdirSync(join(folder, "status.tag", "inside"), { recursive: true });
    const removed = removeTagFiles(folder);
    expect(removed.ok ? "" : removed.error.path).toBe(join(folder, "status.tag"));
  });

  test("T-96: a link in the place of a tag is replaced, not followed", () => {
    mkdirSync(folder, { mode: 0o700 });
    const victim = join(folder, "..", "victim");
    writeFileSync(victim, "precious");
    symlinkSync(victim, join(folder, "status.tag"));
    expect(writeTagFiles(folder, NOW, "error").ok).toBe(true);
    expect([readFileSync(victim, "utf8"), readFileSync(join(folder, "status.tag"), "utf8")]).toEqual(["precious", "error"]);
  });

  test("T-96: a folder that is a link gets no tags", () => {
    const elsewhere = join(folder, "..", "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, folder);
    expect(writeTagFiles(folder, NOW, "").ok).toBe(false);
    expect(existsSync(join(elsewhere, "status.tag"))).toBe(false);
  });

  test("a folder that others may enter is closed first", () => {
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    expect(writeTagFiles(folder, NOW, "").ok).toBe(true);
    expect(modeOf("")).toBe(0o700);
  });
});
