import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeStatusFile } from "./status-file.ts";

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "apa-status-"));
});
afterEach(() => rmSync(parent, { recursive: true }));

test("makes the folder, writes it whole with its mode, leaves nothing beside it", async () => {
  const folder = join(parent, "a/b");
  for (const status of [{ first: true }, { second: true }]) {
    expect(await writeStatusFile(folder, status)).toEqual({ ok: true, value: undefined });
    expect(JSON.parse(readFileSync(join(folder, "status.json"), "utf8"))).toEqual(status);
  }
  expect(statSync(join(folder, "status.json")).mode & 0o7777).toBe(0o640);
  expect(readdirSync(folder)).toEqual(["status.json"]);
});

test("a link in its place is replaced, not followed", async () => {
  const other = join(parent, "other");
  writeFileSync(other, "somebody's");
  symlinkSync(other, join(parent, "status.json"));
  expect((await writeStatusFile(parent, {})).ok).toBe(true);
  expect(readFileSync(other, "utf8")).toBe("somebody's");
});

test("a folder that is none is told, with the path", async () => {
  const folder = join(parent, "status");
  writeFileSync(folder, "in the way");
  const written = await writeStatusFile(folder, {});
  expect(written.ok ? "" : written.error.message).toContain(join(folder, "status.json"));
});
