import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readdirSync, realpathSync } from "node:fs";
import { err, ok } from "../../core/result.ts";
import { provePath, type RunningExecutable, readExecutable } from "./executable.ts";
import { makeKernelNumbers } from "./inode.ts";
import { type Lane, makeLane } from "./lane.ts";
import { numbersOf, O_PATH, openWaiting } from "./libc.ts";
import { openProcess } from "./process.ts";

const lane = makeLane({ places: 1, limitMs: 30_000, maxWaiting: 1 });
/** Stands for a file system that does not answer. */
const stuck: Lane = { run: async () => err("late") };
const USER = 1000;
const own = realpathSync(process.execPath);

function running(path: string, text: string | undefined): RunningExecutable {
  const descriptor = openSync(path, O_PATH);
  try {
    return { numbers: numbersOf(descriptor) ?? { device: 0, inode: 0n }, text };
  } finally {
    closeSync(descriptor);
  }
}

describe("provePath", () => {
  test("believes a path that leads to the same file", async () => {
    expect(await provePath(running(own, own), USER, lane)).toEqual(ok(own));
  });

  test.each([
    ["of no valid text", undefined, "too long or not valid"],
    ["that is empty", "", "has no path"],
    ["that is relative", "usr/bin/x", "has no path"],
    ["of another file", "/etc/passwd", "another file"],
    ["through a symbolic link", "/proc/self/exe", "is not there"],
    ["through a magic link", `/proc/${process.pid}/exe`, "is not there"],
    ["through a linked folder", `/proc/self/root${own}`, "is not there"],
    ["with a slash at its end", `${own}/`, "is not there"],
    ["of a file that is gone", `${own} (deleted)`, "is not there"],
    ["longer than a path may be", `/${"x/".repeat(4096)}`, "is not there"],
  ])("refuses a path %s", async (_, text, why) => {
    const proof = await provePath(running(own, text), USER, lane);
    expect(proof).toEqual(err(expect.stringContaining(why)));
  });

  test("does not take two files for one because their file system tells no numbers", async () => {
    expect((await provePath({ numbers: { device: 1, inode: 0n }, text: own }, USER, lane)).ok).toBe(false);
  });

  test("does not wait for a file system that does not answer", async () => {
    const uncached = `/proc/${process.pid}/task/${process.pid}/fdinfo/no-such-${Date.now()}`;
    expect(await provePath(running(own, uncached), USER, stuck)).toEqual(
      err(`cannot look up "${uncached}": the file system does not answer`),
    );
  });
});

describe("openWaiting", () => {
  test("opens the same file as a plain open, and no link", async () => {
    const opened = await new Promise<number | undefined>((done) => openWaiting(own, done));
    if (opened === undefined) throw new Error("not opened");
    expect(numbersOf(opened)).toEqual(running(own, own).numbers);
    closeSync(opened);
    expect(await new Promise((done) => openWaiting("/proc/self/exe", done))).toBeUndefined();
  });
});

describe("readExecutable", () => {
  test("finds the pinned file by its numbers, else says that the program is another, and leaves nothing open", async () => {
    const { numbers } = running(own, own);
    const kernelNumbersOf = makeKernelNumbers(lane);
    // The first comparison opens what later ones use again.
    const opened = openSync(own, O_PATH);
    expect(await kernelNumbersOf(opened, USER)).toBeDefined();
    closeSync(opened);
    const before = readdirSync("/proc/self/fd").length;
    {
      const held = openProcess(process.pid);
      if (!held.ok) throw new Error(held.error);
      using self = held.value;
      const pinned = { ...numbers, inodeGeneration: 0 };
      expect(await readExecutable(self, pinned, USER, kernelNumbersOf)).toEqual(ok({ numbers, text: own }));
      const other = await readExecutable(self, { ...pinned, inode: pinned.inode + 1n }, USER, kernelNumbersOf);
      expect(other).toEqual(err(`process ${process.pid} runs another program than when it connected`));
    }
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });
});
