import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeStatusWriter } from "./status-writer.ts";

function makeStage(folder: string) {
  const seen = { asked: 0, errors: [] as string[], nowMs: 0 };
  const log = { error: (event: string) => void seen.errors.push(event), warn() {}, info() {}, debug() {} };
  const writer = makeStatusWriter({
    folder,
    current: () => ({ writes: ++seen.asked }),
    eachTime: () => {},
    log,
    monotonicMs: () => seen.nowMs,
  });
  return { seen, writer };
}

test("a burst of changes is written once, and nothing is written after the last time", async () => {
  const folder = mkdtempSync(join(tmpdir(), "apa-status-"));
  const { seen, writer } = makeStage(folder);
  for (let change = 0; change < 20; change += 1) writer.changed();
  expect(seen.asked).toBe(0);
  for (let tries = 0; tries < 100 && seen.asked === 0; tries += 1) await Bun.sleep(10);
  expect(JSON.parse(readFileSync(join(folder, "status.json"), "utf8"))).toEqual({ writes: 1 });
  writer.changed();
  writer.stop();
  writer.changed();
  await Bun.sleep(120);
  expect(JSON.parse(readFileSync(join(folder, "status.json"), "utf8"))).toEqual({ writes: 2 });
  rmSync(folder, { recursive: true });
});

test("a folder that is none is told, and told no more once it works", () => {
  const parent = mkdtempSync(join(tmpdir(), "apa-status-"));
  const folder = join(parent, "status");
  writeFileSync(folder, "in the way");
  const { seen, writer } = makeStage(folder);
  writer.stop();
  expect(seen.errors).toEqual(["status-not-written"]);
  expect(writer.failure()).toContain(folder);
  rmSync(folder);
  writer.stop();
  expect(writer.failure()).toBeUndefined();
  rmSync(parent, { recursive: true });
});

test("once a minute, with a poll that comes anyway", () => {
  const folder = mkdtempSync(join(tmpdir(), "apa-status-"));
  const { seen, writer } = makeStage(folder);
  for (let poll = 0; poll <= 12; poll += 1) {
    seen.nowMs = poll * 15_050;
    writer.afterPoll();
  }
  expect(seen.asked).toBe(3);
  writer.stop();
  rmSync(folder, { recursive: true });
});
