// The agent's own calls on the secure channel: status, acquire a key, attest it. Each uses a new connection, bounded in
// time and size. Error texts never quote the host's answer: an answer to "acquire" holds the key.

import { AUTHORIZATION_SCHEME } from "../../core/channel/endorsement.ts";
import { DATE_HEADER } from "../../core/channel/header-names.ts";
import { parseHttpDate } from "../../core/channel/host-clock.ts";
import { type KeyStatus, MAX_STATUS_BYTES, parseKeyStatus, renderStatusError } from "../../core/channel/key-status.ts";
import { type LatchedKey, parseKey, renderKeyError } from "../../core/channel/secure-channel.ts";
import type { HostReply, SendToHost } from "../../core/ports.ts";
import { type HeaderField, headerValue } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type AgentCallError, decodeReply, makeCallHost } from "./agent-call.ts";

export interface KeyApi {
  /** `GET /secure-channel/status`. The second value is the host's time, when its answer had one. */
  readStatus(): Promise<Result<{ readonly status: KeyStatus; readonly hostDateMs: number | undefined }, AgentCallError>>;
  /** `POST /secure-channel/key`. The key is not usable before it was attested. */
  acquireKey(): Promise<Result<LatchedKey, AgentCallError>>;
  /** `POST /secure-channel/key/{guid}/key-attestation`, signed with the key itself. */
  attestKey(key: LatchedKey): Promise<Result<void, AgentCallError>>;
}

const METADATA: readonly HeaderField[] = [["Metadata", "True"]];
const ACQUIRE_BODY = Buffer.from(`{"authorizationScheme": "${AUTHORIZATION_SCHEME}"}`, "utf8");

/** @param hostDate - now on the host's clock as an RFC 1123 date */
export function makeKeyApi(send: SendToHost, hostDate: () => string): KeyApi {
  const call = makeCallHost(send, hostDate);

  return {
    async readStatus() {
      const what = "read secure channel status";
      const reply = await call({
        ...{ what, endpoint: "wireserver", method: "GET", target: "/secure-channel/status", own: METADATA },
        maxResponseBytes: MAX_STATUS_BYTES,
      });
      if (!reply.ok) return reply;
      const { status: code } = reply.value.head;
      if (code < 200 || code > 299) return err({ message: `cannot ${what}: found answer ${code}, want 2xx` });
      const text = decodeReply(reply.value);
      if (text === undefined) return err({ message: `cannot ${what}: found bytes that are not UTF-8, want JSON in UTF-8` });
      const status = parseKeyStatus(text);
      if (!status.ok) return err({ message: renderStatusError(status.error) });
      return ok({ status: status.value, hostDateMs: hostDateOf(reply.value) });
    },

    async acquireKey() {
      const own: readonly HeaderField[] = [...METADATA, ["Content-Type", "application/json"]];
      const target = "/secure-channel/key";
      const reply = await call({ what: "acquire key", endpoint: "wireserver", method: "POST", target, own, body: ACQUIRE_BODY });
      if (!reply.ok) return reply;
      if (reply.value.head.status !== 200) return err({ message: `cannot acquire key: found answer ${reply.value.head.status}, want 200` });
      const key = parseKey(decodeReply(reply.value) ?? "");
      return key.ok ? key : err({ message: `cannot acquire key: ${renderKeyError(key.error)}` });
    },

    async attestKey(key) {
      const target = `/secure-channel/key/${key.guid}/key-attestation`;
      const what = `attest key ${key.guid}`;
      const reply = await call({ what, endpoint: "wireserver", method: "POST", target, own: METADATA, key });
      if (!reply.ok) return reply;
      if (reply.value.head.status === 200) return ok(undefined);
      return err({ message: `cannot attest key ${key.guid}: found answer ${reply.value.head.status}, want 200` });
    },
  };
}

/** The host's own date header wins; the ordinary Date header stands in when the first is missing or unreadable. */
function hostDateOf(reply: HostReply): number | undefined {
  const { headers } = reply.head;
  return parseHttpDate(headerValue(headers, DATE_HEADER)) ?? parseHttpDate(headerValue(headers, "date"));
}
