import { describe, expect, test } from "bun:test";
import { genericEvent } from "../../../test/support/telemetry.ts";
import { cutToBytes } from "./event.ts";
import { MAX_EVENT_FILE_BYTES, parseEventFile, parseExtensionEventFile, renderEventFiles } from "./event-file.ts";

const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

const ELEMENT = {
  ...{ EventLevel: "Info", Message: "m", Version: "1", TaskName: "t", EventPid: "1", EventTid: "2", OperationId: "o" },
  TimeStamp: "2026-01-02T03:04:05Z",
};
const EXTENSION = {
  extension: { name: "n", version: "1", is_internal: true, extension_type: "t" },
  operation_status: { operation_success: false, operation: "o", task_name: "k", message: "m", duration: 5 },
  ...{ event_pid: "1", event_tid: "2", time_stamp: "2026-01-02T03:04:05Z" },
};

describe("event files", () => {
  test("what is rendered is read again", () => {
    const events = [genericEvent("one"), genericEvent('two "\n\u2028 😀')];
    expect(renderEventFiles(events).map((text) => parseEventFile(bytes(text)))).toEqual([{ ok: true, value: events }]);
  });

  test("many long events go into files that are small enough", () => {
    const events = Array.from({ length: 1_500 }, (_, n) => genericEvent(`${n} ${"\u0001".repeat(600)}`));
    const texts = renderEventFiles(events);
    expect(texts.filter((text) => Buffer.byteLength(text) > MAX_EVENT_FILE_BYTES)).toEqual([]);
    expect(
      texts.flatMap((text) => {
        const read = parseEventFile(bytes(text));
        return read.ok ? read.value : [];
      }),
    ).toEqual(events);
  });

  test("a message is cut", () => {
    const read = parseEventFile(bytes([{ ...ELEMENT, Message: "é".repeat(5_000) }]));
    expect(read.ok && Buffer.byteLength(read.value[0]?.message ?? "")).toBe(4_095);
  });

  test.each([
    ["", "found no JSON"],
    ["[", "found no JSON"],
    ["\xff", "found no JSON"],
    ["{}", "found no array"],
    [[1], "event 0: found no object"],
    [[ELEMENT, null], "event 1: found no object"],
    [[{ ...ELEMENT, EventLevel: "loud" }], "EventLevel"],
    [[{ ...ELEMENT, Message: 1 }], "Message is no text"],
    [[{ ...ELEMENT, EventPid: "1x" }], "EventPid"],
    [[{ ...ELEMENT, EventTid: 2 }], "EventPid, EventTid"],
    [[{ ...ELEMENT, Version: undefined }], "Version"],
    [Array(1_001).fill(ELEMENT), "found 1001 events"],
  ])("refuses %#", (content, reason) => {
    const read = parseEventFile(bytes(content));
    expect(read.ok ? "" : read.error).toContain(reason);
  });

  test("reads the event of an extension", () => {
    expect(parseExtensionEventFile(bytes(EXTENSION))).toEqual({
      ok: true,
      value: {
        ...{ kind: "extension", name: "n", version: "1", isInternal: true, extensionType: "t", operation: "o", succeeded: false },
        ...{ taskName: "k", message: "m", durationMs: 5, pid: "1", tid: "2", timeStamp: "2026-01-02T03:04:05Z" },
      },
    });
  });

  test.each([
    ["[]"],
    [{ ...EXTENSION, extension: undefined }],
    [{ ...EXTENSION, extension: { ...EXTENSION.extension, is_internal: "True" } }],
    [{ ...EXTENSION, extension: { ...EXTENSION.extension, name: 1 } }],
    [{ ...EXTENSION, operation_status: { ...EXTENSION.operation_status, duration: "5" } }],
    [{ ...EXTENSION, operation_status: { ...EXTENSION.operation_status, operation_success: null } }],
    [{ ...EXTENSION, operation_status: { ...EXTENSION.operation_status, message: null } }],
    [{ ...EXTENSION, event_pid: 1 }],
  ])("refuses the extension event %#", (content) => {
    expect(parseExtensionEventFile(bytes(content)).ok).toBe(false);
  });
});

describe("cutToBytes", () => {
  test.each([
    ["abc", 3, "abc"],
    ["abcd", 3, "..."],
    ["ééé", 6, "ééé"],
    ["éééé", 7, "éé..."],
    ["éééé", 6, "é..."],
    ["😀😀", 7, "😀..."],
    ["a\ud800b", 10, "a\ufffdb"],
  ])("%p cut to %d bytes is %p", (text, most, cut) => {
    expect(cutToBytes(text, most)).toBe(cut);
    expect(Buffer.byteLength(cutToBytes(text, most))).toBeLessThanOrEqual(most);
  });
});
