import { describe, expect, test } from "bun:test";
import { addModuleMemory, MEMORY_OF_ALL_MODULES, memoryOfModule, NO_MODULE_MEMORY } from "./module-memory.ts";

const MIB = 1024 * 1024;

describe("memory of all modules", () => {
  test("a module takes what compiling it may take, and each of its memories as far as the budget goes", () => {
    expect(memoryOfModule({ compilerBytes: 5, memories: 3 }, { memoryBytes: 8 })).toEqual({ compilerBytes: 5, linearBytes: 24 });
  });

  test("what just fits is taken", () => {
    expect(addModuleMemory(NO_MODULE_MEMORY, MEMORY_OF_ALL_MODULES)).toEqual({ ok: true, value: MEMORY_OF_ALL_MODULES });
  });

  test.each([
    [
      "for compiling",
      { compilerBytes: 1, linearBytes: 0 },
      "with it all enabled modules may take 161 MiB for compiling (1 of them for it), want at most 160",
    ],
    [
      "as memories",
      { compilerBytes: 0, linearBytes: 9 * MIB },
      "with it all enabled modules may take 265 MiB as their own memories (9 of them for it), want at most 256",
    ],
  ])("T-151: too much %s is refused, with what was found and what is allowed", (_, more, message) => {
    expect(addModuleMemory(MEMORY_OF_ALL_MODULES, more)).toEqual({ ok: false, error: message });
  });
});
