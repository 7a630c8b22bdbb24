import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  truncateSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { openWorkshop, pinnedRecord, type Workshop } from "../../../test/support/pinned-process.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { ok, type Result } from "../../core/result.ts";
import { readExecutable } from "./executable.ts";
import { type HashExecutable, type HashOptions, makeExecutableHashes } from "./executable-hash.ts";
import { openProcess } from "./process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

/** So late that every file has been left alone for long. */
const LATER_MS = Date.now() + 3_600_000;

const COMMAND = [process.execPath, join(import.meta.dir, "../../main.ts"), "hash-files-for-daemon"];
const STRANGER = 65_534;
const OTHER = 65_533;
const SLOW_MS = 60_000;
const kernelNumbersOf = async () => undefined;

let shop: Workshop;
beforeEach(() => {
  shop = openWorkshop();
});
afterEach(() => shop[Symbol.dispose]());

function hashes(options: Partial<HashOptions> = {}): HashExecutable {
  return makeExecutableHashes({ nowMs: () => LATER_MS, command: COMMAND, ...options });
}

async function hashOf(hash: HashExecutable, pid: number, userId = 0): Promise<Result<string, string>> {
  const opened = openProcess(pid);
  if (!opened.ok) throw new Error(opened.error);
  using process = opened.value;
  const pinned = pinnedRecord(pid).executable;
  if (pinned === undefined) throw new Error("no executable");
  const executable = await readExecutable(process, pinned, userId, kernelNumbersOf);
  if (!executable.ok) throw new Error(executable.error);
  return await hash({ process, executable: executable.value, pinned, userId });
}

function sha256(path: string): Result<string, string> {
  return ok(createHash("sha256").update(readFileSync(path)).digest("hex"));
}

describe("the hash of a running executable", () => {
  test.each([0, STRANGER])("is that of its content, for user %p", async (userId) => {
    const path = shop.program("prog");
    expect(await hashOf(hashes(), await shop.start([path, "60"]), userId)).toEqual(sha256(path));
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
  test("T-166: of a file larger than the limit", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const found = await hashOf(hashes({ maxFileBytes: 1000 }), pid);
    expect(found).toMatchObject({ ok: false, error: expect.stringContaining("is larger than 1000 bytes and so has no hash: found ") });
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
    const executable = await readExecutable(second, pinned, 0, kernelNumbersOf);
    if (!executable.ok) throw new Error(executable.error);
    const found = await hashes()({ process, executable: executable.value, pinned, userId: 0 });
    expect(found).toEqual({ ok: false, error: `the executable of process ${one} changed before it was hashed` });
  });

  test("of a process that has ended", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const opened = openProcess(pid);
    const pinned = pinnedRecord(pid).executable;
    if (!opened.ok || pinned === undefined) throw new Error("no process");
    using process = opened.value;
    const executable = await readExecutable(process, pinned, 0, kernelNumbersOf);
    if (!executable.ok) throw new Error(executable.error);
    await shop.end(pid);
    const found = await hashes()({ process, executable: executable.value, pinned, userId: 0 });
    expect(found).toEqual({ ok: false, error: `cannot open the executable of process ${pid}` });
  });
});

describe("T-166: what one user's programs cost", () => {
  /** A program with a hole of this size at its end: it takes no room, and time to read. */
  function sparse(name: string, bytes: number): string {
    const path = shop.program(name);
    truncateSync(path, bytes);
    return path;
  }

  /** Answers like the process of the agent, by another tool, but never for files of `hangs` bytes; adds its id to the file `pids`. */
  function fakeCommand(hangs: number): readonly string[] {
    const script = `echo $$ >> ${join(shop.folder, "pids")}
while read id fd max; do
  if [ "$max" != ${hangs} ]; then echo "$id ok $max $(sha256sum < /proc/$PPID/fd/$fd | cut -c 1-64)"; fi
done`;
    return ["bash", "-c", script];
  }
  const fakes = () => readFileSync(join(shop.folder, "pids"), "utf8").trim().split("\n");
  const untilEnded = async (pid: string) => {
    while (existsSync(`/proc/${pid}`)) await Bun.sleep(2);
  };

  test(
    "is not waited for by root, nor by another user",
    async () => {
      const hash = hashes({ limitMs: SLOW_MS });
      const big = await Promise.all(Array.from({ length: 6 }, (_, n) => shop.start([sparse(`big${n}`, 60_000_000 + n), "60"])));
      const small = await Promise.all(["root", "other"].map((name) => shop.start([shop.program(name), "60"])));
      // As in the agent's life: a first one has been hashed, so that both processes are there.
      await Promise.all([hashOf(hash, process.pid, 0), hashOf(hash, process.pid, STRANGER)]);
      const done: string[] = [];
      const strangers = big.map((pid) => hashOf(hash, pid, STRANGER).then(() => done.push("stranger")));
      const [root = 0, other = 0] = small;
      await Promise.all([
        ...strangers,
        hashOf(hash, root, 0).then(() => done.push("root")),
        hashOf(hash, other, OTHER).then(() => done.push("other")),
      ]);
      expect(done.indexOf("root")).toBeLessThan(2);
      expect(done.indexOf("other")).toBeLessThan(3);
    },
    SLOW_MS,
  );

  test("does not push hashes of others out of memory", async () => {
    let asked = 0;
    const hash = hashes({ maxKnown: 4, nowMs: () => LATER_MS + asked++ });
    const own = await shop.start([shop.program("own"), "60"]);
    await hashOf(hash, own, OTHER);
    for (let n = 0; n < 8; n++) await hashOf(hash, await shop.start([sparse(`p${n}`, 1_000_000 + n), "60"]), STRANGER);
    expect(asked).toBe(9);
    await hashOf(hash, own, OTHER);
    expect(asked).toBe(9);
  });

  test("is its own hash when a file hangs: the process ends, and others go on in a new one", async () => {
    const hung = 123_456;
    const hash = hashes({ command: fakeCommand(hung), limitMs: 3_000 });
    const pid = await shop.start([sparse("hangs", hung), "60"]);
    const path = shop.program("prog");
    const fine = await shop.start([path, "60"]);
    const stuck = hashOf(hash, pid, STRANGER);
    expect(await hashOf(hash, fine, OTHER)).toEqual(sha256(path));
    expect(await stuck).toEqual({ ok: false, error: "the executable could not be hashed within 3000 ms" });
    await untilEnded(fakes()[0] ?? "");
    const again = shop.program("again");
    appendFileSync(again, "x");
    expect(await hashOf(hash, await shop.start([again, "60"]), STRANGER)).toEqual(sha256(again));
    expect(fakes().length).toBe(2);
  });

  test("ends with the last hash: nothing runs while nobody asks", async () => {
    const hash = hashes({ command: fakeCommand(0), idleMs: 5 });
    expect((await hashOf(hash, await shop.start([shop.program("prog"), "60"]))).ok).toBe(true);
    await untilEnded(fakes()[0] ?? "");
  });

  test("is told when the process cannot be started or ends", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const absent = await hashOf(hashes({ command: ["/no/such/program"] }), pid);
    expect(absent).toMatchObject({ ok: false, error: expect.stringContaining("cannot start the process that hashes executables") });
    const ended = await hashOf(hashes({ command: ["/bin/true"] }), pid);
    expect(ended).toEqual({ ok: false, error: "the process that hashes executables ended" });
  });

  test("the process has no descriptor of the agent's, and is killed before it", async () => {
    const hash = hashes();
    expect((await hashOf(hash, await shop.start([shop.program("prog"), "60"]), STRANGER)).ok).toBe(true);
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
    const child = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("hash-files-for-daemon\0others"));
    const beyondStandard = readdirSync(`/proc/${child}/fd`).filter((fd) => Number(fd) > 2);
    const links = beyondStandard.map((fd) => readlinkSync(`/proc/${child}/fd/${fd}`));
    expect(links.filter((link) => link.startsWith("/") || link.startsWith("socket:") || link.includes("bpf"))).toEqual([]);
    expect(readFileSync(`/proc/${child}/oom_score_adj`, "utf8").trim()).toBe("500");
    expect(parseNice(readFileSync(`/proc/${child}/stat`, "latin1"))).toBe(10);
  });
});

function parseNice(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
}
