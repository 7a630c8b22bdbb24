// The strict parser of response heads. Pure. A host whose answer is ambiguous is treated as broken;
// status, reason, names, order and repetitions are kept as received.

import type { HeaderField, ResponseHead } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { connectionTokens, parseContentLength, parseFieldLines } from "./header-fields.ts";
import { MAX_RESPONSE_FIELDS } from "./limits.ts";

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FORBIDDEN_BYTE = /[^\t\r\n\x20-\x7e\x80-\xff]/;

/**
 * Parses a whole response head: latin1 text up to and including the CR LF of its last line, without the empty line.
 * @param method - of the request it answers: a response to HEAD has no body whatever its head says
 * @returns the head, or in words what is wrong with it
 */
export function parseResponseHead(text: string, method: string): Result<ResponseHead, string> {
  const lineEnd = text.indexOf("\r\n");
  const line = STATUS_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
  if (line === null) return err("the status line is malformed");
  if (FORBIDDEN_BYTE.test(text)) return err("the head holds a control byte");
  const fields = parseFieldLines(text, lineEnd + 2, MAX_RESPONSE_FIELDS);
  if (!fields.ok) return err(fields.error.detail);
  const headers = fields.value;
  const status = Number(line[2]);
  // We never pass an Upgrade on, so a switch of protocols was not requested.
  if (status === 101) return err("a switch of protocols nobody asked for");
  const minorVersion = line[1] === "1" ? 1 : 0;
  const framing = responseFraming(status, minorVersion, method, headers);
  if (!framing.ok) return framing;
  const tokens = connectionTokens(headers);
  const keepAlive =
    framing.value.kind !== "until-close" && (minorVersion === 1 ? !tokens.includes("close") : tokens.includes("keep-alive"));
  return ok({ status, reason: line[3] ?? "", minorVersion, headers, framing: framing.value, keepAlive });
}

function responseFraming(
  status: number,
  minorVersion: 0 | 1,
  method: string,
  headers: readonly HeaderField[],
): Result<ResponseHead["framing"], string> {
  let contentLength: string | undefined;
  let transferEncoding: string | undefined;
  for (const [name, value] of headers) {
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      if (contentLength !== undefined) return err("two Content-Length fields");
      contentLength = value;
    } else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") {
      if (transferEncoding !== undefined) return err("two Transfer-Encoding fields");
      transferEncoding = value;
    }
  }
  const lengthBytes = contentLength === undefined ? undefined : parseContentLength(contentLength);
  if (contentLength !== undefined && lengthBytes === undefined) return err("the Content-Length is malformed");
  if (transferEncoding !== undefined) {
    if (contentLength !== undefined) return err("both Content-Length and Transfer-Encoding");
    if (minorVersion === 0) return err("Transfer-Encoding in HTTP/1.0");
    if (transferEncoding.toLowerCase() !== "chunked") return err("a transfer coding other than chunked");
  }
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return ok({ kind: "none" });
  if (transferEncoding !== undefined) return ok({ kind: "chunked" });
  if (lengthBytes === undefined) return ok({ kind: "until-close" });
  return ok(lengthBytes === 0 ? { kind: "none" } : { kind: "length", lengthBytes });
}
