import { describe, expect, test } from "bun:test";
import { callerMembers, parseCallerJson, parseInlineCaller, renderCaller } from "./caller-input.ts";

function inline(text: string) {
  const caller = parseInlineCaller(text);
  if (!caller.ok) throw new Error(caller.error);
  return caller.value;
}

describe("parseInlineCaller", () => {
  test("reads the members of a log line; groups may repeat, values hold equals signs", () => {
    const { claims, notes } = inline(
      "userName=alice,userGroups=dev,userGroups=adm,processFullPath=/opt/a=b/curl,userId=1000,runAsElevated=false",
    );
    expect(claims).toMatchObject({
      userName: "alice",
      userGroups: ["dev", "adm"],
      userId: 1000,
      runAsElevated: false,
      processFullPath: "/opt/a=b/curl",
      processName: "curl",
      executableSha256: undefined,
      cgroupPath: undefined,
    });
    expect(notes).toEqual([]);
  });

  test.each([
    ["", "want name=value"],
    ["alice", "want name=value"],
    ["userName=alice,", "want name=value"],
    ["=alice", "want name=value"],
    ["username=alice", "want userName"],
    ["exe=/bin/sh", "unknown member"],
    ["__proto__=x", "unknown member"],
    ["constructor=x", "unknown member"],
    ["userName=a,userName=b", "userName twice"],
    ["userId=root", "a whole number"],
    ["userId=-1", "a whole number"],
    ["runAsElevated=yes", "true or false"],
    ["requestId=1", "unknown member"],
  ])("refuses %p", (text, words) => {
    const caller = parseInlineCaller(text);
    expect(caller.ok ? "read" : caller.error).toContain(words);
  });

  test.each([
    ["userName=root", true],
    ["userName=alice", false],
    ["userName=root,userId=1000", false],
    ["userName=toor,userId=0", true],
    ["userGroups=root", false],
  ])("concludes from %p whether it is root, and says so", (text, elevated) => {
    const { claims, notes } = inline(text);
    expect([claims.runAsElevated, notes.length]).toEqual([elevated, 1]);
  });

  test("says when a caller is one that the agent never sees", () => {
    expect(inline("processName=curl,processFullPath=/bin/wget,userId=1").notes.join()).toContain("never sees such a caller");
    expect(inline("processName=curl,userId=1").notes.join()).toContain("never sees such a caller");
  });
});

describe("parseCallerJson", () => {
  test("takes a whole log line, with its words for what is unknown", () => {
    const line = {
      requestId: "x",
      method: "GET",
      url: "/metadata",
      userName: "undefined",
      userGroups: [],
      processFullPath: "",
      processName: "",
      runAsElevated: false,
      exeSha256: "AB".repeat(32),
      cgroupPath: "/system.slice/a.service",
      doubts: ["no BTF"],
      clientPort: 4711,
    };
    const caller = parseCallerJson(line);
    expect(caller.ok && caller.value.claims).toMatchObject({
      userName: undefined,
      processFullPath: undefined,
      processName: undefined,
      executableSha256: "ab".repeat(32),
      cgroupPath: "/system.slice/a.service",
    });
  });

  test.each([
    [null, "want an object"],
    [[], "want an object"],
    ["userName=alice", "want an object"],
    [{ userName: 1 }, "a text"],
    [{ userGroups: "dev" }, "a list of texts"],
    [{ userGroups: [1] }, "a list of texts"],
    [{ userId: 1.5 }, "a whole number"],
    [{ userid: 1 }, "want userId"],
    [{ group: "dev" }, "unknown member"],
  ])("refuses %p", (json, words) => {
    const caller = parseCallerJson(json);
    expect(caller.ok ? "read" : caller.error).toContain(words);
  });
});

describe("renderCaller", () => {
  test.each([
    "userName=alice,userGroups=dev,processFullPath=/usr/bin/curl,runAsElevated=false",
    `exeSha256=${"ab".repeat(32)},cgroupPath=/a/b,runAsElevated=true`,
  ])("writes %p as it was read", (text) => {
    expect(renderCaller(inline(text).claims)).toBe(text);
  });

  test("falls back to JSON that reads the same, where a value cannot stand inline", () => {
    const caller = parseCallerJson({ userName: "a,b", userGroups: ["x,y"], runAsElevated: false });
    if (!caller.ok) throw new Error(caller.error);
    const again = parseCallerJson(JSON.parse(renderCaller(caller.value.claims)));
    expect(again.ok && callerMembers(again.value.claims)).toEqual(callerMembers(caller.value.claims));
  });
});
