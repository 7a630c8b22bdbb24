import { describe, expect, test } from "bun:test";
import { nearestWord } from "./nearest-word.ts";

const COMMANDS = ["run", "console", "status", "doctor", "release", "report", "audit", "policy", "module", "help", "version"];

describe("nearestWord", () => {
  test.each([
    ["polcy", COMMANDS, "policy"],
    ["POLICY", COMMANDS, "policy"],
    ["doctro", COMMANDS, "doctor"],
    ["vers", COMMANDS, "version"],
    ["statuss", COMMANDS, "status"],
    ["reprot", COMMANDS, "report"],
    ["--jsn", ["--json", "--config"], "--json"],
    ["logFoldr", ["eventFolder", "logFolder", "moduleFolder"], "logFolder"],
    ["pollKeyStatusInterval", ["monitorIntervalInSeconds", "pollKeyStatusIntervalInSeconds"], "pollKeyStatusIntervalInSeconds"],
  ])("%p means %p: %p", (found, known, nearest) => {
    expect(nearestWord(found, known)).toBe(nearest);
  });

  test.each(["start", "", "x", "zzzzzz", "toString", "--", "p".repeat(65), "\u{1f600}"])("%p is near to no command", (found) => {
    expect(nearestWord(found, COMMANDS)).toBeUndefined();
  });

  test("the word itself is nearest, wherever it stands", () => {
    for (const word of COMMANDS) expect(nearestWord(word, [...COMMANDS].reverse())).toBe(word);
  });
});
