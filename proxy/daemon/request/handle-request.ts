// One proxied request, top to bottom: identify the caller, parse the request, authorize it, endorse it, forward it, log how it ended.
// Each step needs the value of the step before, so none can be skipped. Nothing here touches the system but through a port.

import { endorse, type OutboundBody } from "../../core/channel/endorsement.ts";
import { AUTHORIZATION_HEADER } from "../../core/channel/header-names.ts";
import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import type { ModuleOutcome } from "../../core/modules/module-entry.ts";
import { type ChainResult, judgeModules } from "../../core/modules/policy-chain.ts";
import type { BodyFailure, Exchange, OutboundRequest } from "../../core/ports.ts";
import { judgeBuiltIn } from "../../core/request/built-in.ts";
import type { Caller } from "../../core/request/caller.ts";
import { type CanonicalErrorCode, type CanonicalRequest, METHODS, readRequest } from "../../core/request/canonical-request.ts";
import { ENDPOINT_FACTS, MAX_STREAMED_BODY_BYTES } from "../../core/request/endpoint.ts";
import { type Cause, type LocalReply, MISDIRECTED_MARK, refusal, unavailable } from "../../core/request/replies.ts";
import { type Permit, permitFor, type Verdict } from "../../core/request/verdict.ts";
import { unreachable } from "../../core/result.ts";
import type { TrailDecision } from "../../core/trail/trail-record.ts";
import type { EndpointGuard } from "../policy/guards.ts";
import type { Snapshot } from "../policy/key-keeper.ts";

/** What became known about the far end of a connection. */
export type CallerLookup =
  | {
      readonly kind: "identified";
      readonly caller: Caller;
      /** From accept until the caller was known; only for the first request of a connection. */
      readonly identifyMs?: number | undefined;
    }
  /** The connection did not come through the redirect: its destination is unknown. */
  | { readonly kind: "not-redirected" }
  /** It did, but its record could not be kept or read. */
  | { readonly kind: "record-lost" };

/** How a request ended, for its one log line, the summaries, the counters and the decision trail. */
export interface RequestEnd extends TrailDecision {
  /** The reason in words; empty when the word says it all. */
  readonly detail: string;
  readonly elapsedMs: number;
  /** Undefined for what was not reached: identification (of a connection's first request), the decision, the host. */
  readonly identifyMs: number | undefined;
  readonly policyMs: number | undefined;
  readonly hostMs: number | undefined;
}

export interface RequestPorts {
  readonly snapshot: () => Snapshot;
  readonly hostDate: () => string;
  readonly nextRequestId: () => string;
  readonly monotonicMs: () => number;
  /** Whole seconds, for policy modules. */
  readonly readClock: () => SeenClock;
  /** Answers for our own endpoints; undefined when the target is not one of them. */
  readonly answerLocally: (exchange: Exchange, caller: Caller | undefined) => Promise<LocalReply> | undefined;
  readonly ended: (end: RequestEnd) => void;
}

/** Seconds since boot and since 1970 by the VM's clock, when a request was read. */
export interface SeenClock {
  readonly uptimeSeconds: number;
  readonly unixSeconds: number;
}

const KEY_RETRY_SECONDS = 2;
const HOST_RETRY_SECONDS = 1;
const NO_MODULES: readonly ModuleOutcome[] = [];

export async function handleRequest(exchange: Exchange, lookup: CallerLookup, ports: RequestPorts): Promise<void> {
  const startedMs = ports.monotonicMs();
  const requestId = ports.nextRequestId();
  const { method, target } = exchange.head;
  const caller = lookup.kind === "identified" ? lookup.caller : undefined;
  const identifyMs = lookup.kind === "identified" ? lookup.identifyMs : undefined;
  let snapshot = ports.snapshot(); // immutable; a request is decided on one snapshot, or decided again on the next
  const clock = ports.readClock();
  let request: CanonicalRequest | undefined;
  let modules = NO_MODULES;
  let policyMs: number | undefined;
  let hostMs: number | undefined;

  function end(event: RequestEnd["event"], status: number, reason: string, more: Partial<RequestEnd> = {}): void {
    const elapsedMs = ports.monotonicMs() - startedMs;
    const mode = caller === undefined ? "" : snapshot.guards[caller.endpoint].mode;
    const { epoch } = snapshot;
    ports.ended({
      event,
      requestId,
      caller,
      method,
      target,
      request,
      status,
      reason,
      detail: "",
      verdict: undefined,
      modules,
      mode,
      auditDeny: false,
      endorsed: false,
      epoch,
      elapsedMs,
      identifyMs,
      policyMs,
      hostMs,
      ...more,
    });
  }

  function refuse(refused: Refused, more: Partial<RequestEnd> = {}): void {
    exchange.answer(refused.reply);
    end(refused.event, refused.reply.status, refused.reason, { detail: refused.detail ?? "", verdict: refused.verdict, ...more });
  }

  function decideNow(asking: Caller): Permitted | Refused {
    const beganMs = ports.monotonicMs();
    const decision = decide(snapshot, asking, exchange, requestId, clock);
    policyMs = (policyMs ?? 0) + ports.monotonicMs() - beganMs;
    ({ request, modules = NO_MODULES } = decision);
    return decision;
  }

  const local = ports.answerLocally(exchange, caller);
  if (local !== undefined) return exchange.answer(await local);

  if (caller === undefined) return refuse(refuseUnknownCaller(lookup, requestId));
  // Nothing is known yet about what the platform wants: neither an allow nor a deny would be honest.
  if (snapshot.channel.kind === "unknown") return refuse(refuseUnsettled(requestId));

  const first = decideNow(caller);
  if (first.kind === "refused") return refuse(first);

  const body = first.exempt ? streamedBody(exchange) : await bufferedBody(exchange, ENDPOINT_FACTS[caller.endpoint].maxSignedBodyBytes);
  if (body.kind === "failed")
    return body.failure.kind === "client-gone" ? end("request-failed", 0, "client-gone") : refuse(refuseBody(requestId, body.failure));

  // The body may have taken a while: rules or key may be others now, and the old ones must not decide any more.
  const decided = snapshot;
  snapshot = ports.snapshot();
  const decision = snapshot === decided ? first : decideNow(caller);
  if (decision.kind === "refused") return refuse(decision);
  const { permit, key } = decision;

  const outbound = endorseRequest(exchange, permit, caller, body, ports.hostDate(), key);
  if (outbound === undefined)
    return refuse({
      kind: "refused",
      event: "request-denied",
      reply: refusal(400, requestId, { error: "ambiguous headers or parameters", reason: "ambiguous-request" }),
      reason: "ambiguous-request",
    });

  const askedHostMs = ports.monotonicMs();
  const outcome = await exchange.forward(ENDPOINT_FACTS[caller.endpoint], outbound);
  hostMs = ports.monotonicMs() - askedHostMs;
  const { verdict } = permit;
  const passed = { verdict, auditDeny: permit.softened, endorsed: key !== undefined };
  switch (outcome.kind) {
    case "completed":
      return end("request-forwarded", outcome.status, verdict.reason, { ...passed, detail: outcome.reason });
    case "host-failed": {
      const reply = unavailable(requestId, { error: "host unavailable", reason: `host-${outcome.cause}` }, HOST_RETRY_SECONDS);
      // What could not be connected was endorsed in vain: nothing left.
      const left = outcome.cause !== "unreachable" && passed.endorsed;
      return refuse(
        { kind: "refused", event: "request-failed", reply, reason: `host-${outcome.cause}`, detail: outcome.detail },
        { ...passed, endorsed: left },
      );
    }
    case "body-failed":
      return refuse(refuseBody(requestId, outcome.failure), passed);
    case "broken-midway":
      return end("request-failed", outcome.status, "host-broke-midway", { ...passed, detail: outcome.detail });
    case "client-gone":
      return end("request-failed", 0, "client-gone", passed);
    default:
      return unreachable(outcome);
  }
}

/** An answer of ours instead of the host's, and what the log says about it. */
interface Refused {
  readonly kind: "refused";
  readonly event: "request-denied" | "request-failed";
  readonly reply: LocalReply;
  readonly reason: string;
  readonly detail?: string;
  readonly verdict?: Verdict;
  readonly request?: CanonicalRequest;
  readonly modules?: readonly ModuleOutcome[];
}

interface Permitted {
  readonly kind: "permitted";
  readonly request: CanonicalRequest;
  readonly modules: readonly ModuleOutcome[];
  readonly permit: Permit;
  /** Undefined: forwarded unsigned, because the host accepts it so (exempt uploads) or does not check yet (audit without a key). */
  readonly key: LatchedKey | undefined;
  readonly exempt: boolean;
}

function refuseUnsettled(requestId: string): Refused {
  const reply = unavailable(requestId, { error: "not ready, try again", reason: "no-key" }, KEY_RETRY_SECONDS);
  return { kind: "refused", event: "request-failed", reply, reason: "no-key", detail: "the host was not heard yet" };
}

function refuseForm(requestId: string, code: CanonicalErrorCode): Refused {
  if (code === "CANON_METHOD") {
    const cause = { error: "method not allowed", reason: "method-not-allowed" };
    const reply = refusal(405, requestId, cause, { headers: [["Allow", METHODS.join(", ")]], close: true });
    return { kind: "refused", event: "request-denied", reply, reason: cause.reason };
  }
  const cause = { error: "ambiguous request target", reason: "ambiguous-target" };
  const reply = refusal(400, requestId, cause);
  return { kind: "refused", event: "request-denied", reply, reason: cause.reason, detail: code };
}

function refuseUnknownCaller(lookup: CallerLookup, requestId: string): Refused {
  if (lookup.kind === "record-lost") {
    return {
      kind: "refused",
      event: "request-failed",
      reply: unavailable(requestId, { error: "caller unknown, try again", reason: "record-lost" }, HOST_RETRY_SECONDS),
      reason: "record-lost",
    };
  }
  return {
    kind: "refused",
    event: "request-denied",
    reply: refusal(
      421,
      requestId,
      { error: "misdirected request", reason: "not-redirected" },
      { close: true, headers: [MISDIRECTED_MARK] },
    ),
    reason: "not-redirected",
  };
}

/** The whole decision on one snapshot: form of the request, built-in refusals, rules, modules, mode, key. Has no side effect. */
function decide(snapshot: Snapshot, caller: Caller, exchange: Exchange, requestId: string, clock: SeenClock): Permitted | Refused {
  const { method, target } = exchange.head;
  const guard = snapshot.guards[caller.endpoint];
  const reading = readRequest(caller.endpoint, method, target);
  if (!reading.ok) return refuseForm(requestId, reading.error);
  const { canonical: request, line } = reading.value;

  const builtIn = judgeBuiltIn(caller.endpoint, caller.claims.runAsElevated, line.method, line.target);
  if (builtIn.kind === "refused")
    return {
      kind: "refused",
      event: "request-denied",
      reply: refusal(403, requestId, { error: "forbidden", reason: builtIn.reason }),
      reason: builtIn.reason,
      request,
    };

  const exempt = builtIn.kind === "exempt";
  const { verdict, outcomes: modules } = exempt
    ? { verdict: exemptVerdict(guard), outcomes: NO_MODULES }
    : evaluate(snapshot, request, caller, exchange, clock);
  const permit = permitFor(line, verdict, guard.mode);
  // Denied for want of a fact that was not there in time: not what the rules say of this caller, so it is asked to come again.
  if (permit === undefined && caller.late === true)
    return {
      kind: "refused",
      event: "request-failed",
      reply: unavailable(requestId, { error: "caller not identified in time, try again", reason: "caller-late" }, HOST_RETRY_SECONDS),
      reason: "caller-late",
      detail: caller.doubts.join("; "),
      verdict,
      request,
      modules,
    };
  if (permit === undefined)
    return {
      kind: "refused",
      event: "request-denied",
      reply: refusal(403, requestId, { error: "forbidden", reason: verdict.reason }),
      reason: verdict.reason,
      detail: describeModule(verdict),
      verdict,
      request,
      modules,
    };

  const key = !exempt && snapshot.channel.kind === "latched" ? snapshot.channel.key : undefined;
  if (key === undefined && !exempt && guard.mode === "enforce") {
    return {
      kind: "refused",
      event: "request-failed",
      reply: unavailable(requestId, { error: "no key latched yet", reason: "no-key" }, KEY_RETRY_SECONDS),
      reason: "no-key",
      verdict,
      request,
      modules,
    };
  }
  return { kind: "permitted", request, modules, permit, key, exempt };
}

function evaluate(snapshot: Snapshot, request: CanonicalRequest, caller: Caller, exchange: Exchange, clock: SeenClock): ChainResult {
  const guard = snapshot.guards[caller.endpoint];
  const modules = snapshot.modules[caller.endpoint];
  const rules = askRules(guard, request, caller);
  if (modules.length === 0) return { verdict: rules, outcomes: NO_MODULES };
  const facts = { request, claims: caller.claims, headers: exchange.head.headers, ...clock };
  return judgeModules(rules, modules, facts, guard.mode !== "enforce");
}

function askRules(guard: EndpointGuard, request: CanonicalRequest, caller: Caller): Verdict {
  const { policy, ruleSetId } = guard;
  // Without rules (version 1.0, or an endpoint the platform has not given any) only the built-in refusals and modules bind.
  if (policy === undefined) return { kind: "allow", reason: "no-rules", rule: "", ruleSetId, policyId: "" };
  const decision = policy.evaluate(request, caller.claims);
  const kind = decision.kind === "allow" ? "allow" : "deny";
  return { kind, reason: decision.reason, rule: decision.rule, ruleSetId, policyId: policy.policyId };
}

function describeModule({ module }: Verdict): string {
  return module === undefined ? "" : `${module.name}: ${module.reason}`;
}

function exemptVerdict(guard: EndpointGuard): Verdict {
  return { kind: "allow", reason: "exempt-upload", rule: "", ruleSetId: guard.ruleSetId, policyId: "" };
}

type ReadyBody = OutboundBody | { readonly kind: "failed"; readonly failure: BodyFailure };

function streamedBody(exchange: Exchange): ReadyBody {
  const { framing } = exchange.head;
  if (framing.kind === "none") return { kind: "none" };
  if (framing.kind === "length" && framing.lengthBytes > MAX_STREAMED_BODY_BYTES)
    return { kind: "failed", failure: { kind: "too-large", limitBytes: MAX_STREAMED_BODY_BYTES } };
  return framing.kind === "length" && framing.lengthBytes === 0 ? { kind: "none" } : { kind: "streamed" };
}

/** The signature covers the body, so it has to be here whole before the head can be sent. */
async function bufferedBody(exchange: Exchange, maxBytes: number): Promise<ReadyBody> {
  const { framing } = exchange.head;
  if (framing.kind === "none" || (framing.kind === "length" && framing.lengthBytes === 0)) return { kind: "none" };
  const read = await exchange.readBody(maxBytes);
  return read.ok ? { kind: "buffered", bytes: read.value } : { kind: "failed", failure: read.error };
}

function endorseRequest(
  exchange: Exchange,
  permit: Permit,
  caller: Caller,
  body: OutboundBody,
  date: string,
  key: LatchedKey | undefined,
): OutboundRequest | undefined {
  const head = endorse(permit, { head: exchange.head, body, isRoot: caller.claims.runAsElevated, date, key });
  if (!head.ok) return undefined;
  return {
    method: permit.line.method,
    head: head.value,
    body:
      body.kind === "streamed"
        ? { kind: "streamed", maxBytes: MAX_STREAMED_BODY_BYTES }
        : { kind: "buffered", bytes: body.kind === "buffered" ? body.bytes : EMPTY },
    addedResponseHeaders: PROXIED_MARK,
  };
}

const EMPTY = new Uint8Array(0);
/** The literal word by which test tools of the platform recognise an answer that came through the agent. */
const PROXIED_MARK = [[AUTHORIZATION_HEADER, "value"]] as const;

function refuseBody(requestId: string, failure: BodyFailure): Refused {
  const { reply, reason } = replyToBodyFailure(requestId, failure);
  return { kind: "refused", event: "request-failed", reply, reason };
}

function replyToBodyFailure(requestId: string, failure: BodyFailure): { readonly reply: LocalReply; readonly reason: string } {
  const refused = (status: number, cause: Cause) => ({ reply: refusal(status, requestId, cause, { close: true }), reason: cause.reason });
  switch (failure.kind) {
    case "too-large":
      return refused(413, { error: `body larger than ${failure.limitBytes} bytes`, reason: "body-too-large" });
    case "malformed":
      return refused(400, { error: "malformed body", reason: "body-malformed" });
    case "timeout":
      return refused(408, { error: "body did not arrive in time", reason: "body-timeout" });
    case "busy": {
      const cause = { error: "busy", reason: "body-memory-full" };
      return { reply: unavailable(requestId, cause, HOST_RETRY_SECONDS), reason: cause.reason };
    }
    case "client-gone":
      return refused(400, { error: "client gone", reason: "client-gone" });
    default:
      return unreachable(failure);
  }
}
