import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { deviceOfMount, isPinned, parseFdinfo, sameNumbers } from "./inode.ts";
import { numbersOf, O_PATH, openIfCached } from "./libc.ts";

const MOUNTS = [
  "22 27 0:21 / /proc rw,relatime - proc proc rw",
  "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
  "127 27 4095:1048575 / /mnt/odd\\04027\\0401\\0400:1 rw - ext4 x rw",
  "28 27 bad:0 / /x rw - a b c",
].join("\n");

describe("deviceOfMount", () => {
  test.each([
    [22, 21],
    [27, 254 * 0x100000],
    [127, 4095 * 0x100000 + 0xfffff],
  ])("finds mount %p", (id, device) => {
    expect(deviceOfMount(MOUNTS, id)).toBe(device);
  });

  test.each([1, 2, 7, 28, 128, 0, -1, Number.NaN])("does not find mount %p", (id) => {
    expect(deviceOfMount(MOUNTS, id)).toBeUndefined();
  });
});

describe("parseFdinfo", () => {
  test("reads inode and mount", () => {
    expect(parseFdinfo("pos:\t0\nflags:\t012000000\nmnt_id:\t27\nino:\t18446744073709551615\n")).toEqual({
      mountId: 27,
      inode: 18446744073709551615n,
    });
  });

  test.each(["", "mnt_id:\t27\n", "ino:\t1\n", "mnt_id:\t27\nino:\t-1\n", "mnt_id:\tx\nino:\t1\n", "xmnt_id:\t1\nxino:\t1\n"])(
    "refuses %p",
    (text) => {
      expect(parseFdinfo(text)).toBeUndefined();
    },
  );
});

describe("sameNumbers", () => {
  test("inode 0 is the same as nothing, not even as itself", () => {
    expect(sameNumbers({ device: 5, inode: 0n }, { device: 5, inode: 0n })).toBe(false);
    expect(sameNumbers({ device: 5, inode: 3n }, { device: 5, inode: 3n })).toBe(true);
    expect(sameNumbers({ device: 5, inode: 3n }, { device: 6, inode: 3n })).toBe(false);
  });
});

describe("isPinned", () => {
  function withFile<Value>(path: string, use: (descriptor: number) => Value): Value {
    const descriptor = openSync(path, O_PATH);
    try {
      return use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  test("the fast and the exact way agree on a plain file", () => {
    withFile(process.execPath, (descriptor) => {
      const numbers = numbersOf(descriptor);
      if (numbers === undefined) throw new Error("no numbers");
      expect(numbers.inode).toBe(statSync(process.execPath, { bigint: true }).ino);
      const info = parseFdinfo(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"));
      const device = deviceOfMount(readFileSync("/proc/self/mountinfo", "utf8"), info?.mountId ?? -1) ?? -1;
      const pinned = { device, inode: info?.inode ?? 0n, inodeGeneration: 0 };
      const untold = { device: 1, inode: 1n };
      expect(isPinned(descriptor, numbers, pinned, [])).toBe(true);
      expect(isPinned(descriptor, untold, pinned, ["/proc/self/mountinfo"])).toBe(true);
      expect(isPinned(descriptor, untold, pinned, ["/proc/none", "/proc/self/mountinfo"])).toBe(true);
      expect(isPinned(descriptor, untold, pinned, [])).toBe(false);
      expect(isPinned(descriptor, untold, { ...pinned, device: device + 1 }, ["/proc/self/mountinfo"])).toBe(false);
      expect(isPinned(descriptor, untold, { ...pinned, inode: pinned.inode + 1n }, ["/proc/self/mountinfo"])).toBe(false);
    });
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
