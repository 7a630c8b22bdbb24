import { describe, expect, test } from "bun:test";
import { ChunkedBody } from "./chunked-body.ts";
import { headerPairsOf, parseRequestHead } from "./request-head.ts";

describe("parseRequestHead", () => {
  test("keeps target, order, repeats and outer-trimmed values", () => {
    const text = "GET /A%2f/../b?x=1#f HTTP/1.1\r\nHost: h\r\nMetadata: True \r\nx-Dup:  a b\t\r\nX-dup:\r\n\r\n";
    const result = parseRequestHead(text);
    expect(result.ok).toBe(true);
    if (!result.ok) return;
    expect(result.head.target).toBe("/A%2f/../b?x=1#f");
    expect(result.head.names).toEqual(["host", "metadata", "x-dup", "x-dup"]);
    expect(result.head.values).toEqual(["h", "True", "a b", ""]);
    expect(headerPairsOf(text)).toEqual([
      ["Host", "h"],
      ["Metadata", "True"],
      ["x-Dup", "a b"],
      ["X-dup", ""],
    ]);
  });

  test.each([
    ["POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", { kind: "length", lengthBytes: 5 }],
    ["POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", { kind: "none" }],
    ["POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", { kind: "chunked" }],
    ["GET / HTTP/1.0\r\n\r\n", { kind: "none" }],
  ])("framing of %p", (text, framing) => {
    const result = parseRequestHead(text);
    expect(result.ok && result.head.framing).toEqual(framing as never);
  });

  test.each([
    ["GET /\r\n\r\n", 400],
    ["GET  / HTTP/1.1\r\n\r\n", 400],
    ["GET / HTTP/1.1 \r\n\r\n", 400],
    ["G\x00T / HTTP/1.1\r\n\r\n", 400],
    ["GET /\x01 HTTP/1.1\r\n\r\n", 400],
    ["GET / HTTP/2.0\r\n\r\n", 505],
    ["GET / http/1.1\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nno colon\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\n: empty\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400],
    ["GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501],
    ["GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    [`GET / HTTP/1.1\r\n${"a: 1\r\n".repeat(600)}\r\n`, 431],
  ])("refuses %j", (text, status) => {
    const result = parseRequestHead(text);
    expect(result.ok).toBe(false);
    if (!result.ok) expect<number>(result.problem.status).toBe(status);
  });
});

describe("ChunkedBody", () => {
  function decode(text: string, pieceBytes: number): { data: string; end: string; rest: string } {
    const body = new ChunkedBody();
    let data = "";
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes);
      const progress = body.push(piece, (chunk) => {
        data += chunk.toString("latin1");
      });
      if (progress.kind === "done") return { data, end: "done", rest: bytes.toString("latin1", at + progress.usedBytes) };
      if (progress.kind === "malformed") return { data, end: "malformed", rest: "" };
    }
    return { data, end: "more", rest: "" };
  }

  test.each([1, 2, 3, 7, 1000])("decodes in pieces of %d bytes and leaves the next request alone", (pieceBytes) => {
    const text = '5\r\nhello\r\n6;ext="x"\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\nGET / ';
    expect(decode(text, pieceBytes)).toEqual({ data: "hello world", end: "done", rest: "GET / " });
  });

  test.each([
    "5\nhello",
    "g\r\n",
    "-1\r\n",
    "0x5\r\n",
    "\r\n",
    "123456789\r\n",
    "2\r\nabc\r\n",
    "0\r\nbad trailer\r\n\r\n",
    "5 5\r\n",
    `1;${"x".repeat(5000)}`,
  ])("refuses %p", (text) => {
    expect(decode(text, 1).end).toBe("malformed");
    expect(decode(text, 9999).end).toBe("malformed");
  });
});
