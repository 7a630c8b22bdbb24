// Event files: a JSON array of log lines that did not fit into memory, and single events that extensions put there. What is
// read was written by root and is still only data: bounded, checked member by member, and never quoted in an error.

import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import { parseStrictJson } from "../text/strict-json.ts";
import { cutToBytes, EVENT_LEVELS, type ExtensionEvent, type GenericEvent, type TelemetryEvent } from "./event.ts";

export const MAX_EVENT_FILE_BYTES = 1024 * 1024;
const MAX_EVENTS = 1000;
const MAX_WORD_BYTES = 256;
const MAX_EXTENSION_MESSAGE_BYTES = 16 * 1024;

/** Reads a file of log lines. */
export function parseEventFile(bytes: Uint8Array): Result<readonly TelemetryEvent[], string> {
  const json = parseStrictJson(bytes, { maxBytes: MAX_EVENT_FILE_BYTES });
  if (!json.ok) return err("found no JSON, want an array of events");
  const list = json.value.value;
  if (!Array.isArray(list)) return err("found no array, want an array of events");
  if (list.length > MAX_EVENTS) return err(`found ${list.length} events, want at most ${MAX_EVENTS}`);
  const events: TelemetryEvent[] = [];
  for (const [index, element] of list.entries()) {
    const event = readGeneric(element);
    if (!event.ok) return err(`event ${index}: ${event.error}`);
    events.push(event.value);
  }
  return ok(events);
}

/** Reads the one event of an extension. */
export function parseExtensionEventFile(bytes: Uint8Array): Result<ExtensionEvent, string> {
  const json = parseStrictJson(bytes, { maxBytes: MAX_EVENT_FILE_BYTES });
  if (!json.ok) return err("found no JSON, want an event of an extension");
  const { value } = json.value;
  if (!isObject(value) || !isObject(value.extension) || !isObject(value.operation_status))
    return err("found no objects extension and operation_status, want both");
  const { extension, operation_status: status } = value;
  const { is_internal: isInternal } = extension;
  const { operation_success: succeeded, duration } = status;
  if (typeof isInternal !== "boolean" || typeof succeeded !== "boolean") return err("is_internal or operation_success is no boolean");
  if (typeof duration !== "number" || !Number.isSafeInteger(duration)) return err("duration is no whole number");
  const [name, version, extensionType] = [word(extension.name), word(extension.version), word(extension.extension_type)];
  const [operation, taskName] = [word(status.operation), word(status.task_name)];
  const [pid, tid, timeStamp] = [digits(value.event_pid), digits(value.event_tid), word(value.time_stamp)];
  const message = typeof status.message === "string" ? cutToBytes(status.message, MAX_EXTENSION_MESSAGE_BYTES) : undefined;
  if (name === undefined || version === undefined || extensionType === undefined) return err("a member of extension is no text");
  if (operation === undefined || taskName === undefined || message === undefined) return err("a member of operation_status is no text");
  if (pid === undefined || tid === undefined || timeStamp === undefined) return err("event_pid, event_tid or time_stamp is not as wanted");
  const who = { name, version, isInternal, extensionType };
  return ok({ kind: "extension", ...who, operation, succeeded, taskName, message, durationMs: Math.max(0, duration), pid, tid, timeStamp });
}

/** The texts of as few files as are small enough to be read again. */
export function renderEventFiles(events: readonly GenericEvent[]): readonly string[] {
  const text = renderEventFile(events);
  if (events.length < 2 || (events.length <= MAX_EVENTS && Buffer.byteLength(text) <= MAX_EVENT_FILE_BYTES)) return [text];
  const half = Math.ceil(events.length / 2);
  return [...renderEventFiles(events.slice(0, half)), ...renderEventFiles(events.slice(half))];
}

function renderEventFile(events: readonly GenericEvent[]): string {
  return JSON.stringify(
    events.map((event) => ({
      EventLevel: event.level,
      Message: event.message,
      Version: event.version,
      TaskName: event.taskName,
      EventPid: event.pid,
      EventTid: event.tid,
      OperationId: event.operationId,
      TimeStamp: event.timeStamp,
    })),
  );
}

function readGeneric(element: unknown): Result<GenericEvent, string> {
  if (!isObject(element)) return err("found no object");
  const level = word(element.EventLevel)?.toUpperCase();
  if (level === undefined || !EVENT_LEVELS.some((known) => known === level)) return err(`EventLevel is none of ${EVENT_LEVELS.join(", ")}`);
  if (typeof element.Message !== "string") return err("Message is no text");
  const message = cutToBytes(element.Message);
  const [version, taskName, operationId] = [word(element.Version), word(element.TaskName), word(element.OperationId)];
  const [pid, tid, timeStamp] = [digits(element.EventPid), digits(element.EventTid), word(element.TimeStamp)];
  if (version === undefined || taskName === undefined || operationId === undefined)
    return err("Version, TaskName or OperationId is no text");
  if (pid === undefined || tid === undefined || timeStamp === undefined) return err("EventPid, EventTid or TimeStamp is not as wanted");
  return ok({ kind: "generic", level, message, version, taskName, operationId, pid, tid, timeStamp });
}

function word(value: unknown): string | undefined {
  return typeof value === "string" ? cutToBytes(value, MAX_WORD_BYTES) : undefined;
}

/** Ends up as a number in the document. */
function digits(value: unknown): string | undefined {
  return typeof value === "string" && /^[0-9]{1,19}$/.test(value) ? value : undefined;
}
