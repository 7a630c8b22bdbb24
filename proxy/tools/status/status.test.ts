import { describe, expect, test } from "bun:test";
import { err, ok, type Result } from "../../core/result.ts";
import type { AskError } from "./ask-provision.ts";
import type { ProvisionAnswer } from "./provision-answer.ts";
import { findStatus, type StatusPorts } from "./status.ts";

type Answer = Result<ProvisionAnswer, AskError>;
type Question = Parameters<StatusPorts["ask"]>[0];

const READY: Answer = ok({ finished: true, errorMessage: "" });
const BUSY: Answer = ok({ finished: false, errorMessage: "keyLatchStatus - asking\r\n" });
const ABSENT: Answer = err({ connected: false, message: "is not running: nothing listens" });
const HUNG = "hung";

/** Answers one after the other, the last one for ever; time passes only as the ports say. */
function world(answers: readonly (Answer | typeof HUNG)[], epochMs: (nowMs: number) => number = (nowMs) => 1_700_000_000_000 + nowMs) {
  let nowMs = 10;
  const questions: (Question & { readonly atMs: number })[] = [];
  const ports: StatusPorts = {
    ask: async (question) => {
      questions.push({ ...question, atMs: nowMs });
      const answer = answers[Math.min(questions.length, answers.length) - 1] ?? ABSENT;
      nowMs += answer === HUNG ? question.limitMs : 1;
      return answer === HUNG ? err({ connected: true, message: "does not answer" }) : answer;
    },
    monotonicMs: () => nowMs,
    epochMs: () => epochMs(nowMs),
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
  return { questions, ports, nowMs: () => nowMs };
}

describe("findStatus", () => {
  test("ready: 0 and no word", async () => {
    expect(await findStatus(0, world([READY]).ports)).toEqual({ exitCode: 0, line: "" });
  });

  test("finished with an error: 2 at once, its lines as one", async () => {
    const { ports, questions } = world([ok({ finished: true, errorMessage: "keyLatchStatus - no\r\nebpfProgramStatus - neither\r\n" })]);
    expect(await findStatus(120, ports)).toEqual({ exitCode: 2, line: "keyLatchStatus - no; ebpfProgramStatus - neither" });
    expect(questions).toHaveLength(1);
  });

  test.each([
    ["nobody there", ABSENT, "not ready after 3 s: the agent is not running: nothing listens"],
    ["unfinished", BUSY, "not ready after 3 s: keyLatchStatus - asking"],
    ["hung", HUNG, "not ready after 3 s: the agent does not answer"],
  ] as const)("not in time (%s): 1 within N + 2 s, with the last reason", async (_name, answer, line) => {
    const { ports, nowMs } = world([answer]);
    expect(await findStatus(3, ports)).toEqual({ exitCode: 1, line });
    expect(nowMs()).toBeGreaterThan(2_800);
    expect(nowMs()).toBeLessThan(4_500);
  });

  test("without a wait it asks once, for little more than a second", async () => {
    const { ports, questions, nowMs } = world([HUNG]);
    expect(await findStatus(0, ports)).toEqual({ exitCode: 1, line: "not ready: the agent does not answer" });
    expect(questions).toHaveLength(1);
    expect(nowMs()).toBeLessThan(1_500);
  });

  test("absent, starting, hung, restarting, then ready: 0", async () => {
    const starting: Answer = err({ connected: true, message: "is starting or busy (503)" });
    const { ports } = world([ABSENT, ABSENT, starting, HUNG, ABSENT, BUSY, READY]);
    expect((await findStatus(120, ports)).exitCode).toBe(0);
  });

  test("the notify goes with every question until one has connected", async () => {
    const { ports, questions } = world([ABSENT, ABSENT, HUNG, BUSY, READY]);
    await findStatus(120, ports);
    expect(questions.map(({ notify }) => notify)).toEqual([true, true, true, false, false]);
  });

  test("no question is asked oftener than ten times a second", async () => {
    const { ports, questions } = world([BUSY]);
    await findStatus(10, ports);
    expect(questions.length).toBeGreaterThan(90);
    expect(questions.length).toBeLessThan(101);
  });

  test("the tick is the start of this process, on the clock as it goes at each question", async () => {
    const jumpMs = -5 * 3_600_000;
    const { ports, questions } = world([BUSY], (nowMs) => 1_700_000_000_000 + nowMs + (nowMs > 1_000 ? jumpMs : 0));
    await findStatus(2, ports);
    const ticks = new Set(questions.map(({ tick, atMs }) => `${atMs > 1_000} ${tick / 1_000_000n}`));
    expect([...ticks]).toEqual(["false 1700000000000", `true ${1_700_000_000_000 + jumpMs}`]);
  });

  test.each([7_200_000, -7_200_000])("a clock that jumps by %p ms neither shortens nor lengthens the wait", async (jumpMs) => {
    const { ports, nowMs } = world([BUSY], (now) => 1_700_000_000_000 + now + (now > 500 ? jumpMs : 0));
    expect((await findStatus(5, ports)).exitCode).toBe(1);
    expect(nowMs()).toBeGreaterThan(4_800);
    expect(nowMs()).toBeLessThan(5_200);
  });

  test("T-97: the line has at most 200 characters, no bar, no control characters and nothing beyond ASCII", async () => {
    const errorMessage = `keyLatchStatus - a|b\u0000\u001b[31mü🔑\t${"x".repeat(5000)}\r\n`;
    const { line } = await findStatus(0, world([ok({ finished: true, errorMessage })]).ports);
    expect(line).toHaveLength(200);
    expect(line).toMatch(/^keyLatchStatus - a\/b\?\?\[31m\?+x+\.\.\.$/);
    expect((await findStatus(0, world([ok({ finished: false, errorMessage })]).ports)).line).toHaveLength(200);
  });

  describe("whatever is not ready has a reason in words", () => {
    const NOT_SAID = "the agent has not finished and does not say why";
    const NO_ERROR_SAID = "the agent has finished with an error and does not say which";
    const unfinished = (errorMessage: string) => ok({ finished: false, errorMessage });
    const failed = (errorMessage: string) => ok({ finished: true, errorMessage });
    const lost = (message: string) => err({ connected: false, message });

    test.each([
      [unfinished(""), 1, `not ready after 2 s: ${NOT_SAID}`],
      [unfinished("\r\n"), 1, `not ready after 2 s: ${NOT_SAID}`],
      [unfinished(" \t \u0000\u001b | - "), 1, `not ready after 2 s: ${NOT_SAID}`],
      [unfinished("鍵がない"), 1, `not ready after 2 s: ${NOT_SAID}`],
      [unfinished("keyLatchStatus - no key\r\n"), 1, "not ready after 2 s: keyLatchStatus - no key"],
      [failed("\r\n"), 2, NO_ERROR_SAID],
      [failed("🔑"), 2, NO_ERROR_SAID],
      [failed("keyLatchStatus - no key\r\n"), 2, "keyLatchStatus - no key"],
      [lost("is starting or busy (503)"), 1, "not ready after 2 s: the agent is starting or busy (503)"],
      [HUNG, 1, "not ready after 2 s: the agent does not answer"],
    ] as const)("%j: %i, %p", async (answer, exitCode, line) => {
      expect(await findStatus(2, world([answer]).ports)).toEqual({ exitCode, line });
    });

    test.each([0, 2])("a command that was slow to start still asks once, and ends in time (wait %i s)", async (waitSeconds) => {
      for (const startedLateMs of [1_100, 1_199, 1_200, 1_500, 1_780]) {
        const { ports, questions, nowMs } = world([BUSY, HUNG]);
        await ports.sleep(waitSeconds * 1000 + startedLateMs);
        expect((await findStatus(waitSeconds, ports)).line).toEndWith(": keyLatchStatus - asking");
        expect(questions).toHaveLength(1);
        expect(nowMs()).toBeLessThan(waitSeconds * 1000 + 2_000);
      }
    });

    test("a command that was too slow to ask at all says so", async () => {
      const { ports, questions } = world([READY]);
      await ports.sleep(4_000);
      const line = "not ready after 2 s: there was no time to query the agent: this command had run for 5 s by then";
      expect([await findStatus(2, ports), questions.length]).toEqual([{ exitCode: 1, line }, 0]);
    });
  });
});
