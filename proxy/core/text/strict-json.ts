// Parses JSON that must have one meaning only: bounded in size and depth, each member once, plain UTF-8. For rule
// files, the platform's status, and other inputs of access decisions. Never throws; values keep their place in the text.

import { err, ok, type Result } from "../result.ts";
import { decodeText } from "./decode-text.ts";
import { type JsonText, readJsonText, type TextPosition } from "./json-text.ts";

export { type JsonText, MAX_JSON_DEPTH, type TextPosition } from "./json-text.ts";

export interface JsonError {
  /** What was found and what was wanted, in words; quotes at most one member name of the input. */
  readonly message: string;
  /** Undefined when the input as a whole is refused: too long, not UTF-8. */
  readonly position: TextPosition | undefined;
}

export interface JsonLimits {
  /** UTF-8 bytes of the whole input. */
  readonly maxBytes: number;
}

export const DEFAULT_JSON_LIMITS: JsonLimits = { maxBytes: 1024 * 1024 };

const BYTE_ORDER_MARK = "\ufeff";

/**
 * Reads one JSON text: all that `JSON.parse` takes, less what {@link JsonLimits} and `MAX_JSON_DEPTH` leave out and members that
 * come twice. One byte order mark at the start is passed over.
 * @param input - bytes as they were read, or a text that was decoded already
 */
export function parseStrictJson(input: Uint8Array | string, limits: JsonLimits = DEFAULT_JSON_LIMITS): Result<JsonText, JsonError> {
  const length = typeof input === "string" ? Buffer.byteLength(input) : input.length;
  if (length > limits.maxBytes) return err({ message: `found ${length} bytes, want at most ${limits.maxBytes}`, position: undefined });
  const text = typeof input === "string" ? ok(withoutMark(input)) : decodeText(input);
  if (!text.ok) return err({ message: text.error, position: undefined });
  const json = readJsonText(text.value);
  if (json.ok) return json;
  const { message, line, column } = json.error;
  return err({ message, position: { line, column } });
}

/** One line, for people. */
export function renderJsonError({ message, position }: JsonError): string {
  return position === undefined ? message : `line ${position.line}, column ${position.column}: ${message}`;
}

function withoutMark(text: string): string {
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}
