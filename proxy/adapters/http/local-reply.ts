// Answers the agent makes itself, as bytes. Adds nothing but the length and the connection header.

import type { RequestHead } from "../../core/request/http-message.ts";
import { reasonPhrase } from "../../core/request/http-status.ts";
import type { LocalReply } from "../../core/request/replies.ts";
import { renderField } from "./header-fields.ts";

const FRAMING_NAME = /^(?:connection|content-length|transfer-encoding|keep-alive|trailer)$/i;

/**
 * Renders a whole answer. The engine states framing and Connection itself, so those are dropped from the given headers.
 * @param request - what is answered; undefined when no head could be read
 * @param keep - the connection stays open
 */
export function renderLocalReply(reply: LocalReply, request: RequestHead | undefined, keep: boolean): Buffer {
  const { status, body } = reply;
  let head = `HTTP/1.1 ${status} ${reasonPhrase(status) ?? "Answer"}\r\n`;
  for (const [name, value] of reply.headers) {
    if (!FRAMING_NAME.test(name)) head += renderField(name, value);
  }
  const bodyless = status < 200 || status === 204 || status === 304;
  if (!bodyless) head += `Content-Length: ${body.length}\r\n`;
  if (!keep) head += "Connection: close\r\n";
  else if (request?.minorVersion === 0) head += "Connection: keep-alive\r\n";
  const headBytes = Buffer.from(`${head}\r\n`, "latin1");
  return bodyless || request?.method === "HEAD" || body.length === 0 ? headBytes : Buffer.concat([headBytes, body]);
}

/** A bare status with no body: for what is refused before a handler sees it. */
export function bareReply(status: number): LocalReply {
  return { status, headers: [], body: new Uint8Array(0), close: true };
}
