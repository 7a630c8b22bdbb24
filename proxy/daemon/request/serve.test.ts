import { describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { openOwnSocket } from "../../adapters/service/listening-socket.ts";
import { NO_MODULES } from "../../core/modules/policy-chain.ts";
import { err, ok } from "../../core/result.ts";
import { UNKNOWN_GUARDS } from "../policy/guards.ts";
import { makeStopSteps } from "../stop-steps.ts";
import { makeServe } from "./serve.ts";

const FAILURE = { kind: "map-failed", message: "scripted" } as const;

/** Every connection came straight to the listener, from an ordinary user. */
const redirector: Parameters<typeof makeServe>[0]["redirector"] = {
  ...{ kernelProcessId: process.pid, pinsExecutable: true, unpinnedReason: undefined, notPinned: "not wanted" },
  setEndpoint: () => err(FAILURE),
  originOf: () => ok({ kind: "direct", realUid: 1000 }),
  counters: () => err(FAILURE),
  provesListener: async () => ok(undefined),
  throttledUsers: () => [],
  tookFromQueue() {},
  settleQueue() {},
  refuseConnects() {},
  verify: () => [],
  leave() {},
  [Symbol.dispose]() {},
};

/** The kernel chose it. */
function portOf(descriptor: number): number {
  const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[0];
  const row = readFileSync("/proc/self/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => fields[9] === inode);
  return Number.parseInt(row?.[1]?.split(":")[1] ?? "", 16);
}

function set() {
  const { log } = makeFakeLog();
  const stops = makeStopSteps(log);
  const opened = openOwnSocket("127.0.0.1", 0);
  if (!opened.ok) throw new Error(opened.error.message);
  const socket = opened.value;
  const heard: unknown[] = [];
  const serve = makeServe({
    ...{ socket, redirector, cgroupRoot: undefined, hashCommand: ["/none"], runId: "run", log, stops },
    monotonicMs: () => performance.now(),
    snapshot: () => ({ epoch: 0, guards: UNKNOWN_GUARDS, modules: NO_MODULES, channel: { kind: "unknown" } }),
    hostDate: () => "",
    accountOf: () => ({ userName: undefined, userGroups: [], doubts: [] }),
  });
  serve.ended.subscribe(["test", ({ requestId, reason, status }) => void heard.push([requestId, reason, status])]);
  serve.headRefused.subscribe(["test", ({ peer, userId, caller, status }) => void heard.push([peer.address, userId, caller, status])]);
  serve.headMalformed.subscribe(["test", () => void heard.push("malformed")]);
  serve.connectionRefused.subscribe(["test", (refused) => void heard.push(refused)]);
  const open = () => serve.open({ answerLocally: () => undefined, namesWanted: () => false, hashWanted: () => false });
  return { serve, stops, heard, open, port: portOf(socket.descriptor) };
}

/** What comes back until the other side closes. */
async function send(port: number, text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const client = connect(port, "127.0.0.1", () => client.write(text));
  let answer = "";
  client.on("data", (bytes) => {
    answer += bytes.toString("latin1");
  });
  client.on("end", () => resolve(answer));
  client.on("error", reject);
  return promise;
}

async function until(isDone: () => boolean): Promise<void> {
  for (const startedMs = performance.now(); !isDone() && performance.now() - startedMs < 5_000; ) await Bun.sleep(2);
}

describe("makeServe", () => {
  test("listens from open to the first moment of a stop", async () => {
    const { serve, stops, open } = set();
    expect([serve.isListening(), serve.connections(), serve.evicted(), serve.requests()]).toEqual([false, 0, 0, 0]);
    expect(open().ok).toBe(true);
    expect(serve.isListening()).toBe(true);
    const stopped = stops.stop();
    expect(serve.isListening()).toBe(false);
    await stopped;
  });

  test("counts requests, names them after the run, and tells how each ended", async () => {
    const { serve, stops, heard, open, port } = set();
    open();
    const answers = [];
    for (let round = 0; round < 2; round++) answers.push(await send(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    expect(answers.map((answer) => answer.split(" ")[1])).toEqual(["421", "421"]);
    expect([serve.requests(), heard]).toEqual([
      2,
      [
        ["run-1", "not-redirected", 421],
        ["run-2", "not-redirected", 421],
      ],
    ]);
    await stops.stop();
  });

  test("T-193: tells of a head that is no request at once, and then whose it was", async () => {
    const { serve, stops, heard, open, port } = set();
    open();
    expect(await send(port, "nonsense\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
    expect([serve.requests(), heard]).toEqual([0, ["malformed", ["127.0.0.1", 1000, undefined, 400]]]);
    await stops.stop();
  });

  test("tells whose connection was refused: a user may have 64 that are direct", async () => {
    const { serve, stops, heard, open, port } = set();
    open();
    const clients: Socket[] = [];
    for (let count = 0; count < 64; count++) clients.push(connect(port, "127.0.0.1").on("error", () => {}));
    await until(() => serve.connections() === 64);
    expect([serve.connections(), heard]).toEqual([64, []]);
    clients.push(connect(port, "127.0.0.1").on("error", () => {}));
    await until(() => heard.length > 0);
    expect(heard).toEqual([{ owner: 1000, direct: true }]);
    for (const client of clients) client.destroy();
    await stops.stop();
  });
});
