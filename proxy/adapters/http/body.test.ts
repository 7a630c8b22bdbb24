import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { type BodyDecoder, ChunkDecoder, LengthDecoder } from "./body.ts";

interface Outcome {
  readonly status: BodyDecoder["status"];
  readonly payload: string;
  /** How many bytes belonged to the body. */
  readonly consumed: number;
}

/** Feeds the text cut at the given places. */
function decode(decoder: BodyDecoder, text: string, cuts: readonly number[] = []): Outcome {
  const bytes = Buffer.from(text, "latin1");
  let payload = "";
  let consumed = 0;
  const sink = {
    onPayload(piece: Buffer, start: number, end: number) {
      payload += piece.toString("latin1", start, end);
    },
  };
  const ends = [...cuts.filter((cut) => cut > 0 && cut < bytes.length).sort((a, b) => a - b), bytes.length];
  let start = 0;
  for (const end of ends) {
    if (decoder.status !== "reading") break;
    consumed = decoder.feed(bytes, start, end, sink);
    start = end;
  }
  return { status: decoder.status, payload, consumed };
}

const chunks = (text: string, cuts?: readonly number[]) => decode(new ChunkDecoder("refuse-trailers"), text, cuts);

describe("ChunkDecoder", () => {
  test.each([
    ["a leading space", " 5\r\nhello\r\n0\r\n\r\n"],
    ["a trailing space", "5 \r\nhello\r\n0\r\n\r\n"],
    ["0x", "0x5\r\nhello\r\n0\r\n\r\n"],
    ["a sign", "+5\r\nhello\r\n0\r\n\r\n"],
    ["a negative size", "-1\r\n"],
    ["a size of 9 digits", "000000005\r\nhello\r\n0\r\n\r\n"],
    ["a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"],
    ["an empty size", "\r\nhello\r\n0\r\n\r\n"],
    ["no hexadecimal digit", "g\r\n"],
    ["a size line that ends in LF", "5\nhello\r\n0\r\n\r\n"],
    ["a CR that is not followed by LF", "5\r5\nhello"],
    ["an extension that ends in LF", "5;a=b\nhello\r\n0\r\n\r\n"],
    ["a NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"],
    ["an extension of 257 bytes", `5;${"a".repeat(257)}\r\nhello\r\n0\r\n\r\n`],
    ["extensions of 16 KiB in all", `1;${"a".repeat(250)}\r\nx\r\n`.repeat(66)],
    ["no CR LF after the payload", "5\r\nhello0\r\n\r\n"],
    ["LF after the payload", "5\r\nhello\n0\r\n\r\n"],
    ["more payload than announced", "5\r\nhello!\r\n0\r\n\r\n"],
    ["LF at the end", "0\r\n\n"],
    ["a trailer", "5\r\nhello\r\n0\r\nA: b\r\n\r\n"],
  ])("refuses %s", (_name, text) => {
    expect(chunks(text).status).toBe("malformed");
  });

  test.each([
    ["one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"],
    ["two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"],
    ["capital digits and zeros", "0000000A\r\n0123456789\r\n00\r\n\r\n", "0123456789"],
    ["an extension", '5;a="b c"\r\nhello\r\n0;x\r\n\r\n', "hello"],
    ["nothing", "0\r\n\r\n", ""],
    ["CR LF inside the payload", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"],
  ])("reads %s and stops right behind it", (_name, text, payload) => {
    expect(chunks(`${text}GET`)).toEqual({ status: "done", payload, consumed: text.length });
  });

  test.each([
    ["no colon", "bad trailer"],
    ["a length", "Content-Length: 5"],
    ["a framing", "Transfer-Encoding: chunked"],
    ["a fold", " x"],
    ["a bare LF", "A: b\nC: d"],
    ["a control byte", "A: \x01"],
    ["a cookie", "Set-Cookie: a=b"],
  ])("refuses %s in an allowed trailer section", (_name, line) => {
    expect(decode(new ChunkDecoder("allow-trailers"), `0\r\n${line}\r\n\r\n`).status).toBe("malformed");
  });

  test("refuses a trailer section of more than 8 KiB", () => {
    expect(decode(new ChunkDecoder("allow-trailers"), `0\r\nA: ${"b".repeat(9000)}\r\n\r\n`).status).toBe("malformed");
  });

  test("law: what it passes on as received is the body and nothing else, and no trailer leaves before it is proven", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const random = seededRandom(seed);
      const good = random.oneIn(2);
      const body = `5;x\r\nhello\r\n0\r\n${good ? "A: b\r\nC: d\r\n" : "A: b\r\nbad\r\n"}\r\n`;
      const bytes = Buffer.from(`${body}GET /`, "latin1");
      const decoder = new ChunkDecoder("allow-trailers");
      let passed = "";
      for (let start = 0; start < bytes.length && decoder.status === "reading"; ) {
        const end = Math.min(bytes.length, start + 1 + random.below(12));
        decoder.feed(bytes, start, end, undefined);
        passed += bytes.toString("latin1", start, Math.max(start, decoder.passableEnd)) + decoder.heldTail;
        start = end;
      }
      expect({ seed, status: decoder.status, passed: good ? passed : passed.includes("A: b") }).toEqual({
        seed,
        status: good ? "done" : "malformed",
        passed: good ? body : false,
      });
    }
  });

  test("law: decoding undoes encoding, wherever the bytes are cut", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const random = seededRandom(seed);
      const parts = random.list(0, 6, () => random.list(1, 40, () => String.fromCharCode(random.below(256))).join(""));
      const text = `${parts.map((part) => `${part.length.toString(16)}${random.oneIn(3) ? ";ext" : ""}\r\n${part}\r\n`).join("")}0\r\n\r\n`;
      const cuts = random.list(0, 10, () => random.below(text.length));
      expect({ seed, ...chunks(`${text}tail`, cuts) }).toEqual({ seed, status: "done", payload: parts.join(""), consumed: text.length });
    }
  });

  test("law: any bytes give the same in pieces as whole, and never an exception", () => {
    const alphabet: [string, ...string[]] = ["0", "5", "a", "f", ";", "\r", "\n", "\r\n", "x", "hello", " ", "\0", "\xff"];
    for (let seed = 1; seed <= 4000; seed++) {
      const random = seededRandom(seed);
      const text = random.list(0, 16, () => random.pick(alphabet)).join("");
      const whole = chunks(text);
      const inPieces = chunks(
        text,
        random.list(0, 8, () => random.below(text.length + 1)),
      );
      expect({ seed, status: inPieces.status, payload: inPieces.payload }).toEqual({ seed, status: whole.status, payload: whole.payload });
    }
  });
});

describe("LengthDecoder", () => {
  test("takes exactly its length, wherever the bytes are cut", () => {
    expect(decode(new LengthDecoder(5), "helloGET")).toEqual({ status: "done", payload: "hello", consumed: 5 });
    expect(decode(new LengthDecoder(5), "helloGET", [1, 2, 3, 4])).toEqual({ status: "done", payload: "hello", consumed: 5 });
    expect(decode(new LengthDecoder(5), "hell")).toEqual({ status: "reading", payload: "hell", consumed: 4 });
  });
});
