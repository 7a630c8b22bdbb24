import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, linkSync, readFileSync, renameSync, truncateSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { openWorkshop, pinnedRecord, type Workshop } from "../../../test/support/pinned-process.ts";
import { ok, type Result } from "../../core/result.ts";
import { readExecutable } from "./executable.ts";
import { type HashExecutable, type HashOptions, makeExecutableHashes } from "./executable-hash.ts";
import { openProcess } from "./process.ts";

/** So late that every file has been left alone for long. */
const LATER_MS = Date.now() + 3_600_000;

let shop: Workshop;
beforeEach(() => {
  shop = openWorkshop();
});
afterEach(() => shop[Symbol.dispose]());

function hashes(options: Partial<HashOptions> = {}): HashExecutable {
  return makeExecutableHashes({ nowMs: () => LATER_MS, ...options });
}

async function hashOf(hash: HashExecutable, pid: number, reachable = true): Promise<Result<string, string>> {
  const opened = openProcess(pid);
  if (!opened.ok) throw new Error(opened.error);
  using process = opened.value;
  const pinned = pinnedRecord(pid).executable;
  if (pinned === undefined) throw new Error("no executable");
  const executable = readExecutable(process, pinned);
  if (!executable.ok) throw new Error(executable.error);
  return await hash({ process, executable: executable.value, pinned, reachable });
}

function sha256(path: string): Result<string, string> {
  return ok(createHash("sha256").update(readFileSync(path)).digest("hex"));
}

describe("the hash of a running executable", () => {
  test.each([true, false])("is that of its content (reachable by its path: %p)", async (reachable) => {
    const path = shop.program("prog");
    expect(await hashOf(hashes(), await shop.start([path, "60"]), reachable)).toEqual(sha256(path));
  });

  test("is the same under a hard link, and for a copy elsewhere", async () => {
    const path = shop.program("prog");
    const hash = hashes();
    const want = sha256(path);
    const link = join(shop.folder, "link");
    linkSync(path, link);
    expect(await hashOf(hash, await shop.start([link, "60"]))).toEqual(want);
    expect(await hashOf(hash, await shop.start([shop.program("copy"), "60"]))).toEqual(want);
  });

  test("T-69: is another one when the file was replaced, and stays for who runs the old one", async () => {
    const path = shop.program("prog");
    const hash = hashes();
    const [old, oldPid] = [sha256(path), await shop.start([path, "60"])];
    expect(await hashOf(hash, oldPid)).toEqual(old);
    copyFileSync(path, `${path}.new`);
    appendFileSync(`${path}.new`, "changed");
    renameSync(`${path}.new`, path);
    const pid = await shop.start([path, "60"]);
    expect(await hashOf(hash, pid)).toEqual(sha256(path));
    expect(sha256(path)).not.toEqual(old);
    expect(await hashOf(hash, oldPid)).toEqual(old);
  });

  test("T-69: is another one when the content of the same inode changed and its times were set back", async () => {
    const path = shop.program("prog");
    const hash = hashes();
    utimesSync(path, 1, 1);
    const first = await shop.start([path, "60"]);
    const before = await hashOf(hash, first);
    await shop.end(first);
    const bytes = readFileSync(path);
    // One byte of the section headers, which nobody needs to run the program.
    const last = bytes.length - 1;
    bytes[last] = (bytes[last] ?? 0) ^ 1;
    // Older kernels count time in ticks of up to 10 ms.
    await Bun.sleep(20);
    await Bun.write(path, bytes);
    utimesSync(path, 1, 1);
    const after = await hashOf(hash, await shop.start([path, "60"]));
    expect(after).toEqual(sha256(path));
    expect(after).not.toEqual(before);
  });

  test("is read once for callers that come together, and not again later", async () => {
    const path = shop.program("prog");
    const pids = [await shop.start([path, "60"]), await shop.start([path, "60"])];
    let asked = 0;
    // The clock is looked at once for each reading.
    const hash = hashes({ nowMs: () => LATER_MS + asked++ });
    const together = await Promise.all([...pids, ...pids].map((pid) => hashOf(hash, pid)));
    expect(together).toEqual(Array(4).fill(sha256(path)));
    expect(await hashOf(hash, pids[0] ?? 0)).toEqual(sha256(path));
    expect(asked).toBe(1);
  });

  test("is not remembered of a file that changed a moment ago", async () => {
    const path = shop.program("prog");
    const pid = await shop.start([path, "60"]);
    let asked = 0;
    const hash = hashes({
      nowMs: () => {
        asked++;
        return 0;
      },
    });
    for (let i = 0; i < 3; i++) expect(await hashOf(hash, pid)).toEqual(sha256(path));
    expect(asked).toBe(3);
  });
});

describe("there is no hash", () => {
  test("of a file larger than the limit", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const found = await hashOf(hashes({ maxFileBytes: 1000 }), pid);
    expect(found).toMatchObject({ ok: false, error: expect.stringContaining("too large to be hashed") });
  });

  test("when reading takes longer than it may", async () => {
    const path = shop.program("prog");
    // A hole at its end takes no room, and reading it a hundred times the limit.
    truncateSync(path, 400 * 1024 * 1024);
    const hash = hashes({ limitMs: 1 });
    expect(await hashOf(hash, await shop.start([path, "60"]))).toEqual({
      ok: false,
      error: "the executable could not be hashed within 1 ms",
    });
  });

  test("of a process that runs something else by now", async () => {
    const [one, other] = [await shop.start([shop.program("one"), "60"]), await shop.start([shop.program("other"), "60"])];
    const [held, pinned] = [openProcess(one), pinnedRecord(other).executable];
    const heldOther = openProcess(other);
    if (!held.ok || !heldOther.ok || pinned === undefined) throw new Error("no process");
    using process = held.value;
    using second = heldOther.value;
    const executable = readExecutable(second, pinned);
    if (!executable.ok) throw new Error(executable.error);
    const found = await hashes()({ process, executable: executable.value, pinned, reachable: true });
    expect(found).toEqual({ ok: false, error: `the executable of process ${one} changed before it was hashed` });
  });

  test("of a process that has ended", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const opened = openProcess(pid);
    const pinned = pinnedRecord(pid).executable;
    if (!opened.ok || pinned === undefined) throw new Error("no process");
    using process = opened.value;
    const executable = readExecutable(process, pinned);
    if (!executable.ok) throw new Error(executable.error);
    await shop.end(pid);
    const found = await hashes()({ process, executable: executable.value, pinned, reachable: true });
    expect(found).toEqual({ ok: false, error: `cannot open the executable of process ${pid}` });
  });
});
