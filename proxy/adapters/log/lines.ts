// Log lines for the journal: "EVENT {json}" on standard output, one line per event, never blocking and bounded in memory.
// Control characters cannot forge a line, because JSON escapes them and event names are ours.

import { write as writeFile } from "node:fs";
import type { Log, LogField } from "../../core/ports.ts";
import { redactSecrets } from "../../core/redact.ts";
import { HarmlessTexts, isPrintableAscii } from "./harmless-texts.ts";

export const LEVELS = ["error", "warn", "info", "debug"] as const;
export type Level = (typeof LEVELS)[number];

/** syslog priorities that journald reads from a `<N>` prefix. */
const PRIORITY: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

/** Enough for a burst of some ten thousand requests while the journal is busy. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
const MAX_FIELD_CHARACTERS = 8 * 1024;
/** Between two writes: under load some hundred lines then share one, and none is late for a reader. */
const REST_MS = 10;

/** INVARIANT: holds only printable ASCII that {@link redactSecrets} leaves alone. */
const harmless = new HarmlessTexts(256);

export interface LineSink {
  /** Takes one line without its newline. */
  write(line: string): void;
  /** Resolves when all that was taken has been written, or cannot be. */
  flush(): Promise<void>;
}

/** @param journal - prefix lines with their syslog priority, as journald expects it from services */
export function makeLog(sink: LineSink, threshold: Level, journal: boolean, now: () => Date): Log {
  const enabled = new Set(LEVELS.slice(0, LEVELS.indexOf(threshold) + 1));
  const line = (level: Level) => (event: string, fields: Readonly<Record<string, LogField>>) => {
    if (enabled.has(level)) sink.write(renderLine(level, event, fields, journal, now()));
  };
  return { error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug") };
}

export function renderLine(level: Level, event: string, fields: Readonly<Record<string, LogField>>, journal: boolean, now: Date): string {
  const json = renderFields(fields);
  // journald stamps the time itself; elsewhere the line carries it.
  return journal ? `<${PRIORITY[level]}>${event} ${json}` : `${now.toISOString()} [${level.toUpperCase()}] ${event} ${json}`;
}

function renderFields(fields: Readonly<Record<string, LogField>>): string {
  const shown: Record<string, LogField> = {};
  let plain = true;
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (typeof value !== "string") {
      shown[name] = value;
      plain &&= typeof value !== "object" || value.every(isPrintableAscii);
    } else if (harmless.has(value)) {
      shown[name] = value;
    } else {
      const text = redactSecrets(cut(value));
      shown[name] = text;
      plain &&= isPrintableAscii(text);
      if (text === value) harmless.add(value);
    }
  }
  const json = JSON.stringify(shown);
  // JSON escapes C0 controls; DEL, C1 controls and the separators U+2028/9 would still move a terminal or split a line.
  return plain
    ? json
    : json.replace(/[\x7f-\x9f\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Cuts on a character boundary, so that no half of a surrogate pair is left. */
function cut(text: string): string {
  if (text.length <= MAX_FIELD_CHARACTERS) return text;
  const last = text.charCodeAt(MAX_FIELD_CHARACTERS - 1);
  const end = last >= 0xd800 && last <= 0xdbff ? MAX_FIELD_CHARACTERS - 1 : MAX_FIELD_CHARACTERS;
  return `${text.slice(0, end)}…`;
}

/**
 * Writes lines to a descriptor in the background, many at a time. When the reader stalls, lines are dropped and counted.
 * @param renderLost - the line that tells how many were dropped
 */
export function makeDescriptorSink(descriptor: number, renderLost: (count: number) => string): LineSink {
  let queued: string[] = [];
  let queuedBytes = 0;
  let dropped = 0;
  let state: "idle" | "writing" | "resting" = "idle";
  let rest: ReturnType<typeof setTimeout> | undefined;
  let waiters: (() => void)[] = [];

  function pump(): void {
    if (state === "writing") return;
    clearTimeout(rest);
    state = "idle";
    if (queued.length === 0) {
      for (const waiter of waiters.splice(0)) waiter();
      return;
    }
    state = "writing";
    const lost = dropped;
    dropped = 0;
    if (lost > 0) queued.push(renderLost(lost));
    const text = `${queued.join("\n")}\n`;
    queued = [];
    queuedBytes = 0;
    writeAll(Buffer.from(text, "utf8"), 0);
  }

  function writeAll(bytes: Buffer, from: number): void {
    writeFile(descriptor, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null && (error as NodeJS.ErrnoException).code === "EAGAIN") {
        setTimeout(() => writeAll(bytes, from), 10);
        return;
      }
      // A sink that is gone (EPIPE, full disk) loses these lines; the agent itself goes on.
      if (error === null && from + written < bytes.length) return writeAll(bytes, from + written);
      state = "resting";
      if (waiters.length > 0) pump();
      else rest = setTimeout(pump, REST_MS);
    });
  }

  return {
    write(line) {
      if (queuedBytes > MAX_QUEUED_BYTES) {
        dropped++;
        return;
      }
      queued.push(line);
      queuedBytes += line.length;
      if (queued.length === 1 && state === "idle") queueMicrotask(pump);
    },
    flush: () =>
      new Promise((resolve) => {
        if (state !== "writing" && queued.length === 0) return resolve();
        waiters = [...waiters, resolve];
        pump();
      }),
  };
}
