import { describe, expect, test } from "bun:test";
import { type LoggedRequest, readLogLine } from "./log-lines.ts";

const FIELDS = {
  requestId: "a-1",
  method: "GET",
  url: "/metadata/instance",
  ip: "169.254.169.254",
  port: 80,
  responseStatus: 200,
  reason: "not-granted",
  wouldDeny: "not-granted",
  ruleId: "read",
  ruleSetId: "rules-1",
  userName: "alice",
  userGroups: ["alice", "dev"],
  processId: 42,
  processFullPath: "/usr/bin/curl",
  runAsElevated: false,
};
const JSON_TEXT = JSON.stringify(FIELDS);

function requestOf(line: string): LoggedRequest {
  const reading = readLogLine(line);
  if (reading.kind !== "request") throw new Error(`found a ${reading.kind} line`);
  return reading.request;
}

const READ = {
  outcome: "forwarded",
  endpoint: "imds",
  method: "GET",
  url: "/metadata/instance",
  status: 200,
  reason: "not-granted",
  wouldDeny: "not-granted",
  rule: "read",
  ruleSetId: "rules-1",
  userName: "alice",
  userGroups: ["alice", "dev"],
  exePath: "/usr/bin/curl",
  elevated: false,
  processId: 42,
} as const;

describe("readLogLine", () => {
  test.each<[string, string, number | undefined]>([
    ["the agent's own", `2026-01-02T03:04:05.678Z [INFO] request-forwarded ${JSON_TEXT}`, Date.UTC(2026, 0, 2, 3, 4, 5, 678)],
    ["with its priority", `<6>request-forwarded ${JSON_TEXT}`, undefined],
    ["journalctl -o cat", `request-forwarded ${JSON_TEXT}`, undefined],
    ["journalctl -o short", `Jan 02 03:04:05 vm azure-proxy-agent[812]: request-forwarded ${JSON_TEXT}`, undefined],
    [
      "journalctl -o short-iso",
      `2026-01-02T04:04:05+01:00 vm azure-proxy-agent[812]: request-forwarded ${JSON_TEXT}`,
      Date.UTC(2026, 0, 2, 3, 4, 5),
    ],
    [
      "journalctl -o json",
      JSON.stringify({ __REALTIME_TIMESTAMP: "1767323045678901", MESSAGE: `request-forwarded ${JSON_TEXT}` }),
      1_767_323_045_678,
    ],
    ["journalctl -o json, bytes", JSON.stringify({ MESSAGE: [...Buffer.from(`request-forwarded ${JSON_TEXT}`)] }), undefined],
    [
      "journalctl -o json, absurd time",
      JSON.stringify({ __REALTIME_TIMESTAMP: "9e99", MESSAGE: `request-forwarded ${JSON_TEXT}` }),
      undefined,
    ],
    ["Windows line ends", `request-forwarded ${JSON_TEXT}\r`, undefined],
  ])("reads %s", (_, line, atMs) => {
    expect(requestOf(line)).toEqual({ ...READ, userGroups: [...READ.userGroups], atMs, repeated: 1, unlisted: 0 });
  });

  test.each([
    [{ repeated: 240 }, 240, 0],
    [{ unlisted: 7 }, 1, 7],
    [{ repeated: "240", unlisted: -1 }, 1, 0],
    [{ repeated: 1e300, unlisted: 1.5 }, 1, 0],
    [{ repeated: 0, unlisted: null }, 1, 0],
  ])("a line with %j stands for %d requests, and %d have none", (more, repeated, unlisted) => {
    expect(requestOf(`request-denied ${JSON.stringify({ ...JSON.parse(JSON_TEXT), ...more })}`)).toMatchObject({ repeated, unlisted });
  });

  test("reads the reference's lines, whose outcome is in their status", () => {
    const fields = { method: "GET", url: "/x", ip: "168.63.129.16", port: "32526", userName: "root", processFullPath: "/usr/bin/python3" };
    const line = (more: object) => `2026-01-02T03:04:05.678 [INFO]    ${JSON.stringify({ ...fields, ...more })}`;
    expect(requestOf(line({ responseStatus: "200 OK", runAsElevated: "true" }))).toMatchObject({
      outcome: "forwarded",
      endpoint: "hostga",
      status: 200,
      elevated: true,
      wouldDeny: undefined,
      atMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    });
    expect(requestOf(line({ responseStatus: "403 Forbidden" })).outcome).toBe("denied");
    expect(requestOf(line({})).status).toBeUndefined();
  });

  test.each([
    ["request-denied", "denied"],
    ["request-failed", "failed"],
  ] as const)("%s is %s whatever its status", (event, outcome) => {
    expect(requestOf(`${event} ${JSON_TEXT}`).outcome).toBe(outcome);
  });

  test.each<[string, object, Partial<LoggedRequest>]>([
    ["no account", { userName: "undefined" }, { userName: undefined }],
    ["an empty name", { userName: "" }, { userName: undefined }],
    ["a name that is no text", { userName: 7 }, { userName: undefined }],
    ["no program", { processFullPath: "" }, { exePath: undefined }],
    ["a relative program", { processFullPath: "curl" }, { exePath: undefined }],
    ["another address", { ip: "127.0.0.1" }, { endpoint: undefined }],
    ["another port", { port: 81 }, { endpoint: undefined }],
    ["a port that is no number", { port: {} }, { endpoint: undefined }],
    ["groups that are no texts", { userGroups: ["a", 1, null] }, { userGroups: ["a"] }],
    ["groups that are no list", { userGroups: "a" }, { userGroups: [] }],
    ["a status that is no number", { responseStatus: "OK" }, { status: undefined }],
    ["a flag that is no flag", { runAsElevated: 1 }, { elevated: false }],
  ])("%s is not guessed", (_, fields, want) => {
    expect(requestOf(`request-forwarded ${JSON.stringify({ ...FIELDS, ...fields })}`)).toMatchObject(want);
  });

  test.each<[string, string]>([
    ["an empty line", ""],
    ["words", "Started azure-proxy-agent.service"],
    ["another event", 'redirect {"endpoint":"imds","guarded":true}'],
    ["a refused head", 'request-denied {"reason":"malformed-head","responseStatus":400}'],
    ["another program's JSON", '{"method":"GET","url":"/","ip":"1.2.3.4"}'],
    ["an event of a similar name", `my-request-forwarded-too {"method":"GET","url":"/","ip":"1.2.3.4"}`],
    ["a journal entry without message", '{"MESSAGE":null}'],
    ["a journal entry of others", '{"MESSAGE":"hello"}'],
    ["a journal entry with wrong bytes", '{"MESSAGE":[300]}'],
  ])("%s is no request", (_, line) => {
    expect(readLogLine(line).kind).toBe("foreign");
  });

  test.each<[string, string]>([
    ["a cut line", `request-forwarded ${JSON_TEXT.slice(0, 80)}`],
    ["a line with more behind it", `request-forwarded ${JSON_TEXT} trailing`],
    ["a brace only", "{"],
    ["a journal entry with a cut line", JSON.stringify({ MESSAGE: `request-forwarded ${JSON_TEXT.slice(0, 80)}` })],
  ])("%s is unreadable", (_, line) => {
    expect(readLogLine(line).kind).toBe("malformed");
  });
});
