import { describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDescriptorSink, makeLog, renderLine } from "./lines.ts";

const NOW = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678));

describe("renderLine", () => {
  test("the journal gets the priority, a file gets the time", () => {
    expect(renderLine("warn", "event-name", { a: 1 }, true, NOW)).toBe('<4>event-name {"a":1}');
    expect(renderLine("info", "event-name", { a: true }, false, NOW)).toBe('2026-01-02T03:04:05.678Z [INFO] event-name {"a":true}');
  });

  test("T-08: nothing a caller sends can begin a new line, move a terminal or end the JSON", () => {
    const hostile = 'curl\n<3>forged {"x":1}\r\u0000\u001b[2J\u007f\u0085\u009b\u2028\u2029"}';
    const line = renderLine("info", "request-forwarded", { processCmdLine: hostile, userGroups: [hostile] }, true, NOW);
    expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/);
    expect(JSON.parse(line.slice(line.indexOf("{")))).toEqual({ processCmdLine: hostile, userGroups: [hostile] });
  });

  test("T-09: secrets in a field are not written", () => {
    const line = renderLine(
      "info",
      "e",
      { url: "/extensionArtifact?sv=2020&sig=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG%3D&x=1" },
      true,
      NOW,
    );
    expect(line).not.toContain("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG");
    expect(line).toContain("[REDACTED]");
  });

  test("a long field is cut between characters", () => {
    const line = renderLine("info", "e", { text: "😀".repeat(9_000) }, true, NOW);
    const { text } = JSON.parse(line.slice(line.indexOf("{"))) as { readonly text: string };
    expect(text.isWellFormed()).toBe(true);
    expect(text.length).toBeLessThan(8_200);
  });
});

describe("makeLog", () => {
  test("writes the threshold and what is graver", () => {
    const lines: string[] = [];
    const log = makeLog({ write: (line) => lines.push(line), flush: () => Promise.resolve() }, "warn", true, () => NOW);
    log.error("e", {});
    log.warn("w", {});
    log.info("i", {});
    log.debug("d", {});
    expect(lines).toEqual(["<3>e {}", "<4>w {}"]);
  });
});

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
