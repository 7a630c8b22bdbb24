// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// What is absent is null. Numbers of 64 bits are rounded above 2^53.
// azure:proxy-agent-policy@1.0.0. Export a constant named "authorizer" of type Authorizer.

/** The protected host service: the destination of the caller's connect(2). Never taken from the URL or the Host header. */
export type Endpoint =
  /** 168.63.129.16:80, the fabric's control service. Only root callers reach a policy. */
  | "wireserver"
  /** 168.63.129.16:32526, the guest agent's plugin service. Only root callers reach a policy. */
  | "hostga"
  /** 169.254.169.254:80, the instance metadata service: any local user may call it. */
  | "imds";

/** The methods that the agent forwards; any other one gets 405 before any policy is called. */
export type Method =
  /** Reads something. */
  | "get"
  /** As get, for the head of the answer only. */
  | "head"
  /** Sends something, most often a body that no policy ever sees. */
  | "post"
  /** Stores something. */
  | "put"
  /** Removes something. */
  | "delete"
  /** Queries what is possible. */
  | "options"
  /** Changes a part of something. */
  | "patch";

/**
 * One `name=value` of the query. Both are percent-decoded once (`+` is a space) and have A-Z folded to a-z; other
 * letters are kept. The name is never empty; a parameter without `=` has an empty value.
 */
export interface QueryParameter {
  /** Never empty. */
  readonly name: string;
  /** Empty when there was none. */
  readonly value: string;
}

/** One request header field. Values that are not UTF-8 are never passed on: such a field is left out. */
export interface HeaderField {
  /** Lower-case. */
  readonly name: string;
  /** Without outer blanks, case kept. */
  readonly value: string;
}

/** The request in its canonical form. An ambiguous request never reaches a policy. */
export interface Request {
  /** Where the connection went. */
  readonly endpoint: Endpoint;
  /** The request method. */
  readonly method: Method;
  /**
   * The path: percent-decoded once, A-Z folded to a-z, ASCII only, `.` and `..` resolved, empty segments and matrix
   * parameters (`;…`) dropped. `/` is the empty list. No segment is empty or contains `/`.
   */
  readonly segments: readonly string[];
  /** The path ended in `/`. False for `/` itself. */
  readonly trailingSlash: boolean;
  /** In the order received; names may repeat, and hosts differ in which of them they use. */
  readonly query: readonly QueryParameter[];
  /**
   * Only the fields that the operator named when the module was added, in the order received; empty for the rules
   * component. Chosen by the caller: good for narrowing, never proof of identity.
   */
  readonly headers: readonly HeaderField[];
  /** Whole seconds since boot when the request was read; 0 when not provided. Only differences are meaningful. */
  readonly uptimeSeconds: number;
  /** Whole seconds since 1970-01-01T00:00:00Z by the VM's clock when the request was read; 0 when not provided. */
  readonly unixSeconds: number;
}

/**
 * The caller: facts that the kernel pinned when the connection was made, and what follows from them. An unverified field
 * is absent. Treat absent as "another caller": it must never be what makes a policy allow.
 */
export interface Caller {
  /** Process id in the VM's initial pid namespace. */
  readonly processId: number;
  /** Real user id in the initial user namespace. */
  readonly userId: number;
  /** Real and effective user id are both 0. */
  readonly elevated: boolean;
  /** Account name of user-id. */
  readonly userName: string | null;
  /** Names of the groups of that account, no order promised; empty when unknown. */
  readonly userGroups: readonly string[];
  /** Path of the executable in the agent's mount namespace, verified to be the very file that runs. */
  readonly executablePath: string | null;
  /** Last component of executable-path. */
  readonly processName: string | null;
  /**
   * SHA-256 of the content of that very file, 64 lower-case hex digits. The agent reads the file only when an active
   * policy needs it: without such a policy this is absent.
   */
  readonly executableSha256: string | null;
  /** Id of the caller's cgroup (cgroup v2), as the kernel numbers it; changes when the cgroup is created again. */
  readonly cgroupId: number;
  /**
   * Path of that cgroup below the root of the hierarchy, for instance `/system.slice/ssh.service`; `/` is the root itself.
   * Verified to be the path of the cgroup with this id. Segments are never empty, `.` or `..`.
   */
  readonly cgroupPath: string | null;
}

/** The three answers. */
export type OutcomeKind =
  /** The request may pass, unless another policy denies it. */
  | "allow"
  /** The request must not pass. Final: no other policy can override it. */
  | "deny"
  /** This policy has no opinion. If every policy abstains, the request is denied. */
  | "abstain";

/** A policy's answer. */
export interface Outcome {
  /** Which of the three. */
  readonly kind: OutcomeKind;
  /**
   * A stable word for logs and alerts, for instance `not-granted`: printable ASCII, at most 256 bytes. A longer or
   * different one counts as a failure of the policy, which denies.
   */
  readonly reason: string;
  /** Which rule decided, in the policy's own words; empty when none did. At most 4096 bytes. */
  readonly rule: string;
  /** Further data for the log, as names and values: at most 16, names at most 64 bytes, values at most 256. */
  readonly labels: readonly [string, string][];
}

/**
 * What every policy exports. The host calls `configure` once, right after instantiation, then `evaluate` once per request,
 * one call at a time. An instance that traps, runs out of fuel or answers nonsense is dropped, its call counts as a deny
 * with reason `policy-failed`, and a fresh instance replaces it: keep nothing between calls that you cannot lose.
 */
export interface Authorizer {
  /**
   * Validates settings without applying them. The bytes are the operator's, in a format of the
   * module's own choice (JSON, say), at most 1 MiB. The error text is shown to the operator.
   * An error is thrown: `throw "what is wrong"`, a string and not an Error.
   */
  validateSettings(settings: Uint8Array): void;
  /**
   * Applies the settings. An error keeps the policy from being used at all.
   * An error is thrown: `throw "what is wrong"`, a string and not an Error.
   */
  configure(settings: Uint8Array): void;
  /** Decides one request. `so-far` is the verdict of the policies before this one; absent for the first. */
  evaluate(request: Request, caller: Caller, soFar: Outcome | null): Outcome;
}
