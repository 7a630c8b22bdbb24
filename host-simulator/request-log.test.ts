import { describe, expect, test } from "bun:test";
import type { RequestRecord } from "./host-model.ts";
import { renderRequestLine } from "./request-line.ts";
import { EMPTY_SHA256, type Observation, RequestLog, totalRequests } from "./request-log.ts";

function seen(target: string, more: Partial<Observation> = {}): Observation {
  return {
    endpoint: "imds",
    clientPort: 4000,
    method: "GET",
    target,
    head: `GET ${target} HTTP/1.1\r\nA: b\r\n\r\n`,
    bodyBytes: 0,
    bodySha256: EMPTY_SHA256,
    signature: { kind: "unsigned" },
    claims: null,
    status: 200,
    faults: [],
    problem: null,
    ...more,
  };
}

describe("RequestLog", () => {
  test("keeps the newest, counts all", () => {
    const log = new RequestLog(3, undefined);
    for (let i = 1; i <= 8; i++) log.add(seen(`/${i}`), i);
    expect(log.list().map((record) => [record.id, record.target])).toEqual([
      [6, "/6"],
      [7, "/7"],
      [8, "/8"],
    ]);
    expect(log.counters().imds).toMatchObject({ requests: 8, unsigned: 8, statuses: { "200": 8 } });
    log.clear();
    expect([log.list(), totalRequests(log.counters())]).toEqual([[], 0]);
    log.add(seen("/9"), 9);
    expect(log.list().map((record) => record.id)).toEqual([9]);
  });

  test("selects and tells its listener", () => {
    const told: number[] = [];
    const log = new RequestLog(10, (record) => told.push(record.id));
    log.add(seen("/a"), 1);
    log.add(seen("/b", { endpoint: "hostga", signature: { kind: "valid" } }), 2);
    log.add(seen("/c", { signature: { kind: "invalid", reason: "key-unknown" } }), 3);
    expect(told).toEqual([1, 2, 3]);
    expect(log.list({ endpoint: "hostga" }).map((record) => record.id)).toEqual([2]);
    expect(log.list({ verdict: "invalid" }).map((record) => record.id)).toEqual([3]);
    expect(log.list({ afterId: 1, limit: 1 }).map((record) => record.id)).toEqual([3]);
    expect(log.list({ limit: 0 })).toEqual([]);
  });
});

describe("renderRequestLine", () => {
  const record: RequestRecord = { ...seen("/x"), id: 1, timeMs: 0, headers: [] };

  test("says who, what, verdict and answer", () => {
    const line = renderRequestLine({
      ...record,
      claims: '{ "isRoot": "false"}',
      signature: { kind: "invalid", reason: "key-unknown" },
      status: 401,
    });
    expect(line).toBe("00:00:00.000  imds        port 4000   not root    GET /x  -> invalid (key-unknown), 401");
  });

  test("names faults and problems, and lets nobody draw on the terminal", () => {
    const line = renderRequestLine({ ...record, target: "/\x1b[2J\x9b", faults: ["hang"], status: 0, problem: "gone" });
    expect(line).toEndWith("no claims   GET /\\x1b[2J\\x9b  -> unsigned, no answer  [fault hang, gone]");
  });
});
