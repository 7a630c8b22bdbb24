import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeConfig } from "../../../test/fakes/config.ts";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import type { HostReply, SendToHost } from "../../core/ports.ts";
import { err, ok } from "../../core/result.ts";
import { makeStopSteps, type StopStep } from "../stop-steps.ts";
import { makePolicyState, type Polled } from "./policy-state.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "policy-state-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DISABLED = { authorizationScheme: "Azure-HMAC-SHA256", keyDeliveryMethod: "http", version: "2.0", secureChannelEnabled: false };
const SILENT: SendToHost = async () => err({ kind: "unreachable", detail: "scripted" });

function answering(json: unknown): SendToHost {
  const body = Buffer.from(JSON.stringify(json));
  const head: HostReply["head"] = {
    ...{ status: 200, reason: "OK", minorVersion: 1, headers: [], keepAlive: false },
    framing: { kind: "length", lengthBytes: body.length },
  };
  return async () => ok({ head, body });
}

function set(send: SendToHost) {
  const { log } = makeFakeLog();
  const stops = makeStopSteps(log);
  const registered: StopStep[] = [];
  const add = (step: StopStep) => {
    registered.push(step);
    stops.add(step);
  };
  const seen: string[] = [];
  const { promise: firstPoll, resolve } = Promise.withResolvers<Polled>();
  const policy = makePolicyState(makeConfig(folder), {
    ...{ send, log, stops: { ...stops, add }, compileCommand: ["/none"], monotonicMs: () => performance.now() },
    applyRedirect: (wanted, keyReady) => void seen.push(`redirect ${wanted.imds} ${keyReady}`),
  });
  policy.polling.subscribe(["test", () => void seen.push("polling")]);
  policy.changed.subscribe(["test", () => void seen.push("changed")]);
  policy.polled.subscribe(["test", (polled) => void seen.push(`polled ${polled.answered}`)], ["first", resolve]);
  return { policy, stops, registered, seen, firstPoll };
}

describe("makePolicyState", () => {
  test("polls nobody before it is started, and makes the folder of local rules", () => {
    const { policy, seen } = set(SILENT);
    expect([seen, policy.snapshot().epoch, policy.stalledMs(), existsSync(`${folder}/rules`)]).toEqual([[], 0, 0, true]);
  });

  test("a poll: it begins, changes what it changes, switches the redirect, and is done", async () => {
    const { policy, stops, seen, firstPoll } = set(answering(DISABLED));
    policy.start();
    expect(seen).toEqual(["polling"]);
    const { startedMs, answered } = await firstPoll;
    expect(answered).toBe(true);
    expect(startedMs).toBeLessThan(performance.now());
    expect([seen.at(0), seen.at(-1)]).toEqual(["polling", "polled true"]);
    expect(seen.indexOf("changed")).toBeLessThan(seen.indexOf("redirect false false"));
    expect(policy.report()).toMatchObject({ stateText: "disabled", healthy: true });
    await stops.stop();
  });

  test("a host that is silent changes no redirect, and the poll says that it did not answer", async () => {
    const { policy, stops, seen, firstPoll } = set(SILENT);
    policy.start();
    expect((await firstPoll).answered).toBe(false);
    expect(seen).toEqual(["polling", "changed", "polled false"]);
    await stops.stop();
  });

  test("the loop ends with the first moment of a stop, and with a start that fails", () => {
    const { policy, registered } = set(SILENT);
    expect(registered).toEqual([]);
    policy.start();
    const [polling] = registered;
    expect([registered.length, polling?.what, polling?.atOnce]).toEqual([1, "polling", true]);
    expect(polling?.undo).toBe(polling?.run);
    polling?.run();
  });
});
