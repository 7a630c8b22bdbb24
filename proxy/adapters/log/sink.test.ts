import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDescriptorSink } from "./sink.ts";

const renderLost = (count: number) => `lost ${count}`;

describe("makeDescriptorSink", () => {
  test("writes every line in order", async () => {
    const folder = mkdtempSync(join(tmpdir(), "log-lines-"));
    const descriptor = openSync(join(folder, "out"), "w");
    try {
      const sink = makeDescriptorSink(descriptor, renderLost);
      const lines = Array.from({ length: 5_000 }, (_, n) => `line ${n}`);
      for (const line of lines) sink.write(line);
      await sink.flush();
      expect(readFileSync(join(folder, "out"), "utf8")).toBe(`${lines.join("\n")}\n`);
    } finally {
      closeSync(descriptor);
      rmSync(folder, { recursive: true });
    }
  });

  test("drops and counts when the reader stalls, instead of growing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "log-lines-"));
    const descriptor = openSync(join(folder, "out"), "w");
    try {
      const sink = makeDescriptorSink(descriptor, renderLost);
      for (let n = 0; n < 2_000; n++) sink.write("x".repeat(10_000));
      await sink.flush();
      const text = readFileSync(join(folder, "out"), "utf8");
      const kept = text.split("x\n").length - 1;
      expect(text).toEndWith(`lost ${2_000 - kept}\n`);
      expect(text.length).toBeLessThan(8.5 * 1024 * 1024);
    } finally {
      closeSync(descriptor);
      rmSync(folder, { recursive: true });
    }
  });

  test("a reader that is gone does not throw", async () => {
    const descriptor = openSync("/dev/full", "w");
    const sink = makeDescriptorSink(descriptor, renderLost);
    sink.write("lost");
    expect(await sink.flush()).toBeUndefined();
    closeSync(descriptor);
  });
});
