import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countStart } from "./start-count.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "start-count-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("countStart", () => {
  test("counts on from start to start, in a file for root alone", () => {
    const path = join(folder, "starts");
    expect([countStart(path), countStart(path), countStart(path)].map((counted) => counted.ok && counted.value)).toEqual([1, 2, 3]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test.each(["", "many", "-3", "1e9", "9".repeat(40)])("begins again after %p", (content) => {
    const path = join(folder, "starts");
    writeFileSync(path, content);
    expect(countStart(path)).toEqual({ ok: true, value: 1 });
  });

  test("says what is wrong when it cannot be kept", () => {
    const counted = countStart(join(folder, "missing/starts"));
    expect(counted.ok ? "counted" : counted.error.code).toBe("ENOENT");
    expect(countStart(folder).ok).toBe(false);
  });
});
