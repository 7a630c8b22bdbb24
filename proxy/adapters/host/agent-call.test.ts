import { describe, expect, test } from "bun:test";
import { Secret } from "../../core/channel/secret.ts";
import type { HostCall } from "../../core/ports.ts";
import { ok } from "../../core/result.ts";
import { makeCallHost } from "./agent-call.ts";

const KEY = { guid: "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf", incarnationId: 1, issued: "", secret: new Secret(Buffer.alloc(32, 1)) };

function makeCaller() {
  const sent: HostCall[] = [];
  const call = makeCallHost(
    async (made) => {
      sent.push(made);
      const head = { status: 200, reason: "OK", minorVersion: 1, headers: [], framing: { kind: "none" }, keepAlive: false } as const;
      return ok({ head, body: new Uint8Array(0) });
    },
    () => "Wed, 23 Apr 2025 12:00:00 GMT",
  );
  return { sent, call };
}

describe("makeCallHost", () => {
  test("sends the target as it is, signed", async () => {
    const { sent, call } = makeCaller();
    const target = "/machine/a%2Db?comp=config&type=x";
    expect((await call({ what: "ask", endpoint: "wireserver", method: "GET", target, own: [], key: KEY })).ok).toBe(true);
    const lines = Buffer.from(sent[0]?.head ?? [])
      .toString("latin1")
      .split("\r\n");
    expect(lines[0]).toBe(`GET ${target} HTTP/1.1`);
    expect(lines.filter((line) => line.startsWith("x-ms-azure-host-authorization: Azure-HMAC-SHA256 "))).toHaveLength(1);
  });

  test.each(["ftp://168.63.129.16/x", "http://a@168.63.129.16/x"])("sends nothing for %s, which has no clear reading", async (target) => {
    const { sent, call } = makeCaller();
    const answer = await call({ what: "read goal state", endpoint: "wireserver", method: "GET", target, own: [], key: KEY });
    expect(answer.ok ? "" : answer.error.message).toStartWith("cannot read goal state: its target has no clear reading: CANON_");
    expect(sent).toEqual([]);
  });
});
