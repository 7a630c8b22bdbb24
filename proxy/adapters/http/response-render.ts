// The host's response head on its way to the client: everything as received, less what concerned only our connection to
// the host. Never adds Via, Date, Server or the like: boot clients and IMDS itself react to such fields.

import { CHUNK_HEADERS, RESPONSE_FRAMING, RESPONSE_HOP_BY_HOP } from "../../core/channel/header-names.ts";
import type { HeaderField, ResponseHead } from "../../core/request/http-message.ts";
import { connectionTokens, renderField } from "./header-fields.ts";

export interface ResponseShape {
  /** The client's HTTP minor version. */
  readonly clientMinorVersion: 0 | 1;
  /** The connection closes after this response. */
  readonly close: boolean;
  /** The client cannot read chunks: it gets the payload, ended by closing. */
  readonly dechunk: boolean;
  readonly added: readonly HeaderField[];
}

export function renderResponseHead(head: ResponseHead, shape: ResponseShape): string {
  const nominated = connectionTokens(head.headers);
  const dropChunked = shape.dechunk || shape.clientMinorVersion === 0 || head.status === 204 || head.status === 304;
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  for (const [name, value] of head.headers) {
    if (RESPONSE_HOP_BY_HOP.has(name) || (dropChunked && CHUNK_HEADERS.has(name))) continue;
    if (nominated.length > 0 && isNominated(name, nominated)) continue;
    text += `${name}: ${value}\r\n`;
  }
  for (const [name, value] of shape.added) text += renderField(name, value);
  if (shape.close) text += "Connection: close\r\n";
  else if (shape.clientMinorVersion === 0) text += "Connection: keep-alive\r\n";
  return `${text}\r\n`;
}

/** An informational head (1xx): no framing, no say about the connection. */
export function renderInterimHead(head: ResponseHead): string {
  return renderResponseHead(head, { clientMinorVersion: 1, close: false, dechunk: true, added: [] });
}

/** Named by the Connection field as belonging to that connection. */
function isNominated(name: string, nominated: readonly string[]): boolean {
  return nominated.includes(name.toLowerCase()) && !RESPONSE_FRAMING.has(name);
}
