// The agent's own calls on the secure channel: status, acquire a key, attest it. Each is one fresh connection, bounded in
// time and size. Error texts never quote what the host answered: an answer to "acquire" holds the key.

import {
  AUTHORIZATION_HEADER,
  AUTHORIZATION_SCHEME,
  CLAIMS_HEADER,
  DATE_HEADER,
  renderAuthorization,
  renderClaims,
  renderHead,
  signingInput,
} from "../../core/endorsement.ts";
import { ENDPOINT_FACTS } from "../../core/endpoint.ts";
import { parseHttpDate } from "../../core/host-clock.ts";
import { type HeaderField, headerValue } from "../../core/http-message.ts";
import { type KeyStatus, MAX_STATUS_BYTES, parseKeyStatus, renderStatusError } from "../../core/key-status.ts";
import type { HostReply, SendToHost } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type LatchedKey, parseKey, renderKeyError } from "../../core/secure-channel.ts";

/** What went wrong, ready for people. */
export interface KeyApiError {
  readonly message: string;
}

export interface KeyApi {
  /** `GET /secure-channel/status`. The second value is the host's time when it told one. */
  readStatus(): Promise<Result<{ readonly status: KeyStatus; readonly hostDateMs: number | undefined }, KeyApiError>>;
  /** `POST /secure-channel/key`. The key is not usable before it was attested. */
  acquireKey(): Promise<Result<LatchedKey, KeyApiError>>;
  /** `POST /secure-channel/key/{guid}/key-attestation`, signed with the key itself. */
  attestKey(key: LatchedKey): Promise<Result<void, KeyApiError>>;
}

const HOST = ENDPOINT_FACTS.wireserver;
const CALL_DEADLINE_MS = 10_000;
const MAX_KEY_BYTES = 64 * 1024;
const EMPTY = new Uint8Array(0);
const ACQUIRE_BODY = Buffer.from(`{"authorizationScheme": "${AUTHORIZATION_SCHEME}"}`, "utf8");

/** @param hostDate - now on the host's clock as an RFC 1123 date */
export function makeKeyApi(send: SendToHost, hostDate: () => string): KeyApi {
  const call = async (what: string, method: string, target: string, own: readonly HeaderField[], options: CallOptions) => {
    const { body = EMPTY, key, maxResponseBytes = MAX_KEY_BYTES } = options;
    const fields: HeaderField[] = [
      [DATE_HEADER, hostDate()],
      ["host", HOST.address],
      [CLAIMS_HEADER, renderClaims(true)],
      ["content-length", String(body.length)],
      ...own,
    ];
    if (key !== undefined) fields.push([AUTHORIZATION_HEADER, renderAuthorization(key, signingInput(method, target, fields, body))]);
    const head = renderHead(method, target, fields);
    const reply = await send({ peer: HOST, method, head, body, deadlineMs: CALL_DEADLINE_MS, maxResponseBytes });
    if (reply.ok) return reply;
    return err({ message: `cannot ${what}: host ${HOST.address}:${HOST.port} ${reply.error.kind}: ${reply.error.detail}` });
  };

  return {
    async readStatus() {
      const what = "read secure channel status";
      const reply = await call(what, "GET", "/secure-channel/status", [["Metadata", "True"]], { maxResponseBytes: MAX_STATUS_BYTES });
      if (!reply.ok) return reply;
      const { status: code } = reply.value.head;
      if (code < 200 || code > 299) return err({ message: `cannot ${what}: found answer ${code}, want 2xx` });
      const text = decodeText(reply.value);
      if (text === undefined) return err({ message: `cannot ${what}: found bytes that are not UTF-8, want JSON in UTF-8` });
      const status = parseKeyStatus(text);
      if (!status.ok) return err({ message: renderStatusError(status.error) });
      return ok({ status: status.value, hostDateMs: hostDateOf(reply.value) });
    },

    async acquireKey() {
      const own: readonly HeaderField[] = [
        ["Metadata", "True"],
        ["Content-Type", "application/json"],
      ];
      const reply = await call("acquire key", "POST", "/secure-channel/key", own, { body: ACQUIRE_BODY });
      if (!reply.ok) return reply;
      if (reply.value.head.status !== 200) return err({ message: `cannot acquire key: found answer ${reply.value.head.status}, want 200` });
      const key = parseKey(decodeText(reply.value) ?? "");
      return key.ok ? key : err({ message: `cannot acquire key: ${renderKeyError(key.error)}` });
    },

    async attestKey(key) {
      const target = `/secure-channel/key/${key.guid}/key-attestation`;
      const reply = await call(`attest key ${key.guid}`, "POST", target, [["Metadata", "True"]], { key });
      if (!reply.ok) return reply;
      if (reply.value.head.status === 200) return ok(undefined);
      return err({ message: `cannot attest key ${key.guid}: found answer ${reply.value.head.status}, want 200` });
    },
  };
}

interface CallOptions {
  readonly body?: Uint8Array;
  readonly key?: LatchedKey;
  readonly maxResponseBytes?: number;
}

function decodeText(reply: HostReply): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(reply.body);
  } catch {
    return undefined;
  }
}

/** The host's own date header wins; the ordinary Date header stands in when the first is missing or unreadable. */
function hostDateOf(reply: HostReply): number | undefined {
  const { headers } = reply.head;
  return parseHttpDate(headerValue(headers, DATE_HEADER)) ?? parseHttpDate(headerValue(headers, "date"));
}
