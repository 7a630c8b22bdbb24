import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readdirSync, realpathSync, statSync } from "node:fs";
import { isPinned, makeKernelNumbers, parseWatch, sameNumbers } from "./inode.ts";
import { makeLane } from "./lane.ts";
import { numbersOf, O_PATH, openIfCached } from "./libc.ts";

const USER = 1000;

describe("parseWatch", () => {
  const TEXT = "pos:\t0\nflags:\t02004000\nmnt_id:\t17\nino:\t22\n";

  test.each([
    ["inotify wd:1 ino:3c829 sdev:fe00000 mask:400 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:29c8", 254 * 0x100000, 0x3c829n],
    ["inotify wd:1 ino:ffffffffffffffff sdev:ffffffff mask:400 ignored_mask:0 ", 0xffffffff, 2n ** 64n - 1n],
  ])("reads inode and device of %p", (line, device, inode) => {
    expect(parseWatch(`${TEXT}${line}\n`, 1)).toEqual({ device, inode });
  });

  test.each([
    "",
    "inotify wd:2 ino:1 sdev:1 mask:400 ",
    "inotify wd:11 ino:1 sdev:1 mask:400 ",
    "xinotify wd:1 ino:1 sdev:1 mask:400 ",
    "inotify wd:1 ino: sdev:1 mask:400 ",
    "inotify wd:1 ino:1 sdev:100000000 mask:400 ",
  ])("refuses %p", (line) => {
    expect(parseWatch(`${TEXT}${line}\n`, 1)).toBeUndefined();
  });
});

describe("sameNumbers", () => {
  test("inode 0 is the same as nothing, not even as itself", () => {
    expect(sameNumbers({ device: 5, inode: 0n }, { device: 5, inode: 0n })).toBe(false);
    expect(sameNumbers({ device: 5, inode: 3n }, { device: 5, inode: 3n })).toBe(true);
    expect(sameNumbers({ device: 5, inode: 3n }, { device: 6, inode: 3n })).toBe(false);
  });
});

describe("isPinned", () => {
  async function withFile<Value>(path: string, use: (descriptor: number) => Promise<Value>): Promise<Value> {
    const descriptor = openSync(path, O_PATH);
    try {
      return await use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  const lane = makeLane({ places: 3, limitMs: 30_000, maxWaiting: 100 });

  test("the fast and the exact way agree on a plain file", async () => {
    const kernelNumbersOf = makeKernelNumbers(lane);
    await withFile(process.execPath, async (descriptor) => {
      const numbers = numbersOf(descriptor);
      const exact = await kernelNumbersOf(descriptor, USER);
      if (numbers === undefined || exact === undefined) throw new Error("no numbers");
      expect(numbers.inode).toBe(statSync(process.execPath, { bigint: true }).ino);
      const pinned = { ...exact, inodeGeneration: 0 };
      const untold = { device: 1, inode: 1n };
      const never = async () => undefined;
      expect(await isPinned(descriptor, exact, pinned, USER, never)).toBe(true);
      expect(await isPinned(descriptor, untold, pinned, USER, kernelNumbersOf)).toBe(true);
      expect(await isPinned(descriptor, untold, pinned, USER, never)).toBe(false);
      expect(await isPinned(descriptor, untold, { ...pinned, device: exact.device + 1 }, USER, kernelNumbersOf)).toBe(false);
      expect(await isPinned(descriptor, untold, { ...pinned, inode: exact.inode + 1n }, USER, kernelNumbersOf)).toBe(false);
    });
  });

  test("T-163: the exact way keeps files apart that are asked about at once, again and again, and leaves one descriptor for each place", async () => {
    const kernelNumbersOf = makeKernelNumbers(lane);
    const paths = [process.execPath, import.meta.path, "/etc/passwd", "/bin/sh"].map((path) => realpathSync(path));
    const before = readdirSync("/proc/self/fd").length;
    for (let round = 0; round < 40; round++) {
      const answers = await Promise.all(
        paths.flatMap((path, user) =>
          [user, user + 10].map((userId) =>
            withFile(path, async (descriptor) => [path, await kernelNumbersOf(descriptor, userId)] as const),
          ),
        ),
      );
      for (const [path, numbers] of answers) expect(numbers?.inode, path).toBe(statSync(path, { bigint: true }).ino);
    }
    expect(readdirSync("/proc/self/fd").length - before).toBeLessThanOrEqual(3);
  });

  test("numbers of a closed descriptor are unknown", () => {
    expect(numbersOf(1_000_000)).toBeUndefined();
  });
});

describe("openIfCached", () => {
  test("opens no symbolic link and no file that is not there", () => {
    const opened = openIfCached(process.execPath);
    expect(typeof opened).toBe("number");
    if (typeof opened === "number") closeSync(opened);
    expect(openIfCached("/proc/self/exe")).toBe("absent");
  });
});
