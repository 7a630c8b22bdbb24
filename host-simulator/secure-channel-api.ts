// The secure-channel calls of WireServer: status, acquire, attest. Shapes the answers; the key state is SecureChannel's.
// The key is in the answer to acquire and nowhere else.

import { randomBytes } from "node:crypto";
import { type HostRequest, hasMetadataHeader } from "./host-request.ts";
import { emptyReply, jsonReply, methodNotAllowed, type Reply } from "./reply.ts";
import type { SecureChannel } from "./secure-channel.ts";
import { channelStateWord, type HostSettings, isChannelEnabled, renderRules } from "./settings.ts";
import { AUTHORIZATION_SCHEME, DATE_HEADER, readAuthorization } from "./signature-check.ts";

const ATTEST_PATH = /^\/secure-channel\/key\/([^/]+)\/key-attestation$/;

/** The guid in an attestation target, or undefined when the target is another one. */
export function attestedGuidOf(path: string): string | undefined {
  if (!path.startsWith("/secure-channel/key/")) return undefined;
  return ATTEST_PATH.exec(path)?.[1];
}

/** These calls are answered in every mode without a signature (attest brings its own). */
export function isSecureChannelPath(path: string): boolean {
  return path.startsWith("/secure-channel/");
}

export interface ChannelCall {
  readonly settings: HostSettings;
  readonly channel: SecureChannel;
  /** Host clock, milliseconds since 1970. */
  readonly nowMs: number;
  readonly wrongKey: boolean;
  readonly refuseAttest: boolean;
}

export function answerSecureChannel(request: HostRequest, call: ChannelCall): Reply {
  if (!hasMetadataHeader(request)) return channelError(400, "required metadata header not specified");
  if (request.path === "/secure-channel/status") {
    return request.method === "GET" ? answerStatus(call) : methodNotAllowed("GET");
  }
  if (request.path === "/secure-channel/key") {
    return request.method === "POST" ? answerAcquire(request, call) : methodNotAllowed("POST");
  }
  const guid = attestedGuidOf(request.path);
  if (guid === undefined) return channelError(404, "no such secure channel call");
  return request.method === "POST" ? answerAttest(request, call, guid) : methodNotAllowed("POST");
}

function answerStatus({ settings, channel, nowMs }: ChannelCall): Reply {
  const common = {
    authorizationScheme: AUTHORIZATION_SCHEME,
    keyDeliveryMethod: "http",
    keyGuid: channel.latchedGuid,
    keyIncarnationId: channel.incarnationId,
    requiredClaimsHeaderPairs: ["isRoot"],
    version: settings.channelVersion,
  };
  const state = channelStateWord(settings);
  const status =
    settings.channelVersion === "1.0"
      ? { ...common, secureChannelState: state.ok ? state.value : "Disabled" }
      : { ...common, secureChannelEnabled: isChannelEnabled(settings), authorizationRules: renderRules(settings) };
  return jsonReply(200, { ...status, ...settings.statusOverride }, `${DATE_HEADER}: ${new Date(nowMs).toUTCString()}\r\n`);
}

function answerAcquire(request: HostRequest, { settings, channel, nowMs, wrongKey }: ChannelCall): Reply {
  const scheme = schemeIn(request.body);
  if (scheme !== AUTHORIZATION_SCHEME)
    return channelError(400, `body must be JSON that names authorizationScheme "${AUTHORIZATION_SCHEME}"`);
  if (channel.latchedGuid !== null && settings.acquireWhileLatched === "refuse") {
    return channelError(403, "a key is latched; raise the key incarnation to acquire another");
  }
  const key = channel.issue(nowMs);
  return jsonReply(200, {
    authorizationScheme: AUTHORIZATION_SCHEME,
    guid: key.guid,
    incarnationId: key.incarnationId,
    issued: key.issued,
    key: Buffer.from(wrongKey ? randomBytes(32) : key.bytes)
      .toString("hex")
      .toUpperCase(),
  });
}

function schemeIn(body: Buffer | undefined): unknown {
  try {
    const value: unknown = JSON.parse(body?.toString("utf8") ?? "");
    return typeof value === "object" && value !== null && "authorizationScheme" in value ? value.authorizationScheme : undefined;
  } catch {
    return undefined;
  }
}

function answerAttest(request: HostRequest, { channel, refuseAttest }: ChannelCall, guid: string): Reply {
  if (refuseAttest) return channelError(403, "attestation refused on demand");
  const authorization = readAuthorization(request.head);
  const signedWithThatKey = request.verdict.kind === "valid" && authorization.kind === "present" && authorization.keyGuid === guid;
  if (!signedWithThatKey) return channelError(401, "attestation is not signed with the key it attests");
  return channel.latch(guid) ? emptyReply(200) : channelError(404, "no such key");
}

function channelError(status: number, error: string): Reply {
  return jsonReply(status, { error });
}
