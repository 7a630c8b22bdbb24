import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import vectors from "../test/vectors/signing.json";
import { parseRequestHead, type ReceivedHead } from "./request-head.ts";
import { dateProblem, isSignableTarget, RunningSignature, readAuthorization, signedTextAfterBody } from "./signature-check.ts";

type Vector = (typeof vectors.requests)[number];

interface Parts {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly string[])[];
  readonly body: string;
  readonly keyHex: string;
}

function headOf({ method, target, headers }: Parts): ReceivedHead {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const result = parseRequestHead(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`);
  if (!result.ok) throw new Error(result.problem.detail);
  return result.head;
}

function isAccepted(parts: Parts, signatureHex: string): boolean {
  const running = new RunningSignature(Buffer.from(parts.keyHex, "hex"), headOf(parts));
  // In two pieces, as it may come from the wire.
  const body = Buffer.from(parts.body);
  running.addBody(body.subarray(0, 1));
  running.addBody(body.subarray(1));
  return running.matches(Buffer.from(signatureHex, "hex"));
}

/** Another byte of the same sort, so that a changed length still parses. */
function other(char: string): string {
  if (/\d/.test(char)) return char === "1" ? "2" : "1";
  return char === "x" ? "y" : "x";
}

function changeLast(text: string): string {
  return text.slice(0, -1) + other(text.slice(-1));
}

describe("signing vectors", () => {
  test.each(vectors.requests.map((v) => [v.id, v] as const))("%s is accepted, over exactly the expected text", (_id, vector: Vector) => {
    expect(`${vector.method}\n${vector.body}${signedTextAfterBody(headOf(vector))}`).toBe(vector.stringToSign);
    expect(isAccepted(vector, vector.signatureHex)).toBe(true);
  });

  test.each(vectors.requests.map((v) => [v.id, v] as const))("%s is refused after any one byte changed", (_id, vector: Vector) => {
    const [path = "", query] = vector.target.split("?");
    const withQuery = (text: string): string => (query === undefined ? text : `${text}?${query}`);
    const changes: [string, Partial<Parts>][] = [
      ["method", { method: changeLast(vector.method) }],
      ["body", { body: `${vector.body}x` }],
      ["path", { target: withQuery(path === "/" ? "/x" : changeLast(path)) }],
      ["query", { target: query === undefined ? `${path}?x` : changeLast(vector.target) }],
      ["key", { keyHex: (vector.keyHex.startsWith("0") ? "1" : "0") + vector.keyHex.slice(1) }],
      ["a header more", { headers: [...vector.headers, ["x-more", "1"]] }],
    ];
    if (vector.body !== "") changes.push(["body byte", { body: other(vector.body[0] ?? "") + vector.body.slice(1) }]);
    const lastOfName = new Map(vector.headers.map(([name], i) => [name, i]));
    for (const i of lastOfName.values()) {
      const headers = vector.headers.map(([name = "", value = ""], at) => [name, at === i ? changeLast(value) : value]);
      changes.push([`header ${vector.headers[i]?.[0]}`, { headers }]);
      changes.push([
        `without header ${vector.headers[i]?.[0]}`,
        { headers: vector.headers.filter(([name]) => name !== vector.headers[i]?.[0]) },
      ]);
    }
    const accepted = changes.filter(([, change]) => isAccepted({ ...vector, ...change }, vector.signatureHex)).map(([what]) => what);
    expect(accepted).toEqual([]);
    expect(isAccepted(vector, changeHex(vector.signatureHex))).toBe(false);
  });

  test.each(vectors.primitive.filter((p) => p.signatureHex !== undefined).map((p) => [p.id, p] as const))(
    "primitive %s",
    (_id, primitive) => {
      const hmac = new Bun.CryptoHasher("sha256", Buffer.from(primitive.keyHex, "hex")).update(primitive.message);
      expect(hmac.digest("hex")).toBe(primitive.signatureHex ?? "");
    },
  );

  test("the first of repeated headers is not signed, as in the protocol", () => {
    const parts = {
      method: "GET",
      target: "/x",
      body: "",
      keyHex: "00".repeat(32),
      headers: [
        ["a", "1"],
        ["A", "2"],
      ],
    };
    const signature = createHmac("sha256", Buffer.alloc(32)).update("GET\n\na:2\n/x\n").digest("hex");
    expect(isAccepted(parts, signature)).toBe(true);
    expect(
      isAccepted(
        {
          ...parts,
          headers: [
            ["a", "9"],
            ["A", "2"],
          ],
        },
        signature,
      ),
    ).toBe(true);
    expect(
      isAccepted(
        {
          ...parts,
          headers: [
            ["a", "1"],
            ["A", "9"],
          ],
        },
        signature,
      ),
    ).toBe(false);
  });
});

function changeHex(hex: string): string {
  return (hex.startsWith("0") ? "1" : "0") + hex.slice(1);
}

describe("readAuthorization", () => {
  const read = (...values: string[]) =>
    readAuthorization({ method: "GET", target: "/", names: values.map(() => "x-ms-azure-host-authorization"), values });
  const hex = "ab".repeat(32);

  test("reads scheme, guid and signature", () => {
    expect(read(`Azure-HMAC-SHA256 guid-1 ${hex}`)).toEqual({ kind: "present", keyGuid: "guid-1", signature: Buffer.from(hex, "hex") });
    expect(read()).toEqual({ kind: "absent" });
  });

  test.each([
    ["", "scheme-unknown"],
    [`azure-hmac-sha256 g ${hex}`, "scheme-unknown"],
    [`Bearer ${hex}`, "scheme-unknown"],
    ["value", "scheme-unknown"],
    ["Azure-HMAC-SHA256", "authorization-malformed"],
    [`Azure-HMAC-SHA256 ${hex}`, "authorization-malformed"],
    [`Azure-HMAC-SHA256  ${hex}`, "authorization-malformed"],
    [`Azure-HMAC-SHA256 g ${hex.toUpperCase()}`, "authorization-malformed"],
    [`Azure-HMAC-SHA256 g ${hex.slice(2)}`, "authorization-malformed"],
    [`Azure-HMAC-SHA256 g ${hex}00`, "authorization-malformed"],
    [`Azure-HMAC-SHA256 g ${hex} x`, "authorization-malformed"],
  ] as const)("refuses %p as %s", (value, reason) => {
    expect(read(value)).toEqual({ kind: "unusable", reason });
  });

  test("refuses two of them, also equal ones", () => {
    const value = `Azure-HMAC-SHA256 g ${hex}`;
    expect(read(value, value)).toEqual({ kind: "unusable", reason: "authorization-repeated" });
  });
});

describe("dateProblem", () => {
  const now = Date.UTC(2025, 3, 23, 12, 0, 0);

  test.each(["Wed, 23 Apr 2025 12:00:00 GMT", "Wed, 23 Apr 2025 11:50:00 GMT", "Wed, 23 Apr 2025 12:10:00 GMT"])("takes %p", (date) => {
    expect(dateProblem(date, now, 600)).toBeUndefined();
  });

  test.each([
    [undefined, "date-missing"],
    ["", "date-malformed"],
    ["2025-04-23T12:00:00Z", "date-malformed"],
    ["Wed, 23 Apr 2025 12:00:00", "date-malformed"],
    ["Wed, 23 Apr 2025 12:00:00 UTC", "date-malformed"],
    ["Thu, 23 Apr 2025 12:00:00 GMT", "date-malformed"],
    ["Wed, 23 apr 2025 12:00:00 GMT", "date-malformed"],
    ["Wed, 23 Apr 25 12:00:00 GMT", "date-malformed"],
    ["Wed, 23 Apr 2025 11:49:59 GMT", "date-out-of-range"],
    ["Wed, 23 Apr 2025 12:10:01 GMT", "date-out-of-range"],
  ] as const)("refuses %p as %s", (date, reason) => {
    expect(dateProblem(date, now, 600)).toBe(reason);
  });
});

describe("isSignableTarget", () => {
  test("only visible ascii", () => {
    expect(isSignableTarget("/a?b=%20")).toBe(true);
    expect(isSignableTarget("/\xe9")).toBe(false);
    expect(isSignableTarget("/\x7f")).toBe(false);
  });
});
