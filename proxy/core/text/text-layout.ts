// Lines for a terminal of 100 columns. Every text that a file or a caller chose goes through here, so none can move the cursor.

import { escapeForTerminal } from "./terminal-text.ts";

export const LINE_COLUMNS = 100;

/** A foreign text in quotes, safe on a terminal. */
export function quote(text: string): string {
  return escapeForTerminal(JSON.stringify(text));
}

/** A value as one line of JSON, or indented; what would move a terminal is escaped, which inside JSON texts means the same. */
export function renderJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? Number(member) : member), indent) ?? "null";
  return text
    .split("\n")
    .map((line) => escapeForTerminal(line))
    .join("\n");
}

/**
 * Breaks a text at blanks into lines of at most {@link LINE_COLUMNS}; a word that is longer stays whole, so that it can be copied.
 * @param lead - what the first line begins with; the others are indented as far
 */
export function wrap(lead: string, text: string): readonly string[] {
  const indent = " ".repeat(lead.length);
  const lines: string[] = [];
  let line = lead;
  let empty = true;
  for (const word of escapeForTerminal(text).split(" ")) {
    if (!empty && line.length + 1 + word.length > LINE_COLUMNS) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line = empty ? line + word : `${line} ${word}`;
    empty = false;
  }
  return [...lines, line.trimEnd()];
}

/** `1 privilege`, `2 privileges`. */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}
