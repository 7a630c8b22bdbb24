import { describe, expect, test } from "bun:test";
import { isInterpreter, readCaller } from "./callers.ts";

describe("readCaller", () => {
  test("a user with a program is named by both", () => {
    const caller = readCaller("alice", "/usr/bin/curl");
    expect(caller).toEqual({ kind: "nameable", selectors: { userName: "alice", exePath: "/usr/bin/curl" }, note: undefined });
  });

  test.each<[string, string | undefined, "interpreter" | "unknown-program"]>([
    ["an interpreter", "/usr/bin/python3.11", "interpreter"],
    ["nothing proven", undefined, "unknown-program"],
    ["a file that is gone", "/usr/bin/curl (deleted)", "unknown-program"],
    ["a path with unreadable bytes", "/opt/\ufffd", "unknown-program"],
    ["a path that the log hides", "/opt/key=[REDACTED]", "unknown-program"],
    ["a path longer than paths are", `/${"x".repeat(5000)}`, "unknown-program"],
    ["no path", "curl", "unknown-program"],
  ])("%s names the user alone", (_, exePath, note) => {
    expect(readCaller("alice", exePath)).toEqual({ kind: "nameable", selectors: { userName: "alice", exePath: undefined }, note });
  });

  test.each([undefined, "", "\ufffd", "a\0b", "a\ud800"])("without a clear user (%p) nobody is named, whatever the program", (userName) => {
    expect(readCaller(userName, "/usr/bin/curl").kind).toBe("not-nameable");
  });
});

test.each([
  ["/usr/bin/python3", true],
  ["/usr/bin/python3.11", true],
  ["/usr/bin/python3.13t", true],
  ["/usr/bin/perl5.36.0", true],
  ["/bin/dash", true],
  ["/opt/node/bin/node", true],
  ["/usr/lib/jvm/java-17/bin/java", true],
  ["/usr/bin/pwsh", true],
  ["/usr/bin/php8.2", true],
  ["/usr/bin/pythonic", false],
  ["/usr/bin/curl", false],
  ["/opt/python3/bin/agent", false],
  ["/usr/bin/nodeless", false],
  ["/usr/bin/ssh", false],
])("does %p run any script: %p", (path, interpreter) => {
  expect(isInterpreter(path)).toBe(interpreter);
});
