// One endpoint's whole handling of a request: takes it in, checks the signature, applies mode and faults, picks the service,
// records what happened. Every request ends in exactly one record, answered or not.

import type { Outgoing, RequestIntake, RequestSource } from "./connection.ts";
import type { FaultAction, FaultPlan } from "./faults.ts";
import { answerHostGaPlugin } from "./host-ga-plugin.ts";
import type { HostEndpoint, SignatureVerdict } from "./host-model.ts";
import { type HostRequest, hostRequestOf, MAX_KEPT_BODY_BYTES } from "./host-request.ts";
import { answerImds, imdsUnauthorized } from "./imds.ts";
import { emptyReply, jsonReply, type Reply, textReply } from "./reply.ts";
import { headerOf, type ReceivedHead } from "./request-head.ts";
import { EMPTY_SHA256, type RequestLog } from "./request-log.ts";
import type { SecureChannel } from "./secure-channel.ts";
import { answerSecureChannel, attestedGuidOf, isSecureChannelPath } from "./secure-channel-api.ts";
import { type HostSettings, modeOf } from "./settings.ts";
import {
  CLAIMS_HEADER,
  DATE_HEADER,
  dateProblem,
  isSignableTarget,
  RunningSignature,
  readAuthorization,
  splitTarget,
} from "./signature-check.ts";
import { readTelemetryDocument, type TelemetryDocument } from "./telemetry-check.ts";
import { answerWireServer, wireServerUnauthorized } from "./wireserver.ts";

/** What all endpoints of one simulated host share. `settings` is read afresh for every request. */
export interface HostState {
  readonly channel: SecureChannel;
  readonly faults: FaultPlan;
  readonly log: RequestLog;
  settings(): HostSettings;
  /** Where goal state URLs point. */
  wireServerUrl(): string;
  /** Takes what was posted as telemetry. */
  addTelemetry(document: TelemetryDocument): void;
}

const UNSIGNED: SignatureVerdict = { kind: "unsigned" };
const VALID: SignatureVerdict = { kind: "valid" };
const MAX_BODY_BYTES = 256 * 1024 * 1024;

export class HostSource implements RequestSource {
  readonly #endpoint: HostEndpoint;
  readonly #state: HostState;
  #dateSecond = Number.NaN;
  #date = "";

  constructor(endpoint: HostEndpoint, state: HostState) {
    this.#endpoint = endpoint;
    this.#state = state;
  }

  begin(head: ReceivedHead, clientPort: number): RequestIntake {
    return new Intake(this.#endpoint, this.#state, head, clientPort);
  }

  malformed(text: string, status: number, detail: string, clientPort: number): Reply {
    const request = { endpoint: this.#endpoint, clientPort, method: "", target: "", head: text, bodyBytes: 0, bodySha256: EMPTY_SHA256 };
    this.#state.log.add({ ...request, signature: UNSIGNED, claims: null, status, faults: NO_FAULTS, problem: detail }, Date.now());
    return emptyReply(status);
  }

  date(): string {
    const nowMs = hostNowMs(this.#state.settings());
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(nowMs).toUTCString();
    }
    return this.#date;
  }
}

/** The host's clock, milliseconds since 1970. */
export function hostNowMs(settings: HostSettings): number {
  return Date.now() + settings.clockOffsetSeconds * 1000;
}

class Intake implements RequestIntake {
  readonly early: Outgoing | undefined;
  readonly #endpoint: HostEndpoint;
  readonly #state: HostState;
  readonly #head: ReceivedHead;
  readonly #clientPort: number;
  readonly #path: string;
  readonly #actions: readonly FaultAction[];
  readonly #check: SignatureVerdict | { readonly running: RunningSignature; readonly signature: Uint8Array };
  #bodyBytes = 0;
  #digest: Bun.CryptoHasher | undefined;
  #kept: Buffer[] | undefined = [];

  constructor(endpoint: HostEndpoint, state: HostState, head: ReceivedHead, clientPort: number) {
    this.#endpoint = endpoint;
    this.#state = state;
    this.#head = head;
    this.#clientPort = clientPort;
    this.#path = splitTarget(head.target).path;
    this.#actions = state.faults.takeForRequest(endpoint, head.method, head.target);
    this.#check = beginCheck(head, this.#path, state.channel);
    this.early = this.#earlyAnswer();
  }

  addBody(piece: Buffer): void {
    this.#bodyBytes += piece.length;
    this.#digest ??= new Bun.CryptoHasher("sha256");
    this.#digest.update(piece);
    if ("running" in this.#check) this.#check.running.addBody(piece);
    if (this.#bodyBytes > MAX_KEPT_BODY_BYTES) this.#kept = undefined;
    else this.#kept?.push(piece);
  }

  finish(): Outgoing {
    const verdict = this.#verdict();
    const reply = this.#reply(verdict);
    return this.#record(verdict, reply, null);
  }

  abandon(problem: string, status: number): void {
    this.#record(UNSIGNED, emptyReply(status), problem);
  }

  #earlyAnswer(): Outgoing | undefined {
    const framing = this.#head.framing;
    const tooLong = framing.kind === "length" && framing.lengthBytes > MAX_BODY_BYTES;
    const planned = this.#actions.find((action) => action.kind === "early-status");
    const status = planned?.kind === "early-status" ? planned.status : tooLong ? 413 : undefined;
    if (status === undefined) return undefined;
    return this.#record(UNSIGNED, emptyReply(status), "answered before the body was read");
  }

  #verdict(): SignatureVerdict {
    if (!("running" in this.#check)) return this.#check;
    if (!this.#check.running.matches(this.#check.signature)) return { kind: "invalid", reason: "signature-mismatch" };
    const settings = this.#state.settings();
    const reason = dateProblem(headerOf(this.#head, DATE_HEADER), hostNowMs(settings), settings.dateToleranceSeconds);
    return reason === undefined ? VALID : { kind: "invalid", reason };
  }

  #reply(verdict: SignatureVerdict): Reply {
    const kept = this.#kept;
    const body = kept === undefined ? undefined : kept.length === 1 ? kept[0] : Buffer.concat(kept);
    const request = hostRequestOf(this.#endpoint, this.#head, body, this.#bodyBytes, verdict);
    let reply = this.#statusOnDemand() ?? this.#serve(request);
    for (const action of this.#actions) {
      if (action.kind === "malformed-body") reply = { ...reply, body: halfOf(reply.body) };
      if (action.kind === "oversized-body") reply = { ...reply, body: paddedTo(reply.body, action.bodyBytes) };
    }
    return reply;
  }

  #statusOnDemand(): Reply | undefined {
    for (const action of this.#actions) {
      if (action.kind !== "status") continue;
      const retryAfter = action.retryAfterSeconds === undefined ? "" : `Retry-After: ${action.retryAfterSeconds}\r\n`;
      if (action.body !== undefined) return textReply(action.status, "text/plain; charset=utf-8", action.body, retryAfter);
      return jsonReply(action.status, { error: "simulated fault" }, retryAfter);
    }
    return undefined;
  }

  #serve(request: HostRequest): Reply {
    const settings = this.#state.settings();
    const isChannelCall = this.#endpoint === "wireserver" && isSecureChannelPath(request.path);
    const mustBeSigned = modeOf(settings, this.#endpoint) === "enforce" && !isChannelCall && !isExemptUpload(request);
    if (mustBeSigned && request.verdict.kind !== "valid") {
      return this.#endpoint === "imds" ? imdsUnauthorized() : wireServerUnauthorized();
    }
    const nowMs = hostNowMs(settings);
    if (isChannelCall) {
      const has = (kind: FaultAction["kind"]): boolean => this.#actions.some((action) => action.kind === kind);
      const { channel } = this.#state;
      return answerSecureChannel(request, { settings, channel, nowMs, wrongKey: has("wrong-key"), refuseAttest: has("refuse-attest") });
    }
    if (this.#endpoint === "imds") return answerImds(request, nowMs);
    if (isTelemetry(request)) this.#state.addTelemetry(readTelemetryDocument(request.body, request.bodyBytes));
    if (this.#endpoint === "hostga") return answerHostGaPlugin(request, settings.extensionArtifactBytes);
    return answerWireServer(request, this.#state.wireServerUrl());
  }

  #record(signature: SignatureVerdict, reply: Reply, problem: string | null): Outgoing {
    const head = this.#head;
    const answered = !this.#actions.some((action) => action.kind === "hang" || action.kind === "raw-answer");
    this.#state.log.add(
      {
        endpoint: this.#endpoint,
        clientPort: this.#clientPort,
        method: head.method,
        target: head.target,
        head: head.text,
        bodyBytes: this.#bodyBytes,
        bodySha256: this.#digest === undefined ? EMPTY_SHA256 : this.#digest.digest("hex"),
        signature,
        claims: headerOf(head, CLAIMS_HEADER) ?? null,
        status: answered ? reply.status : 0,
        faults: this.#actions.length === 0 ? NO_FAULTS : this.#actions.map((action) => action.kind),
        problem,
      },
      Date.now(),
    );
    return { reply, actions: this.#actions };
  }
}

const NO_FAULTS: readonly string[] = [];

function isTelemetry({ endpoint, method, head }: HostRequest): boolean {
  return endpoint === "wireserver" && method === "POST" && head.target.toLowerCase() === "/machine/?comp=telemetrydata";
}

/** Uploads that hosts take without a signature, by exact target (ASCII case ignored). */
function isExemptUpload(request: HostRequest): boolean {
  if (request.method !== "PUT" && request.method !== "POST") return false;
  const target = request.head.target.toLowerCase();
  if (request.endpoint === "hostga") return request.method === "PUT" && target === "/vmagentlog";
  return isTelemetry(request);
}

function beginCheck(
  head: ReceivedHead,
  path: string,
  channel: SecureChannel,
): SignatureVerdict | { readonly running: RunningSignature; readonly signature: Uint8Array } {
  const authorization = readAuthorization(head);
  if (authorization.kind === "absent") return UNSIGNED;
  if (authorization.kind === "unusable") return { kind: "invalid", reason: authorization.reason };
  const found = channel.find(authorization.keyGuid);
  if (found.kind === "unknown") return { kind: "invalid", reason: "key-unknown" };
  if (found.kind === "superseded") return { kind: "invalid", reason: "key-superseded" };
  // A key that waits to be attested signs its own attestation and nothing else.
  if (found.kind === "pending" && attestedGuidOf(path) !== authorization.keyGuid) return { kind: "invalid", reason: "key-not-attested" };
  if (!isSignableTarget(head.target)) return { kind: "invalid", reason: "target-not-ascii" };
  return { running: new RunningSignature(found.key.bytes, head), signature: authorization.signature };
}

function halfOf(body: Reply["body"]): Reply["body"] {
  return body instanceof Uint8Array ? body.subarray(0, body.length >> 1) : { ...body, totalBytes: body.totalBytes >> 1 };
}

function paddedTo(body: Reply["body"], bodyBytes: number): Reply["body"] {
  if (!(body instanceof Uint8Array) || body.length >= bodyBytes) return body;
  const padded = Buffer.alloc(bodyBytes, 0x20);
  padded.set(body);
  return padded;
}
