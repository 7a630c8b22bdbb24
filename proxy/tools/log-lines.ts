// Reads request lines out of logs: ours ("request-forwarded {json}" with whatever stands before it), the same in journal exports,
// and the reference agent's. A line is untrusted text; one that cannot be read is counted by the caller, never guessed.

import { type Endpoint, endpointAt } from "../core/request/endpoint.ts";

/** How a request ended, as its line says. */
export interface LoggedRequest {
  readonly outcome: "forwarded" | "denied" | "failed";
  readonly endpoint: Endpoint | undefined;
  readonly method: string;
  readonly url: string;
  /** What the client saw; undefined when the line does not say. */
  readonly status: number | undefined;
  readonly reason: string;
  /** The rules' reason, when audit mode let pass what they deny. */
  readonly wouldDeny: string | undefined;
  readonly rule: string;
  readonly ruleSetId: string;
  /** Undefined: no account, or unknown. */
  readonly userName: string | undefined;
  readonly userGroups: readonly string[];
  /** Undefined: not proven. */
  readonly exePath: string | undefined;
  readonly elevated: boolean;
  readonly processId: number;
  /** Milliseconds since 1970; undefined when the line does not say. */
  readonly atMs: number | undefined;
  /** So many equal requests the line stands for, itself included. */
  readonly repeated: number;
  /** So many other requests of the same user and outcome that have no line. */
  readonly unlisted: number;
}

export type LineReading =
  | { readonly kind: "request"; readonly request: LoggedRequest }
  /** Another event, another program, a blank line. */
  | { readonly kind: "foreign" }
  /** It has the beginning of a JSON object that cannot be read, as a line that was cut has. */
  | { readonly kind: "malformed" };

const FOREIGN: LineReading = { kind: "foreign" };
const MALFORMED: LineReading = { kind: "malformed" };
const EVENT = /(?:^|[\s>])(request-(forwarded|denied|failed)) $/;
/** Beyond this no date can be written. */
const LAST_MICROSECOND = 8.64e18;
const LEADING_TIME = /^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{8,16}(?:Z|[+-][0-9]{2}:?[0-9]{2})?)/;

/** Reads one line without its newline. */
export function readLogLine(line: string): LineReading {
  const brace = line.indexOf("{");
  if (brace < 0) return FOREIGN;
  const json = parseObject(line.slice(brace));
  if (json === undefined) return MALFORMED;
  const head = line.slice(0, brace);
  if (head.trim() === "" && "MESSAGE" in json) return readJournalEntry(json);
  return readRequest(head, json, timeOf(head));
}

/** One object of `journalctl -o json`: the line is its MESSAGE, as text or, when it is not UTF-8, as an array of bytes. */
function readJournalEntry(entry: Fields): LineReading {
  const message = messageOf(entry.MESSAGE);
  const brace = message?.indexOf("{") ?? -1;
  if (message === undefined || brace < 0) return FOREIGN;
  const json = parseObject(message.slice(brace));
  if (json === undefined) return MALFORMED;
  const microseconds = Number(entry.__REALTIME_TIMESTAMP);
  const atMs = microseconds > 0 && microseconds < LAST_MICROSECOND ? Math.floor(microseconds / 1000) : undefined;
  return readRequest(message.slice(0, brace), json, atMs ?? timeOf(message));
}

function messageOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value) || !value.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) return undefined;
  return Buffer.from(value).toString("utf8");
}

type Fields = Readonly<Record<string, unknown>>;

function readRequest(head: string, json: Fields, atMs: number | undefined): LineReading {
  const event = EVENT.exec(head)?.[2];
  const { method, url, ip, port } = json;
  // A refused head has no request in it; any other event of ours has none of these members.
  if (typeof method !== "string" || typeof url !== "string" || typeof ip !== "string") return FOREIGN;
  if (event === undefined && typeof json.processFullPath !== "string") return FOREIGN;
  const status = statusOf(json.responseStatus);
  return {
    kind: "request",
    request: {
      outcome: event === "forwarded" || event === "denied" || event === "failed" ? event : outcomeOf(status),
      endpoint: endpointAt(ip, Number(port)),
      method,
      url,
      status,
      reason: textOf(json.reason),
      wouldDeny: typeof json.wouldDeny === "string" ? json.wouldDeny : undefined,
      rule: textOf(json.ruleId),
      ruleSetId: textOf(json.ruleSetId),
      userName: knownName(json.userName),
      userGroups: Array.isArray(json.userGroups) ? json.userGroups.filter((name) => typeof name === "string") : [],
      exePath: textOf(json.processFullPath).startsWith("/") ? textOf(json.processFullPath) : undefined,
      // The reference writes its flags as text in some versions.
      elevated: json.runAsElevated === true || json.runAsElevated === "true",
      processId: typeof json.processId === "number" ? json.processId : 0,
      atMs,
      repeated: Math.max(1, countOf(json.repeated)),
      unlisted: countOf(json.unlisted),
    },
  };
}

/** "undefined" and "empty" mean unknown; a user really called so is treated as unknown. */
function knownName(value: unknown): string | undefined {
  return typeof value !== "string" || value === "" || value === "undefined" || value === "empty" ? undefined : value;
}

/** A number, or a text that begins with one ("403 Forbidden"). */
function statusOf(value: unknown): number | undefined {
  const status = typeof value === "string" ? Number(/^[0-9]{1,3}/.exec(value)?.[0] ?? Number.NaN) : value;
  return typeof status === "number" && Number.isInteger(status) ? status : undefined;
}

/** For lines that name no event: the statuses by which the reference refuses. */
function outcomeOf(status: number | undefined): LoggedRequest["outcome"] {
  return status === 403 || status === 421 ? "denied" : "forwarded";
}

/** Far more than the agent folds into one line. */
const MAX_COUNT = 1_000_000_000;

/** Of a line that gives no count, or no sensible one, 0. */
function countOf(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= MAX_COUNT ? value : 0;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function timeOf(text: string): number | undefined {
  const time = LEADING_TIME.exec(text)?.[1];
  if (time === undefined) return undefined;
  // Lines without a zone letter are in UTC.
  const ms = Date.parse(/(?:Z|[+-][0-9]{2}:?[0-9]{2})$/.test(time) ? time : `${time}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

function parseObject(text: string): Fields | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Fields) : undefined;
  } catch {
    return undefined;
  }
}
