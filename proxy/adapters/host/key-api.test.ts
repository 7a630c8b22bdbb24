import { describe, expect, test } from "bun:test";
import { Secret } from "../../core/channel/secret.ts";
import type { HostCall, HostReply, SendToHost } from "../../core/ports.ts";
import type { HeaderField } from "../../core/request/http-message.ts";
import { err, ok } from "../../core/result.ts";
import { makeKeyApi } from "./key-api.ts";

const DATE = "Wed, 23 Apr 2025 12:00:00 GMT";
const KEY_HEX = "4A404E635266556A586E3272357538782F413F4428472B4B6250645367566B59";
const GUID = "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf";
const KEY_JSON = JSON.stringify({
  authorizationScheme: "Azure-HMAC-SHA256",
  incarnationId: 1,
  guid: GUID,
  issued: "2025-01-01T00:00:00Z",
  key: KEY_HEX,
});
const STATUS_JSON = JSON.stringify({
  authorizationScheme: "Azure-HMAC-SHA256",
  keyDeliveryMethod: "http",
  secureChannelState: "WireServer",
  version: "1.0",
});

function setUp(status: number, body: string | Uint8Array, headers: readonly HeaderField[] = []) {
  const calls: HostCall[] = [];
  const reply: HostReply = {
    head: { status, reason: "", minorVersion: 1, headers, framing: { kind: "until-close" }, keepAlive: false },
    body: Buffer.from(body),
  };
  const send: SendToHost = async (call) => {
    calls.push(call);
    return ok(reply);
  };
  const api = makeKeyApi(send, () => DATE);
  return { api, sent: () => Buffer.concat(calls.flatMap(({ head, body: bytes }) => [head, bytes])).toString("latin1"), calls };
}

function message(result: { readonly ok: boolean; readonly error?: { readonly message: string } }): string {
  return result.ok ? "accepted" : (result.error?.message ?? "");
}

describe("key api", () => {
  test("asks for the status", async () => {
    const { api, sent, calls } = setUp(200, STATUS_JSON, [["x-ms-azure-host-date", DATE]]);
    const found = await api.readStatus();
    expect(found.ok && [found.value.status.stateText, found.value.hostDateMs]).toEqual(["wireserver", Date.UTC(2025, 3, 23, 12)]);
    expect(sent()).toBe(
      `GET /secure-channel/status HTTP/1.1\r\nx-ms-azure-host-date: ${DATE}\r\nhost: 168.63.129.16\r\nx-ms-azure-host-claims: { "isRoot": "true"}\r\ncontent-length: 0\r\nMetadata: True\r\n\r\n`,
    );
    expect(calls[0]).toMatchObject({ peer: { address: "168.63.129.16", port: 80 } });
  });

  test.each([
    [[["Date", DATE]], Date.UTC(2025, 3, 23, 12)],
    [
      [
        ["x-ms-azure-host-date", "soon"],
        ["Date", DATE],
      ],
      Date.UTC(2025, 3, 23, 12),
    ],
    [[["Date", "soon"]], undefined],
    [[], undefined],
  ] as const)("reads the host's time from %j", async (headers, expected) => {
    const found = await setUp(200, STATUS_JSON, headers).api.readStatus();
    expect(found.ok && found.value.hostDateMs).toBe(expected as never);
  });

  test("acquires with exactly the body the host expects", async () => {
    const { api, sent } = setUp(200, KEY_JSON);
    const key = await api.acquireKey();
    expect(key.ok && [key.value.guid, Buffer.from(key.value.secret.reveal()).toString("hex").toUpperCase()]).toEqual([GUID, KEY_HEX]);
    expect(sent()).toEndWith(
      'content-length: 44\r\nMetadata: True\r\nContent-Type: application/json\r\n\r\n{"authorizationScheme": "Azure-HMAC-SHA256"}',
    );
  });

  test("attests signed with the key itself, as vector S04 says", async () => {
    const { api, sent } = setUp(200, "");
    const attested = await api.attestKey({ guid: GUID, incarnationId: 1, issued: "", secret: new Secret(Buffer.from(KEY_HEX, "hex")) });
    expect(attested.ok).toBe(true);
    expect(sent()).toStartWith(`POST /secure-channel/key/${GUID}/key-attestation HTTP/1.1\r\n`);
    expect(sent()).toContain(`Azure-HMAC-SHA256 ${GUID} 71a091e6c9e21a0e3972a3b5a481c4d7a578f4d4f28c810636f7e43387bfb8e0\r\n`);
  });

  test.each([
    [500, STATUS_JSON],
    [404, STATUS_JSON],
    [200, "<xml/>"],
    [200, ""],
    [200, new Uint8Array([0xff, 0xfe])],
  ])("a status answered %p %p is an error", async (status, body) => {
    expect(message(await setUp(status, body).api.readStatus())).toStartWith("cannot read secure channel status");
  });

  test.each([
    [201, KEY_JSON],
    [403, KEY_JSON],
    [200, KEY_JSON.replace(GUID, "../../x")],
    [200, KEY_JSON.replace(KEY_HEX, "secret-but-not-hex")],
    [200, KEY_JSON.replace(KEY_HEX, KEY_HEX.slice(2))],
    [200, KEY_JSON.replace("Azure-HMAC-SHA256", "Other")],
    [200, KEY_JSON.slice(5)],
  ])("T-11: a key answered %p is refused and never quoted", async (status, body) => {
    const text = message(await setUp(status, body).api.acquireKey());
    expect(text).toStartWith("cannot acquire key: ");
    expect(text).not.toContain(KEY_HEX.slice(2, 20));
    expect(text).not.toContain("secret-but");
  });

  test("a host that cannot be reached is told in words", async () => {
    const api = makeKeyApi(
      async () => err({ kind: "unreachable", detail: "connection refused" }),
      () => DATE,
    );
    expect(message(await api.readStatus())).toBe(
      "cannot read secure channel status: host 168.63.129.16:80 unreachable: connection refused",
    );
  });

  test("T-191: recognises its own listener's answer, and says what redirects the call", async () => {
    const { api } = setUp(421, "{}", [["Server", "azure-proxy-agent"]]);
    expect(message(await api.readStatus())).toContain("came back to the agent's own listener");
    const host = setUp(421, "{}", []);
    expect(message(await host.api.readStatus())).toBe("cannot read secure channel status: found answer 421, want 2xx");
  });
});
