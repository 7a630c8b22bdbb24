import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import type { Caller } from "../../core/request/caller.ts";
import { UNKNOWN_GUARDS } from "../policy/guards.ts";
import type { Snapshot } from "../policy/key-keeper.ts";
import type { RefusedHead } from "../request/admission.ts";
import { makeConnectionSummaries } from "./connection-summary.ts";
import { makeDenialCounter } from "./denial-counter.ts";
import { makeRefusedHeads } from "./refused-heads.ts";
import { makeRequestLines } from "./request-lines.ts";

const CALLER = {
  endpoint: "imds",
  doubts: [],
  claims: { userId: 1000, userName: "alice", userGroups: [], processId: 7, processFullPath: "/usr/bin/curl", processCmdLine: "curl x" },
} as unknown as Caller;

function setUp() {
  const { log, events } = makeFakeLog();
  const summaries = makeConnectionSummaries(() => 0);
  const denials = makeDenialCounter(() => new Date(0));
  const lines = makeRequestLines(log, () => 0);
  const refused = makeRefusedHeads({
    snapshot: () => ({ guards: UNKNOWN_GUARDS, epoch: 1 }) as Snapshot,
    line: lines.headRefused,
    summary: summaries.count,
    denial: denials.count,
  });
  const tell = (more: Partial<RefusedHead>) =>
    refused({ caller: CALLER, userId: 1000, peer: { address: "127.0.0.1", port: 9 }, status: 400, detail: "bad", ...more });
  return { tell, events, summaries, denials };
}

describe("T-193: a refused head", () => {
  test("names user and program in its line, in the summaries and among the denials", () => {
    const { tell, events, summaries, denials } = setUp();
    tell({});
    expect(events).toMatchObject([
      {
        event: "request-denied",
        fields: {
          ...{ reason: "malformed-head", responseStatus: 400, detail: "bad", endpoint: "imds", userId: 1000, userName: "alice" },
          ...{ processFullPath: "/usr/bin/curl", clientPort: 9 },
        },
      },
    ]);
    expect(Object.keys(events[0]?.fields ?? {})).not.toContain("url");
    expect(summaries.all()).toMatchObject([{ userName: "alice", processFullPath: "/usr/bin/curl", responseStatus: "400 Bad Request" }]);
    expect(denials.denied()).toMatchObject({
      total: 1,
      entries: [{ reason: "malformed-head", userName: "alice", processFullPath: "/usr/bin/curl" }],
    });
  });

  test.each([408, 503])("that was not judged is no denial: %p", (status) => {
    const { tell, events, denials } = setUp();
    tell({ status });
    expect([events.length, denials.denied().total]).toEqual([1, 0]);
  });

  test("of a connection that ended early keeps the user id that the kernel recorded", () => {
    const { tell, events } = setUp();
    tell({ caller: undefined });
    expect(events[0]?.fields).toMatchObject({ userId: 1000, clientIp: "127.0.0.1" });
    expect(Object.keys(events[0]?.fields ?? {})).not.toContain("userName");
  });
});
