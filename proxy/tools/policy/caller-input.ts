// A caller as described to the tools: the members of a request's log line, as JSON or as `name=value,…`. A missing member
// is unknown, as it is for the agent; an undefined member is refused, because a typo would change the answer.

import type { Claims } from "../../core/request/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";

export interface DescribedCaller {
  readonly claims: Claims;
  /** What was concluded instead of said, and what no real caller can be. */
  readonly notes: readonly string[];
}

type Kind = "text" | "texts" | "number" | "flag";

/** Members that identify the caller, under the names they have in the log. */
const CALLER_MEMBERS = {
  userName: "text",
  userGroups: "texts",
  userId: "number",
  runAsElevated: "flag",
  processFullPath: "text",
  processName: "text",
  exeSha256: "text",
  cgroupPath: "text",
  processId: "number",
  processCmdLine: "text",
} as const satisfies Readonly<Record<string, Kind>>;

/** The other members of a request's log line: a whole line may be given as the caller. */
const OTHER_LOG_MEMBERS: ReadonlySet<string> = new Set(
  ["requestId", "method", "url", "ip", "port", "endpoint", "responseStatus", "reason", "detail", "mode", "wouldDeny", "ruleId"].concat(
    ["ruleSetId", "policyId", "epoch", "endorsed", "clientIp", "clientPort", "doubts", "elapsedMs"],
    ["decidedMode", "cgroupId", "systemdUnit"],
  ),
);

export const CALLER_MEMBER_NAMES: readonly string[] = Object.keys(CALLER_MEMBERS);

/** Reads `userName=alice,userGroups=dev,userGroups=adm,processFullPath=/usr/bin/curl`; a value cannot hold a comma. */
export function parseInlineCaller(text: string): Result<DescribedCaller, string> {
  const json = new Map<string, unknown>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0)).trim();
    const value = part.slice(equals + 1);
    if (equals < 0 || name === "") return err(`found ${quote(part)}, want name=value`);
    const kind = kindOf(name);
    if (kind === undefined) return err(unknownMember(name));
    if (kind === "texts") {
      const earlier = json.get(name);
      json.set(name, [...(Array.isArray(earlier) ? earlier : []), value]);
    } else if (json.has(name)) return err(`found ${name} twice, want it once`);
    else if (kind === "number") json.set(name, /^[0-9]{1,10}$/.test(value) ? Number(value) : value);
    else if (kind === "flag") json.set(name, value === "true" ? true : value === "false" ? false : value);
    else json.set(name, value);
  }
  return readCallerMembers(json);
}

/** Reads an object with the members of a log line. */
export function parseCallerJson(json: unknown): Result<DescribedCaller, string> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return err("want an object with members such as userName");
  return readCallerMembers(new Map(Object.entries(json)));
}

function readCallerMembers(json: ReadonlyMap<string, unknown>): Result<DescribedCaller, string> {
  for (const [name, value] of json) {
    if (OTHER_LOG_MEMBERS.has(name)) continue;
    const kind = kindOf(name);
    if (kind === undefined) return err(unknownMember(name));
    if (value !== undefined && value !== null && !isOfKind(kind, value))
      return err(`found ${quote(showValue(value))} as ${name}, want ${WANTED[kind]}`);
  }
  const text = (name: keyof typeof CALLER_MEMBERS) => {
    const value = json.get(name);
    // A line writes "undefined" for an account without a name, and nothing for a program that is not proven.
    return typeof value === "string" && value !== "" && !(name === "userName" && value === "undefined") ? value : undefined;
  };
  const notes: string[] = [];
  const userName = text("userName");
  const processFullPath = text("processFullPath");
  const userId = numberOf(json.get("userId"));
  const elevatedSaid = json.get("runAsElevated");
  let elevated = elevatedSaid === true;
  if (typeof elevatedSaid !== "boolean") {
    elevated = userId === undefined ? userName === "root" : userId === 0;
    notes.push(`runAsElevated is not given; concluded from the ${userId === undefined ? "user name" : "user id"}: ${elevated}`);
  }
  const lastComponent = processFullPath?.slice(processFullPath.lastIndexOf("/") + 1);
  const processName = text("processName") ?? lastComponent;
  if (processName !== lastComponent)
    notes.push("processName is not the last component of processFullPath: the agent never sees such a caller");
  const groups = json.get("userGroups");
  const claims: Claims = {
    processId: numberOf(json.get("processId")) ?? 0,
    userId: userId ?? (elevated ? 0 : 65534),
    runAsElevated: elevated,
    userName,
    userGroups: Array.isArray(groups) ? groups.filter((group) => typeof group === "string") : [],
    processFullPath,
    processName,
    executableSha256: text("exeSha256")?.toLowerCase(),
    processCmdLine: text("processCmdLine") ?? "",
    cgroupId: 0n,
    cgroupPath: text("cgroupPath"),
    clientAddress: "127.0.0.1",
    clientPort: 0,
  };
  return ok({ claims, notes });
}

/** The caller in the form that `--caller` takes; JSON when a value cannot be written inline. */
export function renderCaller(claims: Claims): string {
  const pairs: [string, string][] = [];
  const add = (name: keyof typeof CALLER_MEMBERS, value: string | undefined) => {
    if (value !== undefined) pairs.push([name, value]);
  };
  add("userName", claims.userName);
  for (const group of claims.userGroups) add("userGroups", group);
  add("processFullPath", claims.processFullPath);
  if (claims.processName !== claims.processFullPath?.slice(claims.processFullPath.lastIndexOf("/") + 1))
    add("processName", claims.processName);
  add("exeSha256", claims.executableSha256);
  add("cgroupPath", claims.cgroupPath);
  add("runAsElevated", String(claims.runAsElevated));
  if (pairs.every(([, value]) => !value.includes(",") && value !== "")) return pairs.map(([name, value]) => `${name}=${value}`).join(",");
  return JSON.stringify(callerMembers(claims));
}

/** The caller as the JSON that `--caller` takes. */
export function callerMembers(claims: Claims): Readonly<Record<string, unknown>> {
  const { userName, userGroups, processFullPath, processName, executableSha256, cgroupPath, runAsElevated } = claims;
  return { userName, userGroups, processFullPath, processName, exeSha256: executableSha256, cgroupPath, runAsElevated };
}

const WANTED: Readonly<Record<Kind, string>> = {
  text: "a text",
  texts: "a list of texts",
  number: "a whole number",
  flag: "true or false",
};

function kindOf(name: string): Kind | undefined {
  return Object.hasOwn(CALLER_MEMBERS, name) ? CALLER_MEMBERS[name as keyof typeof CALLER_MEMBERS] : undefined;
}

function unknownMember(name: string): string {
  const close = CALLER_MEMBER_NAMES.find((known) => known.toLowerCase() === name.toLowerCase());
  const hint = close === undefined ? `one of ${CALLER_MEMBER_NAMES.join(", ")}` : close;
  return `found unknown member ${quote(name)}, want ${hint}`;
}

function isOfKind(kind: Kind, value: unknown): boolean {
  if (kind === "texts") return Array.isArray(value) && value.every((each) => typeof each === "string");
  if (kind === "number") return typeof value === "number" && Number.isInteger(value) && value >= 0;
  return typeof value === (kind === "flag" ? "boolean" : "string");
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function showValue(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing").slice(0, 60);
}
