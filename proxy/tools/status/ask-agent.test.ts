import { describe, expect, test } from "bun:test";
import { err, ok, type Result } from "../../core/result.ts";
import { type AgentSources, askAgent } from "./ask-agent.ts";
import type { AskError } from "./ask-provision.ts";
import type { ListenerOwner } from "./listener-owner.ts";
import type { ProvisionAnswer } from "./provision-answer.ts";
import type { FoundSocket } from "./socket-place.ts";

type Answer = Result<ProvisionAnswer, AskError>;

const READY: Answer = ok({ finished: true, errorMessage: "" });
const BUSY: Answer = err({ connected: true, message: "is starting or busy (503)" });
const HUNG = "hung";
const ROOT: ListenerOwner = { kind: "user", uid: 0 };
const TRUSTED: FoundSocket = { kind: "trusted" };
const QUESTION = { tick: 5n, notify: true, limitMs: 1_000 };

/** Time passes only while somebody sleeps or waits for a side that hangs. */
function world(found: FoundSocket, socket: Answer | typeof HUNG, listener: Answer | typeof HUNG, owner: ListenerOwner = ROOT) {
  let nowMs = 0;
  const waiting: { readonly atMs: number; readonly wake: () => void }[] = [];
  const sleep = (ms: number) => new Promise<void>((resolve) => waiting.push({ atMs: nowMs + ms, wake: resolve }));
  const asked: string[] = [];
  const side = (name: string, answer: Answer | typeof HUNG) => async (question: typeof QUESTION) => {
    asked.push(`${name} ${nowMs} ms, limit ${question.limitMs}`);
    if (answer !== HUNG) return answer;
    await sleep(question.limitMs);
    return err({ connected: true, message: "does not answer" });
  };
  const sources: AgentSources = {
    examineSocket: () => found,
    askSocket: side("socket", socket),
    askListener: side("listener", listener),
    listenerOwner: () => owner,
    monotonicMs: () => nowMs,
    sleep,
  };
  const run = async () => {
    let answer: Answer | undefined;
    void askAgent(QUESTION, sources).then((found) => {
      answer = found;
    });
    for (;;) {
      await Bun.sleep(0);
      if (answer !== undefined) return { answer, nowMs, asked };
      waiting.sort((a, b) => a.atMs - b.atMs);
      const next = waiting.shift();
      if (next === undefined) throw new Error("nobody waits for anything");
      nowMs = Math.max(nowMs, next.atMs);
      next.wake();
    }
  };
  return { run };
}

describe("askAgent", () => {
  test("T-169: the control socket is asked first, and its answer is enough", async () => {
    expect(await world(TRUSTED, READY, BUSY).run()).toEqual({ answer: READY, nowMs: 0, asked: ["socket 0 ms, limit 1000"] });
  });

  test("without a socket (an older agent, the reference): the listener, with all the time there is", async () => {
    expect(await world({ kind: "absent" }, HUNG, READY).run()).toEqual({ answer: READY, nowMs: 0, asked: ["listener 0 ms, limit 1000"] });
  });

  test("T-170: a socket that somebody else may have placed is not asked; why is told when the listener fails, too", async () => {
    const doubtful: FoundSocket = { kind: "doubtful", message: 'uid 1000 owns "/run/x"' };
    expect(await world(doubtful, READY, READY).run()).toMatchObject({ answer: READY, asked: ["listener 0 ms, limit 1000"] });
    const message = 'is starting or busy (503); control socket: uid 1000 owns "/run/x"';
    expect((await world(doubtful, READY, BUSY).run()).answer).toEqual(err({ connected: true, message }));
  });

  test("T-170: a socket that is stuck costs 0.4 s, then the listener's answer counts", async () => {
    expect(await world(TRUSTED, HUNG, READY).run()).toEqual({
      answer: READY,
      nowMs: 400,
      asked: ["socket 0 ms, limit 1000", "listener 400 ms, limit 600"],
    });
  });

  test("T-171: a socket that refuses, as that of another namespace's agent does, costs nothing", async () => {
    const refused: Answer = err({ connected: true, message: "runs in another network namespace (421)" });
    expect(await world(TRUSTED, refused, READY).run()).toMatchObject({ answer: READY, nowMs: 0 });
    const message = "is starting or busy (503); control socket: it runs in another network namespace (421)";
    expect((await world(TRUSTED, refused, BUSY).run()).answer).toEqual(err({ connected: true, message }));
  });

  test("both stuck: no longer than the limit, one reason", async () => {
    expect(await world(TRUSTED, HUNG, HUNG).run()).toEqual({
      answer: err({ connected: true, message: "does not answer" }),
      nowMs: 1_000,
      asked: ["socket 0 ms, limit 1000", "listener 400 ms, limit 600"],
    });
  });

  test.each([
    [{ kind: "user", uid: 1000 }, "is not running: uid 1000 listens in its place"],
    [{ kind: "nobody" }, "is not running: who answered has gone"],
  ] as const)("T-97: an answer of somebody but root is none: %p", async (owner, message) => {
    // Not connected: the agent must still get its notify, should it come.
    const refused = err({ connected: false, message });
    expect((await world({ kind: "absent" }, HUNG, READY, owner).run()).answer).toEqual(refused);
    expect((await world(TRUSTED, HUNG, READY, owner).run()).answer).toEqual(
      err({ connected: false, message: `${message}; control socket: it does not answer` }),
    );
    // Over root's socket it does not matter who has the port.
    expect((await world(TRUSTED, READY, READY, owner).run()).answer).toEqual(READY);
  });

  test("where the kernel's tables cannot be read, the listener's answer counts", async () => {
    expect((await world({ kind: "absent" }, HUNG, READY, { kind: "unknown" }).run()).answer).toEqual(READY);
  });
});
