import { describe, expect, test } from "bun:test";
import vectors from "../../../test/vectors/signing.json";
import { readRequest } from "../request/canonical-request.ts";
import type { HeaderField, RequestHead } from "../request/http-message.ts";
import { splitTarget } from "../request/request-target.ts";
import { permitFor } from "../request/verdict.ts";
import { endorse, findAmbiguity, renderAuthorization, renderClaims, signature, signingInput } from "./endorsement.ts";
import { Secret } from "./secret.ts";
import type { LatchedKey } from "./secure-channel.ts";

const GUID = "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf";
const DATE = "Wed, 23 Apr 2025 12:00:00 GMT";

function keyOf(hex: string): LatchedKey {
  return { guid: GUID, incarnationId: undefined, issued: "", secret: new Secret(Buffer.from(hex, "hex")) };
}

const K1 = keyOf("4A404E635266556A586E3272357538782F413F4428472B4B6250645367566B59");

function permit({ target }: RequestHead) {
  const read = readRequest("imds", "GET", target);
  if (!read.ok) throw new Error(`found ${read.error}, want a target with one clear reading`);
  const made = permitFor(read.value.line, { kind: "allow", reason: "test", rule: "", ruleSetId: "", policyId: "" }, "enforce");
  if (made === undefined) throw new Error("an allow must give a permit");
  return made;
}

function partsOf(target: string) {
  const parts = splitTarget(target);
  if (!parts.ok) throw new Error(parts.error);
  return parts.value;
}

function headOf(
  headers: readonly HeaderField[],
  target = "/metadata/instance?api-version=2021-02-01",
  framing: RequestHead["framing"] = { kind: "none" },
): RequestHead {
  return { method: "GET", target, minorVersion: 1, headers, framing, closeAfter: false, expectsContinue: false, host: "169.254.169.254" };
}

function sent(
  headers: readonly HeaderField[],
  options: { target?: string; key?: LatchedKey | undefined; framing?: RequestHead["framing"] } = {},
): string {
  const head = headOf(headers, options.target, options.framing);
  const result = endorse(permit(head), {
    head,
    body: { kind: "none" },
    isRoot: false,
    date: DATE,
    key: "key" in options ? options.key : K1,
  });
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return Buffer.from(result.value).toString("latin1");
}

describe("signature", () => {
  test.each(vectors.primitive.flatMap((v) => ("signatureHex" in v ? [[v.id, v] as const] : [])))("primitive %s", (_id, vector) => {
    const input = { before: vector.message, body: new Uint8Array(0), after: "" };
    expect(signature(keyOf(vector.keyHex), input)).toBe(vector.signatureHex ?? "");
  });

  test.each(vectors.requests.map((vector) => [vector.id, vector] as const))("request %s is signed bit for bit", (_id, vector) => {
    const fields = vector.headers.map(([name, value]) => [name ?? "", value ?? ""] as const);
    const input = signingInput(vector.method, partsOf(vector.target), fields, Buffer.from(vector.body, "utf8"));
    expect(Buffer.concat([Buffer.from(input.before), input.body, Buffer.from(input.after, "latin1")]).toString("base64")).toBe(
      vector.stringToSignBase64,
    );
    expect(signature(keyOf(vector.keyHex), input)).toBe(vector.signatureHex);
    expect(renderAuthorization({ ...keyOf(vector.keyHex), guid: vector.keyGuid }, input)).toBe(vector.authorizationHeader);
  });

  test("flipping any byte of the signed text changes the signature", () => {
    const [vector] = vectors.requests;
    if (vector === undefined) throw new Error("no vectors");
    const text = Buffer.from(vector.stringToSignBase64, "base64");
    const seen = new Set<string>();
    for (let i = 0; i < text.length; i++) {
      const flipped = Buffer.from(text);
      flipped[i] = (flipped[i] ?? 0) ^ 1;
      seen.add(signature(keyOf(vector.keyHex), { before: "", body: flipped, after: "" }));
    }
    expect(seen.size).toBe(text.length);
    expect(seen.has(vector.signatureHex)).toBe(false);
  });
});

describe("endorse", () => {
  test("T-01: what the client sends under our names is replaced, in any case and number", () => {
    const text = sent([
      ["Host", "169.254.169.254"],
      ["X-MS-Azure-Host-Authorization", "Azure-HMAC-SHA256 forged forged"],
      ["x-ms-azure-host-claims", '{ "isRoot": "true"}'],
      ["X-Ms-Azure-Host-Claims", '{ "isRoot": "true"}'],
      ["x-ms-azure-host-date", "yesterday"],
    ]);
    expect(text).not.toContain("forged");
    expect(text).not.toContain("yesterday");
    expect(text.match(/isRoot/g)).toHaveLength(1);
    expect(text).toContain(`x-ms-azure-host-claims: ${renderClaims(false)}\r\n`);
  });

  test("T-59: method and target that leave are those of the permit, whatever else is at hand", () => {
    const judged = headOf([["Host", "h"]], "/judged?a=1");
    const other: RequestHead = { ...judged, method: "POST", target: "/other?b=2" };
    const made = endorse(permit(judged), { head: other, body: { kind: "none" }, isRoot: false, date: DATE, key: K1 });
    const [line, ...rest] = made.ok ? Buffer.from(made.value).toString("latin1").trimEnd().split("\r\n") : [];
    expect(line).toBe("GET /judged?a=1 HTTP/1.1");
    const fields = rest.map((text) => [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 2)] as const);
    const wanted = renderAuthorization(K1, signingInput("GET", { path: "/judged", query: "a=1" }, fields, new Uint8Array(0)));
    expect(fields.find(([name]) => name === "x-ms-azure-host-authorization")?.[1]).toBe(wanted);
  });

  // The signature once had a splitter of its own; these are the texts it made.
  test.each([
    ["/a/b?c=d&e", "/a/b", "c=d&e"],
    ["/a?b?c", "/a", "b?c"],
    ["/a//b/..;x=1/%2e", "/a//b/..;x=1/%2e", ""],
    ["/a://b/c?d", "/a://b/c", "d"],
    ["?a=b", "/", "a=b"],
    ["*", "*", ""],
    ["http://169.254.169.254", "/", ""],
    ["HTTP://169.254.169.254:80?a=b", "/", "a=b"],
    ["http://169.254.169.254/?a=b", "/", "a=b"],
    ["http://0xa9fea9fe//x?a=b#c", "//x", "a=b"],
  ])("%s is signed as path %s and query %s", (target, path, query) => {
    expect(partsOf(target)).toMatchObject({ path, query });
  });

  test("without a key nothing under the authorization name leaves, even when the client sent one", () => {
    const text = sent(
      [
        ["Host", "h"],
        ["x-ms-azure-host-authorization", "forged"],
      ],
      { key: undefined },
    );
    expect(text.toLowerCase()).not.toContain("x-ms-azure-host-authorization");
  });

  test("the client's fields keep case, order and bytes; hop-by-hop fields are dropped", () => {
    const text = sent([
      ["HOST", "169.254.169.254"],
      ["Connection", "close, X-Forwarded-For"],
      ["mEtAdAtA", "True"],
      ["X-Forwarded-For", "1.2.3.4"],
      ["Upgrade", "h2c"],
      ["A", "a b\tc"],
    ]);
    expect(text.split("\r\n").slice(0, 5)).toEqual([
      "GET /metadata/instance?api-version=2021-02-01 HTTP/1.1",
      "HOST: 169.254.169.254",
      "mEtAdAtA: True",
      "X-Forwarded-For: 1.2.3.4",
      "A: a b\tc",
    ]);
    expect(text).not.toContain("Upgrade");
  });

  test("the signature covers exactly the fields that are sent", () => {
    const lines = sent([
      ["Host", "h"],
      ["Metadata", "true"],
    ])
      .trimEnd()
      .split("\r\n");
    const fields = lines.slice(1).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const);
    const given = fields.find(([name]) => name === "x-ms-azure-host-authorization")?.[1];
    expect(given).toBe(
      renderAuthorization(K1, signingInput("GET", partsOf("/metadata/instance?api-version=2021-02-01"), fields, new Uint8Array(0))),
    );
  });

  // A step that is quadratic in the length needs minutes for these; the runner's own time limit is what fails then.
  test.each([`a${" ".repeat(60_000)}b`, " ".repeat(60_000), `${"\t ".repeat(30_000)}b`, `b${" \t".repeat(30_000)}`])(
    "stays linear on a field of 60000 characters (%#)",
    (value) => {
      for (let n = 0; n < 50; n++) signingInput("GET", partsOf("/"), [["A", value]], new Uint8Array(0));
      expect(signingInput("GET", partsOf("/"), [["A", value]], new Uint8Array(0)).after).toBe(`\na:${value.trim()}\n/\n`);
    },
    10_000,
  );

  test("a buffered body states its length once, whatever the client stated", () => {
    const head = headOf(
      [
        ["Host", "h"],
        ["Transfer-Encoding", "chunked"],
      ],
      "/x",
      { kind: "chunked" },
    );
    const made = endorse(permit(head), {
      head,
      body: { kind: "buffered", bytes: Buffer.from("hello") },
      isRoot: true,
      date: DATE,
      key: K1,
    });
    const text = made.ok ? Buffer.from(made.value).toString("latin1") : "";
    expect(text.match(/content-length: 5/gi)).toHaveLength(1);
    expect(text).not.toMatch(/transfer-encoding/i);
  });

  test.each([
    [
      [
        ["Host", "h"],
        ["A", "1"],
        ["a", "2"],
      ],
      "/x",
      "repeated-header",
    ],
    [
      [
        ["Host", "h"],
        ["Metadata", "true"],
        ["METADATA", "false"],
      ],
      "/x",
      "repeated-header",
    ],
    [[["Host", "h"]], "/x?a=bc&ab=c", "colliding-parameters"],
    [[["Host", "h"]], "http://169.254.169.254?a=bc&ab=c", "colliding-parameters"],
    [[["Host", "h"]], "/x?abc&ab=c", "colliding-parameters"],
  ] as const)("T-59: refuses %j %s: part of it would leave unsigned", (headers, target, kind) => {
    const head = headOf(headers, target);
    const made = endorse(permit(head), { head, body: { kind: "none" }, isRoot: false, date: DATE, key: K1 });
    expect(made.ok ? "endorsed" : made.error.kind).toBe(kind);
  });

  test.each([
    [
      [
        ["Host", "h"],
        ["A", "1"],
        ["a", "1"],
      ],
      "/x",
    ],
    [[["Host", "h"]], "/x?a=1&a=1&A=1"],
    [[["Host", "h"]], "/x?a=1&a=2"],
  ] as const)("identical repetitions and repeated names with their own values are covered: %j %s", (headers, target) => {
    expect(findAmbiguity(headers, partsOf(target).query)).toBeUndefined();
  });
});
