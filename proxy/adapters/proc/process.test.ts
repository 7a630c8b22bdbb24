import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ok } from "../../core/result.ts";
import { makeLane } from "./lane.ts";
import { checkStartTime, openProcess, parseStartTicks, readStart } from "./process.ts";

const TAIL = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 1000 10 18446744073709551615 1 1";

describe("parseStartTicks", () => {
  test.each(["sleep", "a) S 1 1 1 (b", "", ")", "((", "a b c d", "x\\n) R 2", "\u00ff\u0000"])(
    "reads field 22 behind the name %p",
    (name) => {
      expect(parseStartTicks(`4242 (${name}) ${TAIL}`)).toBe(777n);
    },
  );

  test.each([
    "",
    ")",
    "1 (a",
    "1 (a) ",
    "1 (a) S 1 2",
    `1 (a) ${TAIL.replace("777", "-777")}`,
    `1 (a) ${TAIL.replace("777", "7x")}`,
    `1 (a) ${TAIL.replace("777", "")}`,
  ])("refuses %p", (text) => {
    expect(parseStartTicks(text)).toBeUndefined();
  });

  test("law: no text makes it throw", () => {
    const alphabet = ["(", ")", " ", "\n", "0", "9", "S", "\u0000", "-", "\uffff"];
    let seed = 20260101;
    const next = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648);
    for (let round = 0; round < 5_000; round += 1) {
      const text = Array.from({ length: next() % 60 }, () => alphabet[next() % alphabet.length]).join("");
      const found = parseStartTicks(text);
      expect(found === undefined || typeof found === "bigint").toBe(true);
    }
  });
});

describe("a held process", () => {
  const ticks = parseStartTicks(readFileSync("/proc/self/stat", "latin1")) ?? -1n;
  const lane = makeLane({ places: 2, limitMs: 30_000, maxWaiting: 10 });
  const own = () => {
    const held = openProcess(process.pid);
    if (!held.ok) throw new Error(held.error);
    return held.value;
  };

  test.each([0n, 1n, 9_999_999n])("has the start time of the same tick, %p ns into it", async (rest) => {
    using held = own();
    expect(await checkStartTime(held, 0, ticks * 10_000_000n + rest, lane)).toEqual({ ok: true, value: undefined });
  });

  test.each([-1n, 10_000_000n, 1_000_000_000n])("is another one when the record is %p ns off", async (off) => {
    using held = own();
    expect((await checkStartTime(held, 0, ticks * 10_000_000n + off, lane)).ok).toBe(false);
  });

  test("cannot be had of a pid that nobody has", () => {
    expect(openProcess(4_194_305)).toEqual({ ok: false, error: "process 4194305 has exited" });
  });

  test("stays the same process after its end, though others start", async () => {
    const child = Bun.spawn(["sleep", "60"]);
    const held = openProcess(child.pid);
    if (!held.ok) throw new Error(held.error);
    using gone = held.value;
    child.kill();
    await child.exited;
    expect(await readStart(`${gone.folder}/stat`, Buffer.alloc(100), 0, lane)).toEqual(ok(undefined));
    expect(await checkStartTime(gone, 0, 1n, lane)).toEqual({ ok: false, error: `process ${child.pid} has exited` });
  });

  test("T-163: is told by its first thread, also after that one has ended, and by no reading of all threads", async () => {
    const code = `
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
os.write(1, b"ready")
ctypes.CDLL(None).pthread_exit(None)`;
    const child = Bun.spawn(["python3", "-c", code], { stdout: "pipe" });
    try {
      await child.stdout.getReader().read();
      const held = openProcess(child.pid);
      if (!held.ok) throw new Error(held.error);
      using leaderless = held.value;
      const whole = () => readFileSync(`/proc/${child.pid}/stat`, "latin1");
      while (!/\) Z /.test(whole())) await Bun.sleep(1);
      const started = parseStartTicks(whole()) ?? -1n;
      expect(await checkStartTime(leaderless, 0, started * 10_000_000n, lane)).toEqual(ok(undefined));
      expect((await checkStartTime(leaderless, 0, (started + 1n) * 10_000_000n, lane)).ok).toBe(false);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });
});
