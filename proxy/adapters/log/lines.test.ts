import { describe, expect, test } from "bun:test";
import type { LogField } from "../../core/ports.ts";
import { type Level, type LogLine, makeLine, makeLog, renderJournalLine, renderTextLine } from "./lines.ts";

const NOW = new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678));

function renderLine(level: Level, event: string, fields: Readonly<Record<string, LogField>>, journal: boolean, at: Date): string {
  return (journal ? renderJournalLine : renderTextLine)(makeLine(level, event, fields, at));
}

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
    const log = makeLog([{ threshold: "warn", take: (line) => lines.push(renderJournalLine(line)) }], () => NOW);
    log.error("e", {});
    log.warn("w", {});
    log.info("i", {});
    log.debug("d", {});
    expect(lines).toEqual(["<3>e {}", "<4>w {}"]);
  });

  test("every output takes what its threshold says, and one that is added later takes the rest", () => {
    const [warnings, all]: [LogLine[], LogLine[]] = [[], []];
    const outputs = [{ threshold: "warn" as Level, take: (line: LogLine) => void warnings.push(line) }];
    const log = makeLog(outputs, () => NOW);
    log.info("before", {});
    outputs.push({ threshold: "debug", take: (line) => void all.push(line) });
    log.debug("after", { a: 1 });
    log.warn("both", {});
    expect(warnings.map(({ event }) => event)).toEqual(["both"]);
    expect(all).toEqual([
      { level: "debug", event: "after", json: '{"a":1}', at: NOW },
      { level: "warn", event: "both", json: "{}", at: NOW },
    ]);
  });
});
