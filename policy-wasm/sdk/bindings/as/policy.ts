// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// azure:proxy-agent-policy@1.0.0: arguments as views of memory that is gone when the call is over, answers as classes.

// A string that the host wrote: UTF-8, valid until the call is over. Comparing does not copy; toString() does.
// @ts-ignore: decorator
@unmanaged
export class Text {
  get pointer(): usize {
    return <usize>load<u32>(changetype<usize>(this));
  }
  /** Length in bytes. */
  get bytes(): u32 {
    return load<u32>(changetype<usize>(this), 4);
  }
  /** True for the same text; `other` may hold any characters. */
  is(other: string): bool {
    return this.bytes == <u32>String.UTF8.byteLength(other) && this.startsWith(other);
  }
  startsWith(beginning: string): bool {
    const bytes = <usize>String.UTF8.byteLength(beginning);
    if (<usize>this.bytes < bytes) return false;
    const copy = __reserve(bytes, 1);
    String.UTF8.encodeUnsafe(changetype<usize>(beginning), beginning.length, copy);
    for (let i: usize = 0; i < bytes; i++) if (load<u8>(this.pointer + i) != load<u8>(copy + i)) return false;
    return true;
  }
  toString(): string {
    return String.UTF8.decodeUnsafe(this.pointer, <usize>this.bytes);
  }
}

/** Bytes that the host wrote, valid until the call is over; within `configure` for good. */
// @ts-ignore: decorator
@unmanaged
export class Bytes {
  get pointer(): usize {
    return <usize>load<u32>(changetype<usize>(this));
  }
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): u8 {
    if (<u32>index >= <u32>this.length) unreachable();
    return load<u8>(this.pointer + <usize>index);
  }
  /** As text. Bytes that are no UTF-8 are replaced: compare lengths when that matters. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.pointer, <usize>this.length);
  }
}

/** Writes a string as pointer and length. */
export function lowerText(text: string, at: usize): void {
  const bytes = <usize>String.UTF8.byteLength(text);
  const copy = __reserve(bytes, 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, copy);
  store<u32>(at, <u32>copy);
  store<u32>(at, <u32>bytes, 4);
}

/** Writes `result<_, string>`: null is success. */
export function lowerError(error: string | null, at: usize): void {
  store<u8>(at, error === null ? 0 : 1);
  lowerText(error === null ? "" : error, at + 4);
}

/** The protected host service: the destination of the caller's connect(2). Never taken from the URL or the Host header. */
export enum Endpoint {
  /** 168.63.129.16:80, the fabric's control service. Only root callers reach a policy. */
  Wireserver,
  /** 168.63.129.16:32526, the guest agent's plugin service. Only root callers reach a policy. */
  Hostga,
  /** 169.254.169.254:80, the instance metadata service: any local user may call it. */
  Imds,
}

/** The methods that the agent forwards; any other one gets 405 before any policy is called. */
export enum Method {
  /** Reads something. */
  Get,
  /** As get, for the head of the answer only. */
  Head,
  /** Sends something, most often a body that no policy ever sees. */
  Post,
  /** Stores something. */
  Put,
  /** Removes something. */
  Delete,
  /** Queries what is possible. */
  Options,
  /** Changes a part of something. */
  Patch,
}

/** The three answers. */
export enum OutcomeKind {
  /** The request may pass, unless another policy denies it. */
  Allow,
  /** The request must not pass. Final: no other policy can override it. */
  Deny,
  /** This policy has no opinion. If every policy abstains, the request is denied. */
  Abstain,
}

// @ts-ignore: decorator
@unmanaged
export class TextList {
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): Text {
    if (<u32>index >= <u32>this.length) unreachable();
    const at = <usize>load<u32>(changetype<usize>(this)) + <usize>index * 8;
    return changetype<Text>(at);
  }
}

/**
 * One `name=value` of the query. Both are percent-decoded once (`+` is a space) and have A-Z folded to a-z; other
 * letters are kept. The name is never empty; a parameter without `=` has an empty value.
 */
// @ts-ignore: decorator
@unmanaged
export class QueryParameterView {
  /** Never empty. */
  get name(): Text {
    return changetype<Text>(changetype<usize>(this) + 0);
  }
  /** Empty when there was none. */
  get value(): Text {
    return changetype<Text>(changetype<usize>(this) + 8);
  }
}

// @ts-ignore: decorator
@unmanaged
export class QueryParameterViewList {
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): QueryParameterView {
    if (<u32>index >= <u32>this.length) unreachable();
    const at = <usize>load<u32>(changetype<usize>(this)) + <usize>index * 16;
    return changetype<QueryParameterView>(at);
  }
}

/** One request header field. Values that are not UTF-8 are never passed on: such a field is left out. */
// @ts-ignore: decorator
@unmanaged
export class HeaderFieldView {
  /** Lower-case. */
  get name(): Text {
    return changetype<Text>(changetype<usize>(this) + 0);
  }
  /** Without outer blanks, case kept. */
  get value(): Text {
    return changetype<Text>(changetype<usize>(this) + 8);
  }
}

// @ts-ignore: decorator
@unmanaged
export class HeaderFieldViewList {
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): HeaderFieldView {
    if (<u32>index >= <u32>this.length) unreachable();
    const at = <usize>load<u32>(changetype<usize>(this)) + <usize>index * 16;
    return changetype<HeaderFieldView>(at);
  }
}

/** The request in its canonical form. An ambiguous request never reaches a policy. */
// @ts-ignore: decorator
@unmanaged
export class RequestView {
  /** Where the connection went. */
  get endpoint(): Endpoint {
    return <Endpoint>load<u8>(changetype<usize>(this) + 0);
  }
  /** The request method. */
  get method(): Method {
    return <Method>load<u8>(changetype<usize>(this) + 1);
  }
  /**
   * The path: percent-decoded once, A-Z folded to a-z, ASCII only, `.` and `..` resolved, empty segments and matrix
   * parameters (`;…`) dropped. `/` is the empty list. No segment is empty or contains `/`.
   */
  get segments(): TextList {
    return changetype<TextList>(changetype<usize>(this) + 4);
  }
  /** The path ended in `/`. False for `/` itself. */
  get trailingSlash(): bool {
    return load<bool>(changetype<usize>(this) + 12);
  }
  /** In the order received; names may repeat, and hosts differ in which of them they use. */
  get query(): QueryParameterViewList {
    return changetype<QueryParameterViewList>(changetype<usize>(this) + 16);
  }
  /**
   * Only the fields that the operator named when the module was added, in the order received; empty for the rules
   * component. Chosen by the caller: good for narrowing, never proof of identity.
   */
  get headers(): HeaderFieldViewList {
    return changetype<HeaderFieldViewList>(changetype<usize>(this) + 24);
  }
  /** Whole seconds since boot when the request was read; 0 when not provided. Only differences are meaningful. */
  get uptimeSeconds(): u64 {
    return load<u64>(changetype<usize>(this) + 32);
  }
  /** Whole seconds since 1970-01-01T00:00:00Z by the VM's clock when the request was read; 0 when not provided. */
  get unixSeconds(): u64 {
    return load<u64>(changetype<usize>(this) + 40);
  }
}

/**
 * The caller: facts that the kernel pinned when the connection was made, and what follows from them. An unverified field
 * is absent. Treat absent as "another caller": it must never be what makes a policy allow.
 */
// @ts-ignore: decorator
@unmanaged
export class CallerView {
  /** Process id in the VM's initial pid namespace. */
  get processId(): u32 {
    return load<u32>(changetype<usize>(this) + 0);
  }
  /** Real user id in the initial user namespace. */
  get userId(): u32 {
    return load<u32>(changetype<usize>(this) + 4);
  }
  /** Real and effective user id are both 0. */
  get elevated(): bool {
    return load<bool>(changetype<usize>(this) + 8);
  }
  /** Account name of user-id. */
  get userName(): Text | null {
    return load<u8>(changetype<usize>(this) + 12) == 1 ? changetype<Text>(changetype<usize>(this) + 12 + 4) : null;
  }
  /** Names of the groups of that account, no order promised; empty when unknown. */
  get userGroups(): TextList {
    return changetype<TextList>(changetype<usize>(this) + 24);
  }
  /** Path of the executable in the agent's mount namespace, verified to be the very file that runs. */
  get executablePath(): Text | null {
    return load<u8>(changetype<usize>(this) + 32) == 1 ? changetype<Text>(changetype<usize>(this) + 32 + 4) : null;
  }
  /** Last component of executable-path. */
  get processName(): Text | null {
    return load<u8>(changetype<usize>(this) + 44) == 1 ? changetype<Text>(changetype<usize>(this) + 44 + 4) : null;
  }
  /**
   * SHA-256 of the content of that very file, 64 lower-case hex digits. The agent reads the file only when an active
   * policy needs it: without such a policy this is absent.
   */
  get executableSha256(): Text | null {
    return load<u8>(changetype<usize>(this) + 56) == 1 ? changetype<Text>(changetype<usize>(this) + 56 + 4) : null;
  }
  /** Id of the caller's cgroup (cgroup v2), as the kernel numbers it; changes when the cgroup is created again. */
  get cgroupId(): u64 {
    return load<u64>(changetype<usize>(this) + 72);
  }
  /**
   * Path of that cgroup below the root of the hierarchy, for instance `/system.slice/ssh.service`; `/` is the root itself.
   * Verified to be the path of the cgroup with this id. Segments are never empty, `.` or `..`.
   */
  get cgroupPath(): Text | null {
    return load<u8>(changetype<usize>(this) + 80) == 1 ? changetype<Text>(changetype<usize>(this) + 80 + 4) : null;
  }
}

// @ts-ignore: decorator
@unmanaged
export class TextTextTuple {
  get first(): Text {
    return changetype<Text>(changetype<usize>(this) + 0);
  }
  get second(): Text {
    return changetype<Text>(changetype<usize>(this) + 8);
  }
}

// @ts-ignore: decorator
@unmanaged
export class TextTextTupleList {
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): TextTextTuple {
    if (<u32>index >= <u32>this.length) unreachable();
    const at = <usize>load<u32>(changetype<usize>(this)) + <usize>index * 16;
    return changetype<TextTextTuple>(at);
  }
}

/** A policy's answer. */
// @ts-ignore: decorator
@unmanaged
export class OutcomeView {
  /** Which of the three. */
  get kind(): OutcomeKind {
    return <OutcomeKind>load<u8>(changetype<usize>(this) + 0);
  }
  /**
   * A stable word for logs and alerts, for instance `not-granted`: printable ASCII, at most 256 bytes. A longer or
   * different one counts as a failure of the policy, which denies.
   */
  get reason(): Text {
    return changetype<Text>(changetype<usize>(this) + 4);
  }
  /** Which rule decided, in the policy's own words; empty when none did. At most 4096 bytes. */
  get rule(): Text {
    return changetype<Text>(changetype<usize>(this) + 12);
  }
  /** Further data for the log, as names and values: at most 16, names at most 64 bytes, values at most 256. */
  get labels(): TextTextTupleList {
    return changetype<TextTextTupleList>(changetype<usize>(this) + 20);
  }
}

/** A policy's answer. */
export class Outcome {
  constructor(
    public kind: OutcomeKind,
    public reason: string,
    public rule: string = "",
    public labels: Array<StaticArray<string>> = [],
  ) {}
}

export function lowerOutcome(answer: Outcome, at: usize): void {
  store<u8>(at + 0, <u8>answer.kind);
  lowerText(answer.reason, at + 4);
  lowerText(answer.rule, at + 12);
  const list0 = __reserve(<usize>answer.labels.length * 16, 4);
  store<u32>(at + 20, <u32>list0);
  store<u32>(at + 20 + 4, answer.labels.length);
  for (let i0 = 0; i0 < answer.labels.length; i0++) {
    lowerText(answer.labels[i0][0], list0 + <usize>i0 * 16 + 0);
    lowerText(answer.labels[i0][1], list0 + <usize>i0 * 16 + 8);
  }
}
