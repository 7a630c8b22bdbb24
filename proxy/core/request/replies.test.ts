import { describe, expect, test } from "bun:test";
import { refusal, unavailable } from "./replies.ts";

function bodyOf({ body }: { readonly body: Uint8Array }): Readonly<Record<string, string>> {
  return JSON.parse(Buffer.from(body).toString("utf8")) as Record<string, string>;
}

describe("T-196: an answer of ours", () => {
  test("has what credential libraries print and what they look up", () => {
    const body = bodyOf(refusal(403, "run-7", { error: "forbidden", reason: "not-granted" }));
    expect(Object.keys(body)).toEqual(["error", "error_description", "correlation_id", "requestId"]);
    expect([body.error, body.correlation_id, body.requestId]).toEqual(["forbidden", "run-7", "run-7"]);
    for (const part of ["azure-proxy-agent", "not-granted", "run-7", "journalctl", "azure-proxy-agent report"])
      expect(body.error_description).toContain(part);
  });

  test.each(["not-root", "not-granted", "no-usable-rules", "policy-failed", "module-denied", "default-access"])(
    "with 403 for %p never says unreachable",
    (reason) => expect(Buffer.from(refusal(403, "id", { error: "forbidden", reason }).body).toString()).not.toMatch(/unreachable/i),
  );

  test("with 503 says that it is for now, and when to come back", () => {
    const reply = unavailable("run-8", { error: "no key latched yet", reason: "no-key" }, 2);
    expect([reply.status, reply.headers.at(-1), reply.close]).toEqual([503, ["Retry-After", "2"], true]);
    expect(bodyOf(reply).error_description).toStartWith("azure-proxy-agent on this machine cannot serve this request now (reason no-key");
  });

  test("is one line of JSON, whatever the texts are", () => {
    const body = Buffer.from(refusal(400, 'a"b', { error: "x\ny", reason: "z\r\n" }).body).toString();
    expect(body.match(/\n/g)).toHaveLength(1);
    expect(JSON.parse(body)).toMatchObject({ requestId: 'a"b' });
  });
});
