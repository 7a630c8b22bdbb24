import { describe, expect, test } from "bun:test";
import { claimsOf } from "../../../test/support/claims.ts";
import type { Caller } from "../../core/request/caller.ts";
import { canonicalise } from "../../core/request/canonical-request.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import { makeDenialCounter } from "./denial-counter.ts";

const CALLER: Pick<Caller, "endpoint" | "claims" | "doubts"> = {
  endpoint: "imds",
  claims: claimsOf({ userName: "alice", processFullPath: "/usr/bin/curl", processId: 7 }),
  doubts: [],
};

/** As it comes from a request with this target: with its canonical form, if it has one. */
function endOf(known: Partial<RequestEnd>): RequestEnd {
  const target = known.target ?? "/metadata/instance/compute?api-version=2021-02-01";
  const read = canonicalise("imds", "GET", target);
  return {
    event: "request-forwarded",
    requestId: "r-1",
    caller: CALLER as Caller,
    method: "GET",
    target,
    request: read.ok ? read.value : undefined,
    status: 200,
    reason: "not-granted",
    detail: "",
    verdict: { kind: "deny", reason: "not-granted", rule: "read", ruleSetId: "rules-1", policyId: "p" },
    modules: [],
    mode: "audit",
    auditDeny: true,
    endorsed: true,
    epoch: 1,
    elapsedMs: 1,
    identifyMs: undefined,
    policyMs: undefined,
    hostMs: undefined,
    ...known,
  };
}

function makeCounter() {
  return makeDenialCounter(() => new Date("2026-01-02T03:04:05.000Z"));
}

describe("makeDenialCounter", () => {
  test("a request that only audit mode let pass would be denied", () => {
    const counter = makeCounter();
    counter.count(endOf({}));
    expect(counter.denied().total).toBe(0);
    expect(counter.wouldDeny()).toEqual({
      since: "2026-01-02T03:04:05.000Z",
      total: 1,
      other: 0,
      entries: [
        {
          endpoint: "imds",
          ruleSetId: "rules-1",
          reason: "not-granted",
          rule: "read",
          userName: "alice",
          processFullPath: "/usr/bin/curl",
          path: "/metadata/instance",
          count: 1,
          missedAtMost: 0,
          firstSeen: "2026-01-02T03:04:05.000Z",
          lastSeen: "2026-01-02T03:04:05.000Z",
          exampleMethod: "GET",
          exampleUrl: "/metadata/instance/compute?api-version",
          exampleProcessId: 7,
        },
      ],
    });
  });

  test.each<[string, Partial<RequestEnd>, readonly [number, number]]>([
    ["denied under enforce", { event: "request-denied", status: 403, mode: "enforce", auditDeny: false }, [0, 1]],
    [
      "refused for its form",
      { event: "request-denied", status: 400, reason: "ambiguous-target", target: "/%zz", auditDeny: false },
      [0, 1],
    ],
    ["passed by audit, then failed at the host", { event: "request-failed", reason: "host-silent" }, [1, 0]],
    ["allowed", { auditDeny: false, reason: "granted" }, [0, 0]],
    ["allowed, then failed at the host", { event: "request-failed", auditDeny: false }, [0, 0]],
    ["from nobody known", { event: "request-denied", status: 421, caller: undefined, auditDeny: false }, [0, 0]],
  ])("%s", (_, known, [wouldDeny, denied]) => {
    const counter = makeCounter();
    counter.count(endOf(known));
    expect([counter.wouldDeny().total, counter.denied().total]).toEqual([wouldDeny, denied]);
  });

  test("shows 64 entries with short texts and counts the rest", () => {
    const counter = makeCounter();
    const claims = claimsOf({ userName: "😀".repeat(1000), processFullPath: `/${"x".repeat(4000)}` });
    for (let i = 0; i < 200; i++) counter.count(endOf({ caller: { ...CALLER, claims } as Caller, target: `/metadata/item-${i}` }));
    const shown = counter.wouldDeny();
    expect([shown.total, shown.other, shown.entries.length]).toEqual([200, 136, 64]);
    expect(JSON.stringify(shown).isWellFormed()).toBe(true);
    expect(JSON.stringify(shown).length).toBeLessThan(100_000);
  });
});
