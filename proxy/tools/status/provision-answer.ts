// What the agent answers on /provision, read by its own command line. The listener may be another program, or an agent that is half
// dead: nothing about the bytes is taken for granted. In HTTP only what our listener sends is understood.

import { err, ok, type Result } from "../../core/result.ts";

export interface ProvisionAnswer {
  readonly finished: boolean;
  /** Lines of what is not ready; empty when all is. */
  readonly errorMessage: string;
}

/** More than any answer of ours. */
export const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Reads the answer as far as it has arrived.
 * @param ended - the other side has closed: nothing more will come
 * @returns undefined while more bytes are needed; an error says what the agent did, to follow "the agent"
 */
export function parseProvisionAnswer(bytes: Uint8Array, ended: boolean): Result<ProvisionAnswer, string> | undefined {
  const text = Buffer.from(bytes).toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) {
    if (bytes.length >= MAX_ANSWER_BYTES) return err("gave an answer that is too long");
    return ended ? err("closed the connection without an answer") : undefined;
  }
  const status = /^HTTP\/1\.[01] ([0-9]{3})(?: |\r)/.exec(text)?.[1];
  if (status === undefined) return err("gave an answer that is not HTTP");
  if (status === "503") return err("is starting or busy (503)");
  if (status === "421") return err("runs in another network namespace (421)");
  if (status !== "200") return err(`answered ${status}`);
  const length = /\r\ncontent-length:[ \t]*([0-9]{1,6})[ \t]*\r\n/i.exec(text.slice(0, headEnd + 2))?.[1];
  if (length === undefined) return err("gave an answer without a length");
  const bodyStart = headEnd + 4;
  const bodyEnd = bodyStart + Number(length);
  if (bodyEnd > MAX_ANSWER_BYTES) return err("gave an answer that is too long");
  if (bytes.length < bodyEnd) return ended ? err("broke off its answer") : undefined;
  return parseBody(Buffer.from(bytes.subarray(bodyStart, bodyEnd)).toString("utf8"));
}

function parseBody(text: string): Result<ProvisionAnswer, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return err("gave an answer that is not JSON");
  }
  if (typeof json !== "object" || json === null) return err("gave an answer that is not a JSON object");
  const { finished, errorMessage } = json as Readonly<Record<string, unknown>>;
  if (typeof finished !== "boolean" || typeof errorMessage !== "string") return err('gave an answer without "finished" or "errorMessage"');
  return ok({ finished, errorMessage });
}
