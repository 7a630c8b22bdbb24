import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import type { DenialStatus, DenialStatusEntry } from "../../core/status/status.ts";
import { readLogLine } from "../log-lines.ts";
import { type DenialReport, isOlderRules, makeLogReporter, readStatusReport, remedyFor, reportOf } from "./denial-report.ts";
import { isStale, renderDenialReport } from "./render-denials.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const NOW_MS = Date.UTC(2026, 0, 2, 3, 5);

function entryOf(known: Partial<DenialStatusEntry> = {}): DenialStatusEntry {
  return {
    endpoint: "imds",
    ruleSetId: "rules-1",
    reason: "not-granted",
    rule: "read",
    userName: "alice",
    processFullPath: "/usr/bin/curl",
    path: "/metadata/instance",
    count: 3,
    missedAtMost: 0,
    firstSeen: "2026-01-02T03:00:00.000Z",
    lastSeen: "2026-01-02T03:04:00.000Z",
    exampleMethod: "GET",
    exampleUrl: "/metadata/instance?api-version",
    exampleProcessId: 42,
    ...known,
  };
}

function denialsOf(entries: readonly DenialStatusEntry[], other = 0): DenialStatus {
  return { since: "2026-01-02T03:00:00.000Z", total: entries.reduce((sum, { count }) => sum + count, other), other, entries };
}

function statusText(
  more: { readonly wouldDeny?: unknown; readonly timestamp?: string; readonly mode?: string; readonly ruleSetId?: string } = {},
): string {
  const { wouldDeny = denialsOf([entryOf()]), timestamp = "2026-01-02T03:04:30.000", mode = "audit", ruleSetId } = more;
  return JSON.stringify({
    timestamp,
    proxyAgentStatus: { keyLatchStatus: { states: { imdsRuleId: "rules-1" } } },
    agentDetails: { endpoints: { imds: { mode, ruleSetId } }, wouldDeny, denied: denialsOf([]) },
  });
}

function reportFrom(text: string): DenialReport {
  const read = readStatusReport(text);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}

const shown = (text: string, nowMs = NOW_MS) => renderDenialReport(reportFrom(text), "status.json", nowMs);

describe("connects from other network namespaces", () => {
  const withCounters = (redirectCounters: unknown) => {
    const status = JSON.parse(statusText());
    return JSON.stringify({ ...status, agentDetails: { ...status.agentDetails, redirectCounters } });
  };
  test("are told, with what it means", () => {
    const text = withCounters({ refusedForeignNamespace: 7 });
    expect(reportFrom(text).refusedForeignNamespace).toBe(7);
    expect(shown(text).replaceAll(/\s+/g, " ")).toContain("7 connects from other network namespaces (containers)");
  });
  test.each([[undefined], [{}], [{ refusedForeignNamespace: 0 }], [{ refusedForeignNamespace: "x" }]])(
    "with %p there is nothing to tell",
    (counters) => expect(shown(withCounters(counters))).not.toContain("namespaces"),
  );
});

describe("readStatusReport", () => {
  test("reads what the agent writes", () => {
    expect(reportFrom(statusText())).toMatchObject({
      writtenMs: Date.UTC(2026, 0, 2, 3, 4, 30),
      wouldDeny: denialsOf([entryOf()]),
      denied: { total: 0 },
    });
  });

  test("knows the rules in force by the id that denials name, which a local rule file makes another than the platform's", () => {
    expect(reportFrom(statusText()).guards.find(({ endpoint }) => endpoint === "imds")?.ruleSetId).toBe("rules-1");
    const merged = reportFrom(statusText({ ruleSetId: "rules-1-useLocalFileRules-true_loc" }));
    expect(merged.guards.find(({ endpoint }) => endpoint === "imds")?.ruleSetId).toBe("rules-1-useLocalFileRules-true_loc");
  });

  test.each(["", "[]", "null", "7", "{}", '{"proxyAgentStatus":{}}', '{"proxyAgentStatus":{},"agentDetails":{"wouldDeny":null'])(
    "refuses %p",
    (text) => {
      expect(readStatusReport(text).ok).toBe(false);
    },
  );

  test.each<[string, unknown]>([
    ["a text", "many"],
    ["an object without entries", {}],
    ["entries that are no list", { total: -1, other: "x", entries: {} }],
    ["entries that are no objects", { total: 1e99, entries: [null, 7, "x", []] }],
    ["entries with wrong members", { entries: [{ userName: 7, count: -3, lastSeen: {} }] }],
  ])("%s becomes nothing known, never a crash", (_, wouldDeny) => {
    const report = reportFrom(statusText({ wouldDeny }));
    expect(report.wouldDeny).toMatchObject({ total: 0, other: 0 });
    expect(renderDenialReport(report, "status.json", NOW_MS)).toContain("Would be denied under enforce: nothing");
  });
});

describe("renderDenialReport", () => {
  test("tells who would break, by what, and what would allow it", () => {
    expect(shown(statusText()).split("\n")).toEqual([
      '"status.json", written 30 s ago',
      "wireserver: mode unknown, rules none",
      "hostga: mode unknown, rules none",
      'imds: audit, rules "rules-1"',
      "",
      "Would be denied under enforce: 3 requests since 2026-01-02T03:00:00.000Z",
      "  COUNT  LAST SEEN             USER   PROGRAM        ASKED                                    WHY",
      "      3  2026-01-02 03:04:00Z  alice  /usr/bin/curl  imds GET /metadata/instance?api-version  not-granted: read",
      '         allow with a privilege for path "/metadata/instance" or narrower, and an identity with',
      '         userName "alice" and exePath "/usr/bin/curl"',
      "",
      "Denied: nothing since 2026-01-02T03:00:00.000Z",
      "",
    ]);
  });

  test("says first when the data is old", () => {
    expect(shown(statusText(), NOW_MS + 3 * 86_400_000)).toStartWith('STALE: "status.json" was written 3 days ago');
    expect(shown(statusText({ timestamp: "" }))).toStartWith("STALE?");
    expect(shown(statusText(), NOW_MS - 3_600_000)).toContain("in the future");
    expect([isStale(reportFrom(statusText()), NOW_MS), isStale(reportFrom(statusText()), NOW_MS + 600_000)]).toEqual([false, true]);
  });

  test("says what an empty report means", () => {
    const nothing = denialsOf([]);
    expect(shown(statusText({ wouldDeny: nothing }))).toContain("Nothing that was asked of imds since");
    expect(shown(statusText({ wouldDeny: nothing, mode: "enforce" }))).toContain("No endpoint is in audit mode");
  });

  test("nobody writes on the operator's terminal", () => {
    const hostile = "\u001b[2J\r\n\u202e\u009b";
    const entry = entryOf({
      userName: hostile,
      processFullPath: hostile,
      exampleUrl: hostile,
      rule: hostile,
      ruleSetId: hostile,
      lastSeen: hostile,
    });
    const text = shown(statusText({ wouldDeny: denialsOf([entry]) }));
    expect(text.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    expect(text).toContain("\\u001b[2J\\u000d\\u000a\\u202e\\u009b");
  });

  test("says what it is not sure of", () => {
    const text = shown(statusText({ wouldDeny: denialsOf([entryOf({ missedAtMost: 4, ruleSetId: "rules-0" })], 9) }));
    expect(text).toContain("3 to 7");
    expect(text).toContain("(older rules)");
    expect(text).toContain("9 more in kinds that are not listed");
  });
});

describe("isOlderRules", () => {
  const guards = [{ endpoint: "imds", mode: "audit", ruleSetId: `long${"x".repeat(300)}` }] as const;
  test.each([
    [`long${"x".repeat(249)}...`, false],
    [`long${"x".repeat(300)}`, false],
    ["", false],
    ["long", true],
    ["other...", true],
  ])("%p: %p", (ruleSetId, older) => {
    expect(isOlderRules(entryOf({ ruleSetId }), guards)).toBe(older);
  });
});

describe("remedyFor", () => {
  test.each<[Partial<DenialStatusEntry>, string]>([
    [{}, 'identity with userName "alice" and exePath "/usr/bin/curl"'],
    [{ processFullPath: "/usr/bin/python3" }, 'identity with userName "alice"'],
    [{ processFullPath: "" }, 'identity with userName "alice"'],
    [{ userName: "" }, "no identity can name this caller safely"],
    [{ path: "/" }, "no rule should allow it"],
    [{ reason: "not-root" }, "no rule can allow it: run the caller as root"],
    [{ reason: "ambiguous-query" }, "no rule can allow it"],
    [{ reason: "ambiguous-target" }, "no rule can allow it"],
    [{ reason: "no-usable-rules" }, "the platform's rules cannot be used"],
  ])("%j: %s", (known, words) => {
    expect(remedyFor(entryOf(known))).toContain(words);
  });
});

test("reportOf leaves one endpoint, and what belongs to none", () => {
  const report = reportFrom(statusText({ wouldDeny: denialsOf([entryOf(), entryOf({ endpoint: "wireserver", count: 5 })], 2) }));
  const only = reportOf(report, "wireserver");
  expect([only.wouldDeny.total, only.wouldDeny.entries.length, only.guards.map(({ endpoint }) => endpoint)]).toEqual([
    7,
    1,
    ["wireserver"],
  ]);
});

describe("makeLogReporter", () => {
  const line = (event: string, fields: object) =>
    `2026-01-02T03:04:05.000Z [INFO] ${event} ${JSON.stringify({ method: "GET", url: "/metadata/instance?secret=x", ip: "169.254.169.254", port: 80, userName: "alice", processFullPath: "/usr/bin/curl", ...fields })}`;

  test("comes to the same as the agent's counters", () => {
    const reporter = makeLogReporter();
    const lines = [
      line("request-forwarded", { wouldDeny: "not-granted", ruleId: "read", ruleSetId: "rules-1" }),
      line("request-forwarded", { reason: "granted" }),
      line("request-failed", { wouldDeny: "not-granted", ruleId: "read", ruleSetId: "rules-1" }),
      line("request-denied", { reason: "default-deny", responseStatus: 403 }),
      line("request-denied", { reason: "not-redirected", responseStatus: 421, ip: "" }),
    ];
    for (const text of lines) {
      const reading = readLogLine(text);
      if (reading.kind !== "request") throw new Error(reading.kind);
      reporter.add(reading.request);
    }
    const { wouldDeny, denied } = reporter.result();
    expect(wouldDeny).toMatchObject({
      total: 2,
      entries: [{ reason: "not-granted", rule: "read", count: 2, exampleUrl: "/metadata/instance?secret" }],
    });
    expect(denied).toMatchObject({ total: 1, entries: [{ reason: "default-deny", count: 1 }] });
  });

  test("counts what lines stand for, and what has no line", () => {
    const reporter = makeLogReporter();
    for (const more of [{ repeated: 240 }, { unlisted: 7 }]) {
      const reading = readLogLine(line("request-denied", { reason: "default-deny", responseStatus: 403, ...more }));
      if (reading.kind === "request") reporter.add(reading.request);
    }
    expect(reporter.result().denied).toMatchObject({ total: 248, other: 7, entries: [{ count: 241 }] });
  });

  test("stays small, whatever the log says", () => {
    const reporter = makeLogReporter();
    for (let i = 0; i < 20_000; i++) {
      const reading = readLogLine(line("request-denied", { reason: `r${i}`, responseStatus: 403 }));
      if (reading.kind === "request") reporter.add(reading.request);
    }
    const { denied } = reporter.result();
    expect([denied.total, denied.entries.length, denied.other]).toEqual([20_000, 256, 20_000 - 256]);
  });
});
