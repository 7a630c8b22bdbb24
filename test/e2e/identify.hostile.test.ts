// What a caller can choose about itself (its names, its arguments, its end) must not mislead or exhaust the agent. Needs root.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { MAX_COMMAND_LINE } from "../../proxy/adapters/proc/command-line.ts";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import { identifyInTime, LATE, openWorkshop, pinnedRecord, programOf, untilRuns, type Workshop } from "../support/pinned-process.ts";

const PEER = { address: "127.0.0.1", port: 40_002 };
const SLOW_MS = 120_000;
const identify = makeIdentify({ kernelProcessId: process.pid });
let shop: Workshop;
let path = "";
beforeEach(() => {
  shop = openWorkshop();
  path = shop.program("prog");
});
afterEach(() => shop[Symbol.dispose]());

/** Starts the program with arguments given as a Python list, which can hold any bytes. */
async function commandLineOf(pythonArguments: string): Promise<string> {
  const code = `import os; os.execv("${path}", ${pythonArguments})`;
  const caller = await identifyInTime(identify, pinnedRecord(await shop.start(["python3", "-c", code], path)), "imds", PEER);
  expect(programOf(caller)).toMatchObject({ path, doubts: [] });
  return caller.claims.processCmdLine;
}

describe("a hostile command line", () => {
  // sleep(1) adds its arguments up and accepts fractions, so that odd ones still sleep.
  test.each([
    [`["sleep", "60", "1", "1", "1", "1"]`, "sleep 60 1 1"],
    [`[b"\\xff\\xfe", "60"]`, "\ufffd\ufffd 60"],
    [`["a\\nerror: forged line\\r\\x1b[2J", "60"]`, "a\nerror: forged line\r\u001b[2J 60"],
    [`["--password", "60"]`, "--password [REDACTED]"],
    [`["AccountKey=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4", "60"]`, "AccountKey=[REDACTED] 60"],
  ])("%p is shown as %p", async (args, shown) => {
    expect(await commandLineOf(args)).toBe(shown);
  });

  test("of a megabyte is cut", async () => {
    expect(await commandLineOf(`["x" * 100000, "60"] + ["0" * 100000] * 10`)).toBe("x".repeat(MAX_COMMAND_LINE));
    expect(await commandLineOf(`["sleep", "60"] + ["0" * 100000] * 10`)).toBe(`sleep 60 ${"0".repeat(MAX_COMMAND_LINE - 9)}`);
  });
});

describe("a hostile name", () => {
  test.each([") R 1 2 3", "a) S (", "\\n1 (x) S", ") ) )", "\\\\"])(
    "T-48: of the thread, %p, does not hide the start time",
    async (name) => {
      const code = `import ctypes,time; ctypes.CDLL(None).prctl(15, b"${name}"); print("ready", flush=True); time.sleep(60)`;
      const child = Bun.spawn(["python3", "-c", code], { stdout: "pipe" });
      try {
        await child.stdout.getReader().read();
        const found = programOf(await identifyInTime(identify, pinnedRecord(child.pid), "imds", PEER));
        expect(found.doubts).toEqual([]);
        expect(found.name).toStartWith("python3");
      } finally {
        child.kill();
        await child.exited;
      }
    },
  );
});

describe("many callers", () => {
  test(
    "T-49: leave no descriptor behind, whatever becomes of them",
    async () => {
      const running = pinnedRecord(await shop.start([path, "60"]));
      const { executable } = running;
      if (executable === undefined) throw new Error("no executable");
      const ended = pinnedRecord(await shop.start([path, "60"]));
      await shop.end(ended.processId);
      const hidden = pinnedRecord(await startHidden());
      const records = [
        running,
        ended,
        hidden,
        { ...running, startTimeNs: 0n },
        { ...running, executable: { ...executable, inode: 1n } },
        { ...running, executable: { ...executable, device: 1 } },
      ];
      const round = async (count: number) => {
        const callers = await Promise.all(
          Array.from({ length: count }, (_, index) => identify(records[index % records.length] ?? running, "imds", PEER)),
        );
        return callers.filter((caller) => caller.claims.processFullPath === path).length;
      };
      await round(100);
      const before = readdirSync("/proc/self/fd").length;
      let proven = 0;
      for (let batch = 0; batch < 12; batch += 1) proven += await round(102);
      expect(proven).toBe((12 * 102) / records.length);
      expect(readdirSync("/proc/self/fd").length).toBe(before);
    },
    SLOW_MS,
  );

  test("that end while they are identified are known or unknown, never somebody else", async () => {
    for (let count = 0; count < 30; count += 1) {
      const pid = await shop.start([path, "60"]);
      const record = pinnedRecord(pid);
      const [caller] = await Promise.all([identify(record, "imds", PEER), count % 2 === 0 ? shop.end(pid) : undefined]);
      const found = programOf(caller);
      if (found.path === undefined)
        expect(found).toMatchObject({ name: undefined, commandLine: "", doubts: [expect.stringContaining(String(pid))] });
      else if (found.doubts.length === 0) expect(found).toEqual({ path, name: "prog", commandLine: `${path} 60`, doubts: [] });
      else expect(found).toEqual({ path, name: "prog", commandLine: "", doubts: [expect.stringMatching(`process ${pid}: it ${LATE}$`)] });
    }
  });
});

describe("what the caller chooses", () => {
  /** Processor time of the agent for one identification, microseconds: the least of several rounds. */
  async function costOf(pid: number): Promise<number> {
    const record = pinnedRecord(pid);
    const rounds: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      const before = process.cpuUsage();
      for (let count = 0; count < 100; count += 1) await identify(record, "imds", PEER);
      const { user, system } = process.cpuUsage(before);
      rounds.push((user + system) / 100);
    }
    return Math.min(...rounds);
  }

  test(
    "T-163: thousands of threads make no identification longer",
    async () => {
      const start = async (threads: number) => {
        const code = `
import os, threading, time
threading.stack_size(65536)
for n in range(${threads}): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
os.write(1, b"ready")
time.sleep(600)`;
        const child = Bun.spawn(["python3", "-c", code], { stdout: "pipe" });
        await child.stdout.getReader().read();
        return child;
      };
      const [one, many] = [await start(0), await start(6000)];
      try {
        // Before, the sum over the threads cost several times the rest.
        expect((await costOf(many.pid)) / (await costOf(one.pid))).toBeLessThan(2);
      } finally {
        for (const child of [one, many]) {
          child.kill("SIGKILL");
          await child.exited;
        }
      }
    },
    SLOW_MS,
  );

  test(
    "T-163: thousands of mounts neither hide which file runs nor are read",
    async () => {
      // The file system of the program is the last in the list, and stat tells another device than the kernel's.
      const mounts = `mount -t tmpfs none ${shop.folder}; cd ${shop.folder}; mkdir a l u w m; cp /bin/sleep l/low
        mount -t tmpfs lower l; cp /bin/sleep l/low; mkdir s; mount -t tmpfs up s; mkdir s/u s/w
        python3 -c 'import ctypes; c = ctypes.CDLL(None); [c.mount(b"l", b"a", None, 4096, None) for n in range(4000)]'
        mount -t overlay none -o lowerdir=l,upperdir=s/u,workdir=s/w m; exec ${shop.folder}/m/low 60`;
      const program = `${shop.folder}/m/low`;
      const pid = await shop.start(["unshare", "--mount", "--propagation", "private", "sh", "-ec", mounts], program);
      await untilRuns(pid, program);
      const found = programOf(await identifyInTime(identify, pinnedRecord(pid), "imds", PEER));
      expect(found.commandLine).toBe(`${program} 60`);
      expect(found.doubts).toEqual([`the executable "${program}" is not there in the agent's mount namespace`]);
    },
    SLOW_MS,
  );
});

/** A program at a path that leads to another file where the agent looks. */
async function startHidden(): Promise<number> {
  const script = `mount -t tmpfs none ${shop.folder}; cp /bin/sleep ${path}; exec ${path} 60`;
  const pid = await shop.start(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], path);
  await untilRuns(pid, path);
  return pid;
}
