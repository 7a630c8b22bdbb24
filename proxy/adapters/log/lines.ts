// Format of a log line: "EVENT {json}", one line per event, for the journal, for files and for other outputs.
// Control characters cannot forge a line, because JSON escapes them and event names are ours.

import type { Log, LogField } from "../../core/ports.ts";
import { redactSecrets } from "../../core/text/redact.ts";
import { HarmlessTexts, isPrintableAscii } from "./harmless-texts.ts";

export const LEVELS = ["error", "warn", "info", "debug"] as const;
export type Level = (typeof LEVELS)[number];

/** syslog priorities that journald reads from a `<N>` prefix. */
const PRIORITY: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

const MAX_FIELD_CHARACTERS = 8 * 1024;
/** INVARIANT: holds only printable ASCII that {@link redactSecrets} leaves alone. */
const harmless = new HarmlessTexts(256);

/** One event, with its fields rendered: secrets are redacted, control characters escaped. */
export interface LogLine {
  readonly level: Level;
  readonly event: string;
  readonly json: string;
  readonly at: Date;
}

export interface LogOutput {
  /** Lines at this level and graver ones are taken. */
  readonly threshold: Level;
  /** Must not throw, and must not wait. */
  take(line: LogLine): void;
}

/** @param outputs - read for every line: one may be added later */
export function makeLog(outputs: readonly LogOutput[], now: () => Date): Log {
  const at = (level: Level) => (event: string, fields: Readonly<Record<string, LogField>>) => {
    const takers = outputs.filter(({ threshold }) => isAtLeast(level, threshold));
    if (takers.length === 0) return;
    // Rendered once for all outputs: searching for secrets is a line's largest cost.
    const line = makeLine(level, event, fields, now());
    for (const taker of takers) taker.take(line);
  };
  return { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}

export function makeLine(level: Level, event: string, fields: Readonly<Record<string, LogField>>, at: Date): LogLine {
  return { level, event, json: renderFields(fields), at };
}

export function isAtLeast(level: Level, threshold: Level): boolean {
  return LEVELS.indexOf(level) <= LEVELS.indexOf(threshold);
}

/** The event with the syslog priority that journald reads from services; it stamps the time itself. */
export function renderJournalLine({ level, event, json }: LogLine): string {
  return `<${PRIORITY[level]}>${event} ${json}`;
}

/** The event with its time and level, for everything but the journal. */
export function renderTextLine({ level, event, json, at }: LogLine): string {
  return `${at.toISOString()} [${level.toUpperCase()}] ${event} ${json}`;
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
