import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import type { RequestHead } from "../../core/request/http-message.ts";
import { parseRequestHead, scanRequestHead } from "./request-head.ts";

/** What one piece of input becomes: the head, a status, or "more". */
function read(bytes: Buffer): RequestHead | number | "more" {
  const scan = scanRequestHead(bytes, 0, bytes.length);
  if (scan.kind === "more") return "more";
  if (scan.kind === "refused") return scan.refusal.status;
  const head = parseRequestHead(bytes.toString("latin1", scan.start, scan.end));
  return head.ok ? head.value : head.error.status;
}

function readText(text: string): RequestHead | number | "more" {
  return read(Buffer.from(text, "latin1"));
}

const withField = (line: string) => `POST /x HTTP/1.1\r\nHost: h\r\n${line}\r\n\r\n`;
const withHost = (value: string) => `GET /x HTTP/1.1\r\nHost: ${value}\r\n\r\n`;
const withLine = (line: string) => `${line}\r\nHost: h\r\n\r\n`;

describe("request line", () => {
  test.each([
    ["empty", ""],
    ["no version", "GET /x"],
    ["lower-case version", "GET /x http/1.1"],
    ["HTTP/1.2", "GET /x HTTP/1.2"],
    ["HTTP/1.10", "GET /x HTTP/1.10"],
    ["HTTP/01.1", "GET /x HTTP/01.1"],
    ["HTTP/2.0", "GET /x HTTP/2.0"],
    ["HTTP/1,1", "GET /x HTTP/1,1"],
    ["another protocol", "GET /x FTP/1.1"],
    ["a space after the version", "GET /x HTTP/1.1 "],
    ["two spaces after the method", "GET  /x HTTP/1.1"],
    ["two spaces before the version", "GET /x  HTTP/1.1"],
    ["tabs", "GET\t/x\tHTTP/1.1"],
    ["a leading space", " GET /x HTTP/1.1"],
    ["a space in the target", "GET /a b HTTP/1.1"],
    ["NUL in the target", "GET /a\0b HTTP/1.1"],
    ["DEL in the target", "GET /a\x7fb HTTP/1.1"],
    ["a byte beyond ASCII in the target", "GET /\xe9 HTTP/1.1"],
    ["a fragment", "GET /x#frag HTTP/1.1"],
    ["a method that is no token", "GET: /x HTTP/1.1"],
    ["a byte beyond ASCII in the method", "G\xc9T /x HTTP/1.1"],
    ["a method of 33 bytes", `${"A".repeat(33)} /x HTTP/1.1`],
    ["no target", "GET HTTP/1.1"],
  ])("refuses %s", (_name, line) => {
    expect(readText(withLine(line))).toBe(400);
  });

  test.each(["GET", "get", "FOO", "M-SEARCH", "CONNECT", "A".repeat(32)])("leaves judging the method %s to the handler", (method) => {
    expect(readText(withLine(`${method} /x HTTP/1.1`))).toMatchObject({ method });
  });

  test.each(["/a/../b", "//x", "/%2e%2e/x", "/\\x", "/x?a=\"<>'", "*", "http://h/x", "h:80", "/x?", "/{x}|^`"])(
    "keeps the target %s",
    (target) => {
      expect(readText(withLine(`GET ${target} HTTP/1.1`))).toMatchObject({ target });
    },
  );

  test("takes a target of 32 KiB and refuses a longer one with 414", () => {
    expect(readText(withLine(`GET /${"a".repeat(32767)} HTTP/1.1`))).toMatchObject({ method: "GET" });
    expect(readText(withLine(`GET /${"a".repeat(32768)} HTTP/1.1`))).toBe(414);
    expect(readText(`GET /${"a".repeat(33_000)}`)).toBe(414);
  });

  test("skips two empty lines before the request and no third", () => {
    expect(readText(`\r\n\r\n${withLine("GET /x HTTP/1.1")}`)).toMatchObject({ target: "/x" });
    expect(readText(`\r\n\r\n\r\n${withLine("GET /x HTTP/1.1")}`)).toBe(400);
    expect(readText(`\n${withLine("GET /x HTTP/1.1")}`)).toBe(400);
  });
});

describe("what can never become a request is refused before its head is complete", () => {
  test.each([
    ["a TLS hello", "\x16\x03\x01\x02\x00\x01"],
    ["an HTTP/0.9 line", "GET /x\r\n"],
    ["an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a bare LF", "GET /x HTTP/1.1\nHost"],
    ["a bare LF further on", "GET /x HTTP/1.1\r\nHost: h\nX"],
    ["a first word that is too long", "A".repeat(33)],
    ["a first word that is no token", "G@T"],
    ["a bare CR", "\rG"],
  ])("%s", (_name, text) => {
    expect(readText(text)).toBe(400);
  });

  test.each(["", "G", "GET", "GET ", "\r", "\r\n", "GET /x HTTP/1.1", "GET /x HTTP/1.1\r", "GET /x HTTP/1.1\r\nHost: h\r\n\r"])(
    "but %j may still become one",
    (text) => {
      expect(readText(text)).toBe("more");
    },
  );
});

describe("header fields", () => {
  test.each([
    ["a bare LF", "A: b\nC: d"],
    ["a bare CR in a value", "A: b\rC: d"],
    ["a fold by space", "A: b\r\n c"],
    ["a fold by tab", "A: b\r\n\tc"],
    ["NUL in a value", "A: b\0"],
    ["DEL in a value", "A: b\x7f"],
    ["a control byte in a value", "A: \x01"],
    ["vertical tab in a value", "A: \x0bb"],
    ["a byte beyond ASCII in a value", "A: \xe9"],
    ["NUL in a name", "A\0: b"],
    ["a space before the colon", "A : b"],
    ["a tab before the colon", "A\t: b"],
    ["a space in a name", "A B: c"],
    ["a leading space", " A: b"],
    ["no colon", "Abc"],
    ["an empty name", ": b"],
    ["parentheses in a name", "A(b): c"],
    ["a slash in a name", "a/b: c"],
    ["a byte beyond ASCII in a name", "\xe9: c"],
    ["an underscore framing name", "Transfer_Encoding: chunked"],
    ["an underscore length", "content_length: 5"],
    ["an underscore in one of our names", "x_ms_azure_host_claims: {}"],
    ["a mixed look-alike of one of our names", "X-MS-Azure_Host-Authorization: x"],
  ])("T-51: refuses %s", (_name, line) => {
    expect(readText(withField(line))).toBe(400);
  });

  test("keeps case, order and repetitions, and cuts outer blanks only", () => {
    const head = readText("GET /x HTTP/1.1\r\nhOST:h\r\nB: 1\r\na:\t two  words \t\r\nB: 2\r\nEmpty:\r\nunder_score: ok\r\n\r\n");
    expect(head).toMatchObject({
      headers: [
        ["hOST", "h"],
        ["B", "1"],
        ["a", "two  words"],
        ["B", "2"],
        ["Empty", ""],
        ["under_score", "ok"],
      ],
    });
  });

  test("takes 128 fields and refuses more with 431", () => {
    const fields = (count: number) => `GET /x HTTP/1.1\r\nHost: h\r\n${"A: b\r\n".repeat(count - 1)}\r\n`;
    expect(readText(fields(128))).toMatchObject({ host: "h" });
    expect(readText(fields(129))).toBe(431);
  });

  test("takes a head of 64 KiB and refuses a longer one with 431, complete or not", () => {
    const start = "GET /x HTTP/1.1\r\nHost: h\r\nA: ";
    const fill = 64 * 1024 - start.length - 2;
    expect(readText(`${start}${"b".repeat(fill)}\r\n\r\n`)).toMatchObject({ host: "h" });
    expect(readText(`${start}${"b".repeat(fill + 3)}\r\n\r\n`)).toBe(431);
    expect(readText(`${start}${"b".repeat(fill + 10)}`)).toBe(431);
  });
});

describe("Host", () => {
  test.each([
    "",
    "a b",
    "h/evil",
    "u@evil",
    "h:80:90",
    "h:",
    "h:99999",
    "h:-1",
    "[::1",
    "::1",
    "h?x",
    "h#x",
    "h\\x",
    "a,b",
    "h\xe9",
    "%41",
    "h;x",
  ])("refuses %j", (value) => {
    expect(readText(withHost(value))).toBe(400);
  });

  test.each([
    "169.254.169.254",
    "169.254.169.254:80",
    "metadata.azure.internal",
    "[::1]",
    "[fe80::1]:8080",
    "host_with_underscore",
    "h:65535",
  ])("takes %j", (value) => {
    expect(readText(withHost(value))).toMatchObject({ host: value });
  });

  test("is required once in 1.1 and optional in 1.0", () => {
    expect(readText("GET /x HTTP/1.1\r\n\r\n")).toBe(400);
    expect(readText("GET /x HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n")).toBe(400);
    expect(readText("GET /x HTTP/1.0\r\n\r\n")).toMatchObject({ host: undefined, minorVersion: 0 });
    expect(readText("GET /x HTTP/1.0\r\nHost: a b\r\n\r\n")).toBe(400);
  });
});

describe("framing", () => {
  test.each(["5, 5", "+5", "-1", "0x5", "5a", "", "5 6", "5,6", "5.0", "5e0", "\xb2", "18446744073709551621", "1234567890123456", "5\x0b"])(
    "refuses Content-Length %j",
    (value) => {
      expect(readText(withField(`Content-Length: ${value}`))).toBe(400);
    },
  );

  test.each([
    ["5", 5],
    ["  5", 5],
    ["\t5 ", 5],
    ["05", 5],
    ["999999999999999", 999_999_999_999_999],
  ])("takes Content-Length %j", (value, lengthBytes) => {
    expect(readText(withField(`Content-Length:${value}`))).toMatchObject({ framing: { kind: "length", lengthBytes } });
  });

  test.each([
    ["both", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["both, the other way round", "Transfer-Encoding: chunked\r\nContent-Length: 5"],
    ["both, one of them unknown", "Transfer-Encoding: xchunked\r\nContent-Length: 5"],
    ["two equal lengths", "Content-Length: 5\r\nContent-Length: 5"],
    ["two lengths", "Content-Length: 5\r\ncontent-length: 6"],
    ["two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"],
    ["a coding with a control byte", "Transfer-Encoding: chunked\0"],
  ])("T-50: refuses %s", (_name, lines) => {
    expect(readText(withField(lines))).toBe(400);
  });

  test.each(["xchunked", "identity", "gzip, chunked", "chunked, identity", ", chunked", "chunked,", '"chunked"', "chunked;q=1", ""])(
    "answers 501 to Transfer-Encoding %j",
    (value) => {
      expect(readText(withField(`Transfer-Encoding: ${value}`))).toBe(501);
    },
  );

  test.each(["chunked", "Chunked", "\tchunked", "chunked\t"])("takes Transfer-Encoding %j", (value) => {
    expect(readText(withField(`Transfer-Encoding: ${value}`))).toMatchObject({ framing: { kind: "chunked" } });
  });

  test("refuses Transfer-Encoding in 1.0", () => {
    expect(readText("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")).toBe(400);
  });

  test("without a length, and with length 0, there is no body", () => {
    expect(readText(withField("A: b"))).toMatchObject({ framing: { kind: "none" } });
    expect(readText(withField("Content-Length: 0"))).toMatchObject({ framing: { kind: "none" } });
  });
});

describe("connection and expectation", () => {
  test.each([
    ["HTTP/1.1", "", false],
    ["HTTP/1.1", "Connection: close\r\n", true],
    ["HTTP/1.1", "Connection: Keep-Alive, CLOSE\r\n", true],
    ["HTTP/1.1", "Connection: a\r\nConnection: close\r\n", true],
    ["HTTP/1.1", "Connection: closed\r\n", false],
    ["HTTP/1.0", "", true],
    ["HTTP/1.0", "Connection: keep-alive\r\n", false],
    ["HTTP/1.0", "Connection: keep-alive, close\r\n", true],
  ])("%s %j closes: %p", (version, lines, closeAfter) => {
    expect(readText(`GET / ${version}\r\nHost: h\r\n${lines}\r\n`)).toMatchObject({ closeAfter });
  });

  test.each(["200-ok", "100-continue, x", ""])("answers 417 to Expect %j", (value) => {
    expect(readText(withField(`Expect: ${value}`))).toBe(417);
  });

  test("100-continue is expected in 1.1 and ignored in 1.0", () => {
    expect(readText(withField("Expect: 100-Continue"))).toMatchObject({ expectsContinue: true });
    expect(readText("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")).toMatchObject({ expectsContinue: false });
  });
});

const GRAINS = [
  "GET /metadata/instance?api-version=2021-02-01 HTTP/1.1\r\n",
  "POST /x HTTP/1.0\r\n",
  "Host: 169.254.169.254\r\n",
  "Metadata: true\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Expect: 100-continue\r\n",
  "Connection: close\r\n",
  "Transfer_Encoding: chunked\r\n",
  "A: b\n",
  " folded\r\n",
  "\r\n",
  "\r",
  "\n",
  "\0",
  ":",
  "\xff",
] as const;

describe("laws of the request head", () => {
  test("no bytes make it throw, and reading them in pieces gives what reading them whole gives", () => {
    for (let round = 0; round < 3000; round++) {
      const seed = 7_000_000 + round;
      const random = seededRandom(seed);
      const grains = random.list(0, 8, () => random.pick([...GRAINS]));
      const bytes = Buffer.from(`${random.oneIn(3) ? "" : GRAINS[0] + GRAINS[2]}${grains.join("")}\r\n\r\n`, "latin1");
      if (bytes.length > 0 && random.oneIn(2)) bytes[random.below(bytes.length)] = random.below(256);
      const whole = read(bytes);
      let inPieces: ReturnType<typeof read> = "more";
      for (let end = 0; end <= bytes.length && inPieces === "more"; end += 1 + random.below(4)) inPieces = read(bytes.subarray(0, end));
      if (inPieces === "more") inPieces = whole;
      expect({ seed, result: inPieces }).toEqual({ seed, result: whole });
    }
  });

  test("a head it takes, written again from its parts, is taken as the same head", () => {
    for (let round = 0; round < 500; round++) {
      const seed = 8_000_000 + round;
      const random = seededRandom(seed);
      const text = (min: number, max: number, alphabet: string) =>
        random.list(min, max, () => alphabet.charAt(random.below(alphabet.length))).join("");
      const token = () => text(1, 12, "abcXYZ019!$%&'*+-.^`|~");
      const value = () => text(0, 20, 'abc XYZ\t0:;,"<>[]{}()=/\\#');
      const lines = random.list(0, 20, () => `${token()}x:${value()}`);
      const head = readText(`${token()} /${token()} HTTP/1.1\r\nHost: h\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`);
      if (typeof head !== "object") throw new Error(`seed ${seed}: refused with ${head}`);
      const again = readText(
        `${head.method} ${head.target} HTTP/1.1\r\n${head.headers.map(([name, field]) => `${name}: ${field}\r\n`).join("")}\r\n`,
      );
      expect({ seed, head: again }).toEqual({ seed, head });
    }
  });
});
