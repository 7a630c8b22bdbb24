// One call of the agent itself to a host service: the headers common to all calls, the signature if there is a key, and bounds
// on time and size. Error texts never quote the host's answer.

import { renderAuthorization, renderClaims, renderHead, signingInput } from "../../core/channel/endorsement.ts";
import { AUTHORIZATION_HEADER, CLAIMS_HEADER, DATE_HEADER } from "../../core/channel/header-names.ts";
import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import type { HostReply, SendToHost } from "../../core/ports.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import { type HeaderField, headerValue } from "../../core/request/http-message.ts";
import { MISDIRECTED_MARK } from "../../core/request/replies.ts";
import { splitTarget } from "../../core/request/request-target.ts";
import { err, type Result } from "../../core/result.ts";

const CALL_DEADLINE_MS = 10_000;
const MAX_RESPONSE_BYTES = 64 * 1024;
const EMPTY = new Uint8Array(0);

export interface AgentCall {
  /** For error texts: "read goal state". */
  readonly what: string;
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly target: string;
  readonly own: readonly HeaderField[];
  readonly body?: Uint8Array;
  /** Undefined: it leaves unsigned. */
  readonly key?: LatchedKey | undefined;
  readonly maxResponseBytes?: number;
}

/** What went wrong, ready for people. */
export interface AgentCallError {
  readonly message: string;
}

export type CallHost = (call: AgentCall) => Promise<Result<HostReply, AgentCallError>>;

/** @param hostDate - now on the host's clock as an RFC 1123 date */
export function makeCallHost(send: SendToHost, hostDate: () => string): CallHost {
  return async ({ what, endpoint, method, target, own, body = EMPTY, key, maxResponseBytes = MAX_RESPONSE_BYTES }) => {
    const peer = ENDPOINT_FACTS[endpoint];
    const fields: HeaderField[] = [
      [DATE_HEADER, hostDate()],
      ["host", peer.address],
      [CLAIMS_HEADER, renderClaims(true)],
      ["content-length", String(body.length)],
      ...own,
    ];
    const parts = splitTarget(target);
    if (!parts.ok) return err({ message: `cannot ${what}: its target has no clear reading: ${parts.error}` });
    if (key !== undefined) fields.push([AUTHORIZATION_HEADER, renderAuthorization(key, signingInput(method, parts.value, fields, body))]);
    const head = renderHead(method, target, fields);
    const reply = await send({ peer, method, head, body, deadlineMs: CALL_DEADLINE_MS, maxResponseBytes });
    if (reply.ok && isOwnAnswer(reply.value)) return err({ message: `cannot ${what}: ${CAME_BACK}` });
    if (reply.ok) return reply;
    return err({ message: `cannot ${what}: host ${peer.address}:${peer.port} ${reply.error.kind}: ${reply.error.detail}` });
  };
}

/** The host never answers so: the call was redirected to our own listener, by programs that do not know this agent. */
function isOwnAnswer({ head }: HostReply): boolean {
  return head.status === 421 && headerValue(head.headers, MISDIRECTED_MARK[0].toLowerCase()) === MISDIRECTED_MARK[1];
}

const CAME_BACK =
  "the call came back to the agent's own listener: programs of an earlier agent redirect it; restart the agent, or stop it and run: azure-proxy-agent release";

/** Undefined when the body is not in the charset that the head names (UTF-8 when it names none). */
export function decodeReply(reply: HostReply): string | undefined {
  const type = reply.head.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  try {
    return new TextDecoder(/charset="?utf-16/i.test(type) ? "utf-16le" : "utf-8", { fatal: true }).decode(reply.body);
  } catch {
    return undefined;
  }
}
