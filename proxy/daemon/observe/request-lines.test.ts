import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import { makeRequestLines } from "./request-lines.ts";

function end(more: Partial<RequestEnd> = {}, userId = 1000): RequestEnd {
  const claims = { userId, userName: "alice", userGroups: [], processCmdLine: "curl", processFullPath: "/usr/bin/curl" };
  const known = { event: "request-forwarded", requestId: "1", method: "GET", target: "/metadata/instance", status: 200, reason: "granted" };
  const caller = { endpoint: "imds", claims, doubts: [] };
  return {
    ...known,
    caller,
    detail: "",
    mode: "enforce",
    auditDeny: false,
    modules: [],
    epoch: 1,
    elapsedMs: 1,
    ...more,
  } as unknown as RequestEnd;
}

function makeTestLines() {
  const { log, events } = makeFakeLog();
  let nowMs = 0;
  const lines = makeRequestLines(log, () => nowMs);
  return { lines, events, passMs: (ms: number) => (nowMs += ms) };
}

describe("makeRequestLines", () => {
  test("a retrying caller gets ten lines and one for the rest", () => {
    const { lines, events } = makeTestLines();
    for (let n = 1; n <= 25; n++) lines.ended(end({ event: "request-denied", requestId: String(n), status: 403, reason: "not-granted" }));
    expect(events.length).toBe(10);
    lines.settle();
    expect(events.length).toBe(11);
    expect(events[10]).toMatchObject({
      level: "info",
      event: "request-denied",
      fields: { requestId: "11", url: "/metadata/instance", ip: "169.254.169.254", userName: "alice", repeated: 15 },
    });
  });

  test.each([
    ["user", (n: number) => end({}, 1000 + n)],
    ["target", (n: number) => end({ target: `/metadata/instance?x=${n}` })],
    ["long target", (n: number) => end({ target: `/${"x".repeat(1_000)}${n}` })],
    ["method", (n: number) => end({ method: `M${n}` })],
    ["status", (n: number) => end({ status: 200 + n })],
    ["reason", (n: number) => end({ reason: `r${n}` })],
  ] as const)("another %s has its own line", (_what, make) => {
    const { lines, events } = makeTestLines();
    for (let n = 0; n < 30; n++) lines.ended(make(n));
    expect(events.length).toBe(30);
  });

  test("what audit let pass is not counted with what was allowed", () => {
    const { lines, events } = makeTestLines();
    for (let n = 0; n < 10; n++) lines.ended(end());
    lines.ended(end({ auditDeny: true }));
    expect(events.length).toBe(11);
  });

  test("T-90: refused heads and connections cannot flood the log", () => {
    const { lines, events } = makeTestLines();
    const peer = { address: "127.0.0.1", port: 1 };
    const refusedEnd = end({ event: "request-denied", reason: "malformed-head", status: 400, detail: "bad request line" });
    for (let n = 0; n < 500; n++) {
      lines.headRefused(refusedEnd, { caller: undefined, userId: 1000, peer, status: 400, detail: "bad request line" });
      lines.connectionRefused(1000, false);
    }
    lines.settle();
    expect(events.length).toBe(22);
    expect(events.slice(20).map(({ event, fields }) => [event, fields.reason, fields.repeated])).toEqual([
      ["request-denied", "malformed-head", 490],
      ["connection-refused", "too-many-connections", 490],
    ]);
  });
});
