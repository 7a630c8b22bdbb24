// Answers the agent makes itself, as bytes. Adds nothing but the length and what to do with the connection.

import type { RequestHead } from "../../core/http-message.ts";
import type { LocalReply } from "../../core/ports.ts";
import { renderField } from "./header-fields.ts";

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  202: "Accepted",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

const FRAMING_NAME = /^(?:connection|content-length|transfer-encoding|keep-alive|trailer)$/i;

/**
 * Renders a whole answer. The engine states framing and Connection itself, so those are dropped from the given headers.
 * @param request - what is answered; undefined when no head could be read
 * @param keep - the connection stays open
 */
export function renderLocalReply(reply: LocalReply, request: RequestHead | undefined, keep: boolean): Buffer {
  const { status, body } = reply;
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? "Answer"}\r\n`;
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
