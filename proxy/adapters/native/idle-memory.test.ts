import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { findUntouchedCode } from "./idle-memory.ts";

const PROGRAM = "/usr/sbin/azure-proxy-agent";

function mapping(range: string, flags: string, path: string, anonymousKb: number): string {
  return `${range} ${flags} 01838000 fe:00 10002936                           ${path}\nSize:              79912 kB\nRss:               17416 kB\nAnonymous:         ${anonymousKb} kB\nVmFlags: rd ex mr mw me`;
}

describe("findUntouchedCode", () => {
  test("finds the program's code", () => {
    expect(findUntouchedCode(mapping("01a40000-0684a000", "r-xp", PROGRAM, 0), PROGRAM)).toEqual([
      { start: 0x1a40000n, bytes: 0x4e0a000n },
    ]);
  });

  test.each([
    ["read-only data, which was written before it was protected", mapping("00200000-01a39000", "r--p", PROGRAM, 0)],
    ["data", mapping("06867000-06a23000", "rw-p", PROGRAM, 0)],
    ["code that a debugger has changed", mapping("01a40000-0684a000", "r-xp", PROGRAM, 4)],
    ["a library", mapping("7ff445b15000-7ff445c6b000", "r-xp", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0)],
    ["a file that was replaced", mapping("01a40000-0684a000", "r-xp", `${PROGRAM} (deleted)`, 0)],
    ["memory without a file", mapping("3a3e0000000-3a420000000", "r-xp", "", 0)],
    ["nonsense", "Anonymous: 0 kB\n\n-"],
  ])("leaves %s alone", (_what, smaps) => {
    expect(findUntouchedCode(smaps, PROGRAM)).toEqual([]);
  });

  test("takes each mapping by its own figures", () => {
    const smaps = [mapping("10000-20000", "r-xp", PROGRAM, 4), mapping("30000-40000", "r-xp", PROGRAM, 0)].join("\n");
    expect(findUntouchedCode(smaps, PROGRAM)).toEqual([{ start: 0x30000n, bytes: 0x10000n }]);
  });

  test("reads what the kernel writes", () => {
    expect(findUntouchedCode(readFileSync("/proc/self/smaps", "utf8"), process.execPath).length).toBeGreaterThan(0);
  });
});
