// What telemetry reports to the platform: log lines of the agent, and the state of an extension (the agent itself, too).

/** A log line. All texts; numbers stay as they were written. */
export interface GenericEvent {
  readonly kind: "generic";
  readonly level: string;
  readonly message: string;
  readonly version: string;
  readonly taskName: string;
  readonly pid: string;
  readonly tid: string;
  /** Which part of a program speaks. */
  readonly operationId: string;
  readonly timeStamp: string;
}

/** How an operation of an extension ended. */
export interface ExtensionEvent {
  readonly kind: "extension";
  readonly name: string;
  readonly version: string;
  readonly isInternal: boolean;
  readonly extensionType: string;
  readonly operation: string;
  readonly succeeded: boolean;
  readonly taskName: string;
  readonly message: string;
  readonly durationMs: number;
  readonly pid: string;
  readonly tid: string;
  readonly timeStamp: string;
}

export type TelemetryEvent = GenericEvent | ExtensionEvent;

/** Levels as event files and the platform write them. */
export const EVENT_LEVELS = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"] as const;

const MAX_MESSAGE_BYTES = 4096;
const CUT_MARK = "...";

/** At most 4096 bytes of UTF-8, cut between characters, the cut being marked. */
export function cutToBytes(text: string, maxBytes = MAX_MESSAGE_BYTES): string {
  const whole = text.slice(0, maxBytes + 1).toWellFormed();
  if (whole.length === text.length && Buffer.byteLength(whole) <= maxBytes) return whole;
  const bytes = Buffer.from(whole, "utf8");
  let end = Math.min(bytes.length, maxBytes - CUT_MARK.length);
  // Bytes 10xxxxxx go on with a character.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}${CUT_MARK}`;
}
