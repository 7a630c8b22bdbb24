import { describe, expect, test } from "bun:test";
import { makeProvisioning } from "./provisioning.ts";

const READY_KEY = { ready: true, stateText: "WireServer Enforce -  IMDS Audit - HostGA Enforce", message: "key is latched" };
const DISABLED = { ready: true, stateText: "disabled", message: "secure channel is disabled by the platform" };
const UNREACHABLE = { ready: false, stateText: "Unknown", message: "host unreachable" };

/** A provisioning with clocks and a timer of the test's own. */
function setUp() {
  let nowMs = 1_000;
  let jumpMs = 0;
  let timer: { atMs: number; run: () => void } | undefined;
  let woken = 0;
  const ends: string[] = [];
  const epochMs = () => 1_700_000_000_000 + nowMs + jumpMs;
  const provisioning = makeProvisioning({
    monotonicMs: () => nowMs,
    epochMs,
    after: (ms, run) => {
      const mine = { atMs: nowMs + ms, run };
      timer = mine;
      return () => {
        if (timer === mine) timer = undefined;
      };
    },
    wake: () => {
      woken++;
    },
    finished: (errorText) => ends.push(errorText),
  });
  const pass = (ms: number) => {
    nowMs += ms;
    if (timer === undefined || timer.atMs > nowMs) return;
    const { run } = timer;
    timer = undefined;
    run();
  };
  const start = () => {
    provisioning.setListener(true, "listening");
    provisioning.setRedirector(true, "attached");
  };
  return {
    provisioning,
    pass,
    start,
    ends,
    woken: () => woken,
    nowMs: () => nowMs,
    jump: (ms: number) => {
      jumpMs += ms;
    },
    /** A tick as a process started now would send it. */
    tick: () => BigInt(epochMs()) * 1_000_000n,
  };
}

describe("makeProvisioning", () => {
  test("is finished when all three are there, in whatever order they come", () => {
    const parts = [
      (at: ReturnType<typeof setUp>) => at.provisioning.setListener(true, ""),
      (at: ReturnType<typeof setUp>) => at.provisioning.setRedirector(true, ""),
      (at: ReturnType<typeof setUp>) => at.provisioning.setKey(READY_KEY),
    ];
    for (const [a, b, c] of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ] as const) {
      const at = setUp();
      for (const index of [a, b]) parts[index]?.(at);
      expect([at.provisioning.isReady(), at.provisioning.isFinished(0n), at.ends.length]).toEqual([false, false, 0]);
      parts[c]?.(at);
      expect([at.provisioning.isReady(), at.provisioning.isFinished(0n)]).toEqual([true, true]);
      expect(at.ends).toEqual([""]);
      expect(at.provisioning.errorText(0n)).toBe("");
    }
  });

  test("before the start nothing is finished and each part is named, ended by CR LF", () => {
    const { provisioning } = setUp();
    expect(provisioning.errorText(0n)).toBe(
      "ebpfProgramStatus - Status unknown.\r\nkeyLatchStatus - Status unknown.\r\nproxyListenerStatus - Status unknown.\r\n",
    );
    expect(provisioning.isFinished(0n)).toBe(false);
  });

  test("two minutes without: finished with the reason; ready later: finished without", () => {
    const { provisioning, pass, start, ends } = setUp();
    start();
    provisioning.setKey(UNREACHABLE);
    pass(119_999);
    expect([provisioning.isFinished(0n), ends]).toEqual([false, []]);
    pass(1);
    expect(ends).toEqual(["keyLatchStatus - host unreachable\r\n"]);
    expect(provisioning.isFinished(0n)).toBe(true);
    pass(3_600_000);
    provisioning.setKey(READY_KEY);
    expect(ends).toEqual(["keyLatchStatus - host unreachable\r\n", ""]);
    expect(provisioning.errorText(0n)).toBe("");
  });

  test("the error text is the present one, not that of the end", () => {
    const { provisioning, pass, start } = setUp();
    start();
    provisioning.setKey(UNREACHABLE);
    pass(120_000);
    provisioning.setKey({ ...UNREACHABLE, message: "attestation refused" });
    expect(provisioning.errorText(0n)).toBe("keyLatchStatus - attestation refused\r\n");
  });

  test("asked again hours later on an enabled channel: finished, whatever the tick", () => {
    const { provisioning, pass, start, tick, woken } = setUp();
    start();
    provisioning.setKey(READY_KEY);
    pass(5 * 3_600_000);
    expect(provisioning.isFinished(tick())).toBe(true);
    expect(woken()).toBe(0);
  });

  test("asked again hours later on a disabled channel: finished only by an answer to a question after the tick", () => {
    const { provisioning, pass, start, ends, tick, woken, nowMs } = setUp();
    start();
    provisioning.setKey(DISABLED);
    expect(ends).toEqual([""]);
    pass(5 * 3_600_000);
    const underWayMs = nowMs() - 1;
    const asked = tick();
    expect(provisioning.isFinished(asked)).toBe(false);
    provisioning.notify();
    expect([woken(), provisioning.isFinished(asked)]).toEqual([1, false]);
    expect(provisioning.errorText(asked)).toBe(`keyLatchStatus - the host is being asked anew, last: ${DISABLED.message}\r\n`);
    pass(500);
    provisioning.hostAnswered(underWayMs);
    expect(provisioning.isFinished(asked)).toBe(false);
    provisioning.hostAnswered(nowMs());
    expect([provisioning.isFinished(asked), provisioning.errorText(asked)]).toEqual([true, ""]);
    expect(ends).toEqual([""]);
  });

  test("reprovisioned from disabled to enforce: not finished before the key is latched", () => {
    const { provisioning, pass, start, tick, nowMs } = setUp();
    start();
    provisioning.setKey(DISABLED);
    pass(3_600_000);
    const asked = tick();
    provisioning.notify();
    provisioning.setKey({ ready: false, stateText: READY_KEY.stateText, message: "waiting for the key" });
    provisioning.hostAnswered(nowMs());
    expect([provisioning.isFinished(asked), provisioning.errorText(0n)]).toEqual([false, "keyLatchStatus - waiting for the key\r\n"]);
    pass(2_000);
    provisioning.setKey(READY_KEY);
    expect(provisioning.isFinished(asked)).toBe(true);
  });

  test.each([
    ["unknown", UNREACHABLE],
    ["disabled", DISABLED],
    ["enabled", READY_KEY],
    ["enabled without a key", { ...READY_KEY, ready: false }],
  ] as const)("T-168: on a channel that is %s a notify wakes the poll loop and changes no answer, at any time", (_name, key) => {
    const plain = setUp();
    const notified = setUp();
    const answers = ({ provisioning, ends, tick }: ReturnType<typeof setUp>) => [
      provisioning.isReady(),
      ends.length,
      ...[0n, tick(), tick() - 60_000_000_000n, tick() + 86_400_000_000_000n, 10n ** 30n].map((at) => [
        provisioning.isFinished(at),
        provisioning.errorText(at),
      ]),
    ];
    for (const at of [plain, notified]) at.start();
    for (let second = 0; second < 300; second++) {
      if (second === 5) for (const at of [plain, notified]) at.provisioning.setKey(key);
      for (let i = 0; i < 20; i++) {
        notified.provisioning.isFinished(10n ** 30n);
        notified.provisioning.notify();
        for (const at of [plain, notified]) at.pass(50);
      }
      if (second % 15 === 0) for (const at of [plain, notified]) at.provisioning.hostAnswered(at.nowMs());
      expect(answers(notified)).toEqual(answers(plain));
    }
    expect([plain.woken(), notified.woken()]).toEqual([0, 6_000]);
  });

  test("T-168: the two minutes end when they end, whoever asks meanwhile", () => {
    const { provisioning, pass, start, ends, tick } = setUp();
    start();
    provisioning.setKey(UNREACHABLE);
    const early = tick();
    for (let i = 0; i < 1_199; i++) {
      pass(100);
      provisioning.notify();
    }
    expect([ends, provisioning.isFinished(early)]).toEqual([[], false]);
    pass(100);
    expect([ends, provisioning.isFinished(early)]).toEqual([["keyLatchStatus - host unreachable\r\n"], true]);
  });

  test("who begins to ask late has 110 s of its own before an error is its end, whatever others ask", () => {
    const { provisioning, pass, start, tick } = setUp();
    start();
    provisioning.setKey(UNREACHABLE);
    pass(100_000);
    const late = tick();
    pass(20_000);
    expect([provisioning.isFinished(0n), provisioning.isFinished(late)]).toEqual([true, false]);
    expect(provisioning.errorText(late)).toBe("keyLatchStatus - host unreachable\r\n");
    pass(89_999);
    provisioning.notify();
    expect(provisioning.isFinished(late)).toBe(false);
    pass(1);
    expect(provisioning.isFinished(late)).toBe(true);
  });

  test("a notify on an enabled channel has the host asked and takes nothing back", () => {
    const { provisioning, start, woken } = setUp();
    start();
    provisioning.setKey(READY_KEY);
    provisioning.notify();
    expect([woken(), provisioning.isReady(), provisioning.isFinished(0n)]).toEqual([1, true, true]);
  });

  test("readiness that is lost is not finished any more, and an error after two minutes", () => {
    const { provisioning, pass, start, ends } = setUp();
    start();
    provisioning.setKey(READY_KEY);
    pass(1_000_000);
    provisioning.setKey({ ...READY_KEY, ready: false, message: "the host names another key" });
    expect([provisioning.isReady(), provisioning.isFinished(0n)]).toEqual([false, false]);
    pass(120_000);
    expect([provisioning.isFinished(0n), ends.at(-1)]).toEqual([true, "keyLatchStatus - the host names another key\r\n"]);
  });

  test.each([7_200_000, -7_200_000])(
    "a clock that jumps by %p ms after the end changes nothing for who asked before or asks after",
    (ms) => {
      const { provisioning, pass, start, tick, jump, nowMs } = setUp();
      start();
      const startedMs = nowMs();
      pass(10);
      provisioning.setKey(DISABLED);
      jump(ms);
      // As --status sends it: its start on the clock as it goes now.
      const before = tick() - BigInt(nowMs() - startedMs) * 1_000_000n;
      pass(10);
      expect([provisioning.isFinished(before), provisioning.isFinished(tick())]).toEqual([true, false]);
    },
  );

  test("long messages are cut by characters", () => {
    const { provisioning, start } = setUp();
    start();
    provisioning.setKey({ ...UNREACHABLE, message: "🔑".repeat(5_000) });
    const text = provisioning.errorText(0n);
    expect([...text]).toHaveLength("keyLatchStatus - ".length + 1024 + 2);
    expect(text).toEndWith("🔑...\r\n");
  });
});
