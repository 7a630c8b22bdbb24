// The small interfaces that adapters fill. They live here so that every import points inward; core never implements one.

import type { AuditRecord, Caller, Claims } from "./request/caller.ts";
import type { CanonicalRequest } from "./request/canonical-request.ts";
import type { Endpoint } from "./request/endpoint.ts";
import type { HeaderField, RequestHead, ResponseHead } from "./request/http-message.ts";
import type { LocalReply } from "./request/replies.ts";
import type { Result } from "./result.ts";
import type { Owner } from "./tally/connection-shares.ts";

/** The far end of an accepted TCP connection: dotted IPv4 address and port in host order. */
export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** An accepted TCP connection: its far end, and the descriptor of our end. */
export interface Connection extends Peer {
  readonly descriptor: number;
}

// ---- eBPF -------------------------------------------------------------------------------------------------------

export interface RedirectCounters {
  readonly redirected: bigint;
  readonly refusedNoStorage: bigint;
  readonly refusedForeignNamespace: bigint;
  readonly exempt: bigint;
  /** Records of established clients; each then goes to the socket that is accepted for its client, or with the client's socket. */
  readonly published: bigint;
  /** Records that could not be published, because their user had its share or the table was full: their callers are answered 503, not 421. */
  readonly publishFailed: bigint;
  readonly cleaned: bigint;
  readonly accepted: bigint;
  /** Connections straight to the listener that were accepted with their record. */
  readonly acceptedDirect: bigint;
  /** Connects of sockets that are bound to another device than loopback and could not be taken from it. */
  readonly refusedDevice: bigint;
  /** Connects of users who have all the connections that they may. */
  readonly refusedShare: bigint;
}

/** Where an accepted connection came from, as the kernel recorded it. */
export type ConnectionOrigin =
  | { readonly kind: "redirected"; readonly record: AuditRecord }
  /** Connected to the listener itself. */
  | { readonly kind: "direct"; readonly realUid: number }
  /** The kernel has no record of it. */
  | { readonly kind: "unrecorded" };

/** A user whose records the kernel refused to keep, because too many of its connections waited to be accepted. */
export interface ThrottledUser {
  readonly uid: number;
  /** Since the programs were loaded. */
  readonly refused: bigint;
}

/** A failed call into libbpf or the kernel: what was tried, the errno name and text, and the verifier's last lines if any. */
export interface RedirectorError {
  readonly kind:
    | "libbpf-missing"
    | "object-unreadable"
    | "load-failed"
    | "attach-failed"
    | "self-exempt-failed"
    | "map-failed"
    | "pin-failed"
    | "query-failed"
    | "cgroup-missing";
  /** Ready for people: the action first, values quoted, cause last. */
  readonly message: string;
  readonly errno?: number;
}

/** Something in the kernel that was not as the agent had put it. */
export interface RedirectFault {
  /** In words, with names. */
  readonly what: string;
  /** It is as it should be again. */
  readonly repaired: boolean;
}

/** Disposing takes the redirect off and removes everything. */
export interface Redirector extends Disposable {
  /** False when the kernel has no BTF: start time, effective ids and executable are then unknown for every caller. */
  readonly pinsExecutable: boolean;
  /** Adds or removes one endpoint in the kernel's map of redirected addresses. */
  setEndpoint(endpoint: Endpoint, guarded: boolean): Result<void, RedirectorError>;
  /** Reads where an accepted connection came from. The answer belongs to the socket: it is the same each time, and never another's. */
  originOf(connection: Connection): Result<ConnectionOrigin, RedirectorError>;
  counters(): Result<RedirectCounters, RedirectorError>;
  /**
   * Proves, by a connection to the listener, that the programs see what it accepts: its socket must have been made inside the cgroup
   * that they are attached to. Waits up to 200 ms; the listener need not accept yet.
   */
  provesListener(): Promise<Result<void, RedirectorError>>;
  throttledUsers(): readonly ThrottledUser[];
  /**
   * Tells the kernel that so many connections of users other than root were taken out of the backlog.
   * @param crowded - from now on few of theirs may wait: more come than the event loop has time for
   */
  tookFromQueue(connections: number, crowded: boolean): void;
  /** Sets the kernel's count of connections in the backlog: corrects it after a crash or for a new socket. */
  settleQueue(waiting: number): void;
  /** Makes the kernel refuse this user's connects to the listener and to redirected endpoints for so long. Never root's. */
  refuseConnects(uid: number, durationMs: number): void;
  /** Why the redirect would end with this process; undefined when it is pinned and stays. */
  readonly notPinned: string | undefined;
  /** Verifies that everything is in effect and exactly `wanted` is redirected, and repairs what is not. */
  verify(wanted: ReadonlySet<Endpoint>): readonly RedirectFault[];
  /** Ends the use and leaves the redirect in effect for a successor; where it is not pinned, the same as disposing. */
  leave(): void;
}

// ---- /proc and the account database -----------------------------------------------------------------------------

/** Turns a kernel record into claims. Never rejects: an unverified field is unknown, with its reason in `doubts`. */
export type Identify = (record: AuditRecord, endpoint: Endpoint, peer: Peer) => Promise<Caller>;

// ---- policy component -------------------------------------------------------------------------------------------

/** A component's answer. `kind` abstain falls through to the next module; the rules component never abstains. */
export interface PolicyDecision {
  readonly kind: "allow" | "deny" | "abstain";
  readonly reason: string;
  readonly rule: string;
}

/** A loaded policy component. Any failure inside it comes out as a deny with reason `policy-failed`, never as an exception. */
export interface Policy {
  /** Lower-case hex SHA-256 of the component file. */
  readonly policyId: string;
  /** The answers may depend on the content of executables: callers get its hash only while such a policy is active. */
  readonly wantsExecutableHash?: boolean;
  /** The answers may depend on account and group names: callers are held for those only while such a policy is in effect. */
  readonly wantsAccountNames?: boolean;
  evaluate(request: CanonicalRequest, claims: Claims): PolicyDecision;
}

// ---- HTTP -------------------------------------------------------------------------------------------------------

export type BodyFailure =
  | { readonly kind: "too-large"; readonly limitBytes: number }
  | { readonly kind: "malformed"; readonly detail: string }
  /** No room to buffer another body now. */
  | { readonly kind: "busy" }
  | { readonly kind: "timeout" }
  | { readonly kind: "client-gone" };

/** What is sent to the host. `head` is the whole head including the empty line; framing in it must match `body`. */
export interface OutboundRequest {
  readonly method: string;
  readonly head: Uint8Array;
  readonly body: { readonly kind: "buffered"; readonly bytes: Uint8Array } | { readonly kind: "streamed"; readonly maxBytes: number };
  /** Header fields added to the response on its way to the client. */
  readonly addedResponseHeaders: readonly HeaderField[];
}

export type ForwardOutcome =
  /** The whole response reached the client. */
  | { readonly kind: "completed"; readonly status: number; readonly reason: string; readonly responseBytes: number }
  /** Nothing of a response reached the client yet: the caller of forward() must answer. */
  | { readonly kind: "host-failed"; readonly cause: "unreachable" | "silent" | "closed" | "bad-response"; readonly detail: string }
  | { readonly kind: "body-failed"; readonly failure: BodyFailure }
  /** The response broke midway; the client's connection was aborted so that it cannot take the part for the whole. */
  | { readonly kind: "broken-midway"; readonly status: number; readonly detail: string }
  | { readonly kind: "client-gone" };

/** One request on a client connection and the only ways to end it: exactly one of answer() or a forward() that completes. */
export interface Exchange {
  readonly head: RequestHead;
  /** Reads the whole body, at most `maxBytes` after removing chunk framing. Sends `100 Continue` when the client waits for it. */
  readBody(maxBytes: number): Promise<Result<Uint8Array, BodyFailure>>;
  /** Answers locally. An unread request body is drained within bounds so that the client can read the answer. */
  answer(reply: LocalReply): void;
  /** Sends the request to `upstream` on a connection that belongs to this client connection only, and streams the response back. */
  forward(upstream: Peer, request: OutboundRequest): Promise<ForwardOutcome>;
}

/** What the agent decides when a connection arrives. A refused one is closed at once. */
export type Admission =
  | {
      readonly kind: "admit";
      /** Whose share of memory the connection uses. */
      readonly owner: Owner;
      readonly handle: (exchange: Exchange) => Promise<void>;
      /** A head was refused before there was a request. */
      readonly headRefused?: (status: number, detail: string) => void;
      readonly closed: () => void;
    }
  | { readonly kind: "refuse" };

// ---- the agent's own calls to the host --------------------------------------------------------------------------

/** One call on a fresh connection. `head` is complete; nothing is added, followed or retried. */
export interface HostCall {
  readonly peer: Peer;
  readonly method: string;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  /** For everything from connect to the last byte. */
  readonly deadlineMs: number;
  readonly maxResponseBytes: number;
}

export interface HostReply {
  readonly head: ResponseHead;
  readonly body: Uint8Array;
}

export interface HostCallError {
  readonly kind: "unreachable" | "timeout" | "closed" | "bad-response" | "too-large";
  readonly detail: string;
}

export type SendToHost = (call: HostCall) => Promise<Result<HostReply, HostCallError>>;

// ---- log --------------------------------------------------------------------------------------------------------

export type LogField = string | number | boolean | readonly string[] | undefined;

/** One line per event: a fixed name and fields. Levels as in docs/operations.md. Never throws, never waits. */
export interface Log {
  error(event: string, fields: Readonly<Record<string, LogField>>): void;
  warn(event: string, fields: Readonly<Record<string, LogField>>): void;
  info(event: string, fields: Readonly<Record<string, LogField>>): void;
  debug(event: string, fields: Readonly<Record<string, LogField>>): void;
}
