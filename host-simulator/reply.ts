// An answer as a value, and its bytes on the wire. Answers that never change are made once and reused.
// States framing in exactly one way (Content-Length), so that what a client sees is never open to opinion.

import { STATUS_CODES } from "node:http";

/** A long body that is made of one block over and over, so that it needs no memory. */
export interface RepeatedBody {
  readonly totalBytes: number;
  readonly block: Uint8Array;
}

export interface Reply {
  readonly status: number;
  /** Header lines, each ended by CRLF; never Content-Length, Date or Connection. */
  readonly headerLines: string;
  readonly body: Uint8Array | RepeatedBody;
}

const EMPTY = new Uint8Array(0);
const encoder = new TextEncoder();

export function textReply(status: number, contentType: string, text: string, headerLines = ""): Reply {
  return { status, headerLines: `Content-Type: ${contentType}\r\n${headerLines}`, body: encoder.encode(text) };
}

export function jsonReply(status: number, value: unknown, headerLines = ""): Reply {
  return textReply(status, "application/json; charset=utf-8", JSON.stringify(value), headerLines);
}

export function xmlReply(status: number, xml: string): Reply {
  return textReply(status, "text/xml; charset=utf-8", xml);
}

export function emptyReply(status: number, headerLines = ""): Reply {
  return { status, headerLines, body: EMPTY };
}

export function methodNotAllowed(allow: string): Reply {
  return emptyReply(405, `Allow: ${allow}\r\n`);
}

export function bodyLengthOf(reply: Reply): number {
  return reply.body instanceof Uint8Array ? reply.body.length : reply.body.totalBytes;
}

/** True when no body may follow the head. */
export function isBodiless(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** The head of the answer, latin1. */
export function renderReplyHead(reply: Reply, date: string, minorVersion: 0 | 1, closes: boolean): string {
  const length = reply.status === 204 || reply.status === 304 ? "" : `Content-Length: ${bodyLengthOf(reply)}\r\n`;
  const connection = closes ? "Connection: close\r\n" : minorVersion === 0 ? "Connection: keep-alive\r\n" : "";
  const reason = STATUS_CODES[reply.status] ?? "Simulated";
  return `HTTP/1.1 ${reply.status} ${reason}\r\n${reply.headerLines}${length}Date: ${date}\r\n${connection}\r\n`;
}

/** Head and body in one buffer, for one write. Only for bodies that are in memory. */
export function joinHeadAndBody(head: string, body: Uint8Array): Buffer {
  const joined = Buffer.allocUnsafe(head.length + body.length);
  joined.write(head, 0, head.length, "latin1");
  if (body.length > 0) joined.set(body, head.length);
  return joined;
}
