import { describe, expect, test } from "bun:test";
import { type Random, seededRandom } from "../../../test/support/random.ts";
import type { ResponseHead } from "../../core/request/http-message.ts";
import { ResponseReader } from "./response-reader.ts";

interface Seen {
  readonly interim: number[];
  readonly body: string;
  readonly status: number | undefined;
  readonly end: "complete" | "complete-reusable" | "malformed" | "open";
}

/** Reads the text cut at the given places and then closed; the body as received or its payload only. */
function read(text: string, cuts: readonly number[], wanted: "as-received" | "payload-only", close: boolean): Seen {
  const interim: number[] = [];
  let body = "";
  let status: number | undefined;
  let end: Seen["end"] = "open";
  const reader = new ResponseReader();
  reader.begin("GET", {
    onInterim: (head: ResponseHead) => interim.push(head.status),
    onHead: (head: ResponseHead) => {
      status = head.status;
      return wanted;
    },
    onBody: (bytes) => {
      if (end !== "open") throw new Error("body after the end");
      body += bytes.toString("latin1");
    },
    onComplete: (reusable) => {
      end = reusable ? "complete-reusable" : "complete";
    },
    onMalformed: () => {
      end = "malformed";
    },
  });
  const bytes = Buffer.from(text, "latin1");
  let start = 0;
  for (const cut of [...cuts].sort((a, b) => a - b).concat(bytes.length)) {
    if (cut > start) reader.feed(bytes.subarray(start, cut));
    start = Math.max(start, cut);
  }
  if (close) reader.end();
  return { interim, body, status, end };
}

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

describe("ResponseReader", () => {
  test.each([
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", "complete-reusable"],
    ["chunks and trailers", `${CHUNKED}5\r\nhello\r\n0\r\nA: b\r\n\r\n`, "hello", "complete-reusable"],
    ["no length", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", "complete"],
    ["no body", "HTTP/1.1 204 No Content\r\n\r\n", "", "complete-reusable"],
    ["a host that closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", "complete"],
    ["bytes too many", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", "hello", "complete"],
    ["bytes too many after nothing", "HTTP/1.1 204 No Content\r\n\r\nx", "", "complete"],
    ["a length cut short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "hel", "open"],
    ["chunks cut short", `${CHUNKED}5\r\nhello\r\n`, "hello", "open"],
    ["chunks that are none", `${CHUNKED}5\r\nhello\r\nz`, "hello", "malformed"],
  ] as const)("%s", (_name, text, body, end) => {
    expect(read(text, [], "payload-only", true)).toMatchObject({ body, end });
  });

  test("a head over 64 KiB is malformed, complete or not", () => {
    const head = `HTTP/1.1 200 OK\r\nA: ${"b".repeat(65536)}`;
    expect(read(head, [], "as-received", false).end).toBe("malformed");
    expect(read(`${head}\r\n\r\n`, [], "as-received", false).end).toBe("malformed");
  });

  const grains: [string, ...string[]] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "A: b\r\n",
    "hello",
    "\n",
    "\0",
    "x",
  ];
  const likely = (random: Random) =>
    random.pick([
      CHUNKED,
      "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      "HTTP/1.1 404 Not Found\r\n\r\n",
      "",
    ]);

  test("law: any bytes give the same response in pieces as whole, and never an exception", () => {
    for (let seed = 1; seed <= 5000; seed++) {
      const random = seededRandom(seed);
      let text = likely(random) + random.list(0, 6, () => random.pick(grains)).join("");
      if (text.length > 0 && random.oneIn(3)) {
        const at = random.below(text.length);
        text = text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
      }
      const cuts = random.list(0, 8, () => random.below(text.length + 1));
      const wanted = random.oneIn(2) ? "as-received" : "payload-only";
      const whole = read(text, [], wanted, true);
      const inPieces = read(text, cuts, wanted, true);
      // Bytes too many are noticed only when they come with the end; later ones find the connection idle.
      const same = (seen: Seen) => ({ ...seen, end: seen.end === "complete-reusable" ? "complete" : seen.end });
      if (whole.end === "malformed") expect({ seed, end: inPieces.end }).toEqual({ seed, end: "malformed" });
      else expect({ seed, ...same(inPieces) }).toEqual({ seed, ...same(whole) });
    }
  });
});
