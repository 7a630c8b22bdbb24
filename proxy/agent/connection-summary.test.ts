import { describe, expect, test } from "bun:test";
import { isFailedAuthentication, makeSummaryCounter } from "./connection-summary.ts";
import type { RequestEnd } from "./handle-request.ts";

function end(processCmdLine: string, more: Partial<RequestEnd> = {}): RequestEnd {
  const claims = { userName: "alice", userGroups: ["readers"], processCmdLine, processFullPath: "/usr/bin/curl" };
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

describe("connection summary", () => {
  test("counts the same caller and outcome in one entry", () => {
    const counter = makeSummaryCounter();
    for (let n = 0; n < 3; n++) counter.count(end("curl"));
    counter.count(end("curl", { status: 403 }));
    expect(counter.entries().map(({ responseStatus, count, ip, port, userName }) => [responseStatus, count, ip, port, userName])).toEqual([
      ["200", 3, "169.254.169.254", 80, "alice"],
      ["403", 1, "169.254.169.254", 80, "alice"],
    ]);
  });

  test("T-21: a caller that varies its arguments neither grows it nor is lost from the count", () => {
    const counter = makeSummaryCounter(10);
    for (let n = 0; n < 5_000; n++) counter.count(end(`curl ${n}`, { status: n % 2 === 0 ? 200 : 403 }));
    const entries = counter.entries();
    expect(entries.length).toBe(12);
    expect(entries.reduce((sum, { count }) => sum + count, 0)).toBe(5_000);
    expect(entries.filter(({ userName }) => userName === "other").map(({ responseStatus }) => responseStatus)).toEqual(["200", "403"]);
  });

  test("a caller that is not known is told as such", () => {
    const counter = makeSummaryCounter();
    counter.count(end("", { caller: undefined, status: 421 }));
    expect(counter.entries()).toMatchObject([{ userName: "undefined", processCmdLine: "empty", responseStatus: "421" }]);
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
