import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { parseResponseHead } from "./response-head.ts";

const read = (text: string, method = "GET") => parseResponseHead(text, method);
const withFields = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join("")}`;

describe("parseResponseHead", () => {
  test.each([
    ["no status line", "\r\n"],
    ["another protocol", "ICY 200 OK\r\n"],
    ["HTTP/2", "HTTP/2.0 200 OK\r\n"],
    ["lower case", "http/1.1 200 OK\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n"],
    ["status 099", "HTTP/1.1 099 X\r\n"],
    ["two spaces", "HTTP/1.1  200 OK\r\n"],
    ["a control byte in the reason", "HTTP/1.1 200 O\x01K\r\n"],
    ["a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"],
    ["a bare LF", "HTTP/1.1 200 OK\nA: b\r\n"],
    ["a bare LF in the fields", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n"],
    ["a bare CR", withFields("A: b\rC: d")],
    ["a fold", withFields("A: b", " c")],
    ["NUL", withFields("A: b\0")],
    ["a space before the colon", withFields("A : b")],
    ["no colon", withFields("Abc")],
    ["both framings", withFields("Content-Length: 5", "Transfer-Encoding: chunked")],
    ["two lengths", withFields("Content-Length: 5", "Content-Length: 5")],
    ["two codings", withFields("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
    ["another coding", withFields("Transfer-Encoding: gzip, chunked")],
    ["a coding in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n"],
    ["a malformed length", withFields("Content-Length: +5")],
    ["a list of lengths", withFields("Content-Length: 5, 5")],
    ["a length of 16 digits", withFields("Content-Length: 1234567890123456")],
    ["257 fields", withFields(...Array.from({ length: 257 }, () => "A: b"))],
  ])("refuses %s", (_name, text) => {
    expect(read(text).ok).toBe(false);
  });

  test("keeps status, reason, case, order and repetitions, and bytes beyond ASCII", () => {
    const head = read("HTTP/1.1 200 Fine And \xe9\r\nb: 1\r\nA: \xe9\r\nb: 2\r\nContent-Length: 3\r\n");
    expect(head).toEqual({
      ok: true,
      value: {
        status: 200,
        reason: "Fine And \xe9",
        minorVersion: 1,
        headers: [
          ["b", "1"],
          ["A", "\xe9"],
          ["b", "2"],
          ["Content-Length", "3"],
        ],
        framing: { kind: "length", lengthBytes: 3 },
        keepAlive: true,
      },
    });
  });

  test.each([
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "GET", { kind: "length", lengthBytes: 3 }, true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "GET", { kind: "none" }, true],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", "GET", { kind: "chunked" }, true],
    ["HTTP/1.1 200 OK\r\n", "GET", { kind: "until-close" }, false],
    ["HTTP/1.1 200\r\nContent-Length: 3\r\n", "GET", { kind: "length", lengthBytes: 3 }, true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "HEAD", { kind: "none" }, true],
    ["HTTP/1.1 204 No Content\r\nContent-Length: 77\r\n", "GET", { kind: "none" }, true],
    ["HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n", "GET", { kind: "none" }, true],
    ["HTTP/1.1 103 Early Hints\r\n", "GET", { kind: "none" }, true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n", "GET", { kind: "length", lengthBytes: 3 }, false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 3\r\n", "GET", { kind: "length", lengthBytes: 3 }, false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n", "GET", { kind: "length", lengthBytes: 3 }, true],
  ] as const)("%j to %s is framed as %j, kept: %p", (text, method, framing, keepAlive) => {
    const head = read(text, method);
    expect(head.ok && { framing: head.value.framing, keepAlive: head.value.keepAlive }).toEqual({ framing, keepAlive });
  });

  test("law: no bytes make it throw", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const random = seededRandom(seed);
      const bytes = Buffer.from(withFields("A: b", "Content-Length: 5", "Connection: close"), "latin1");
      for (let flips = random.below(4); flips >= 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
      const text = bytes.toString("latin1", 0, random.oneIn(4) ? random.below(bytes.length) : bytes.length);
      expect(typeof read(text).ok).toBe("boolean");
    }
  });
});
