import { describe, expect, test } from "bun:test";
import type { RequestEnd } from "../request/handle-request.ts";
import { isFailedAuthentication, makeConnectionSummaries } from "./connection-summary.ts";

function end(processCmdLine: string, more: Partial<RequestEnd> = {}): RequestEnd {
  const claims = { userId: 1000, userName: "alice", userGroups: ["readers"], processCmdLine, processFullPath: "/usr/bin/curl" };
  return {
    event: "request-forwarded",
    requestId: "1",
    caller: { endpoint: "imds", claims, doubts: [] } as unknown as RequestEnd["caller"],
    method: "GET",
    target: "/",
    request: undefined,
    status: 200,
    reason: "granted",
    detail: "",
    verdict: undefined,
    modules: [],
    mode: "enforce",
    auditDeny: false,
    endorsed: true,
    epoch: 1,
    elapsedMs: 1,
    identifyMs: undefined,
    policyMs: undefined,
    hostMs: undefined,
    ...more,
  };
}

describe("connection summaries", () => {
  test("name caller, place and outcome", () => {
    const summaries = makeConnectionSummaries(() => 0);
    for (let n = 0; n < 3; n++) summaries.count(end("curl"));
    summaries.count(end("curl", { event: "request-denied", status: 403 }));
    summaries.count(end("curl", { status: 599 }));
    const known = { userName: "alice", userGroups: ["readers"], ip: "169.254.169.254", port: 80, processFullPath: "/usr/bin/curl" };
    const entry = (responseStatus: string, count: number) => ({ ...known, processCmdLine: "curl", responseStatus, count });
    expect(summaries.all()).toEqual([entry("200 OK", 3), entry("403 Forbidden", 1), entry("599", 1)]);
    expect(summaries.failed()).toEqual([entry("403 Forbidden", 1)]);
  });

  test("a caller that is not known is told as such", () => {
    const summaries = makeConnectionSummaries(() => 0);
    summaries.count(end("", { caller: undefined, status: 421 }));
    expect(summaries.all()).toMatchObject([{ userName: "undefined", processCmdLine: "empty", responseStatus: "421 Misdirected Request" }]);
  });

  test.each([
    [{ event: "request-denied", status: 403 }, true],
    [{ event: "request-denied", status: 421 }, true],
    [{ auditDeny: true }, true],
    [{ event: "request-denied", status: 400 }, false],
    [{ event: "request-failed", status: 503 }, false],
    [{}, false],
  ] as const)("%j counts as failed authentication: %p", (more, expected) => {
    expect(isFailedAuthentication(end("curl", more))).toBe(expected);
  });
});
