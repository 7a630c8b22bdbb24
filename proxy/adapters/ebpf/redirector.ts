// The redirector: the kernel programs attached to one cgroup, their maps with the agent's types, and the ways to end: remove
// everything, or leave it to the next instance. Must never redirect an endpoint before the agent itself is exempt.

import { closeSync } from "node:fs";
import type {
  Connection,
  ConnectionOrigin,
  RedirectCounters,
  RedirectFault,
  Redirector,
  RedirectorError,
  ThrottledUser,
} from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { attachPrograms, closeDescriptors, detachAll, endAncestor } from "./attach.ts";
import type { Ancestor, Attachment, RedirectorOptions } from "./attachment.ts";
import { AUDIT_RECORD_BYTES, decodeAuditRecord, isDirect } from "./audit-record.ts";
import type { FirstRecords } from "./first-records.ts";
import { writeGuarded } from "./guarded.ts";
import { MAX_THROTTLED } from "./layout.ts";
import { openPinFolder } from "./pins.ts";
import { exemptNobody } from "./settings.ts";
import { verifyAttachment, verifyPins } from "./verify.ts";

/** A redirector that is attached, with what it learned about itself and its predecessor. */
export interface AttachedRedirector extends Redirector {
  /** Why callers are not pinned to their executable, for status and doctor; undefined when they are. */
  readonly unpinnedReason: string | undefined;
  /** The agent's own process id as the kernel numbers it, whatever its pid namespace says. */
  readonly kernelProcessId: number;
  /** What was there: nothing, an agent of the same layout, or one of another. */
  readonly takeover: Attachment["takeover"];
  /** Endpoints that were redirected before this agent came, and still are. */
  readonly inherited: ReadonlySet<Endpoint>;
}

/** The longest that a connect may go on trying by default (tcp_syn_retries 6), and a little. */
const ANCESTOR_MS = 130_000;

/** Keys of the map `queue`, as redirect.h numbers them. */
const QUEUE_ENTERED = new Uint8Array([0, 0, 0, 0]);
const QUEUE_LEFT = new Uint8Array([1, 0, 0, 0]);
/** Of the 3072 connections of users other than root that may wait, 512 are left while there is a crowd. */
const CROWDED_BIAS = 2560n;
/** How long a connection to the listener may take to be seen. */
const PROOF_MS = 200;
const PROOF_STEP_MS = 2;

/** In the order of enum counter in redirect.h. */
const COUNTERS = [
  "redirected",
  "refusedNoStorage",
  "refusedForeignNamespace",
  "exempt",
  "published",
  "publishFailed",
  "cleaned",
  "accepted",
  "refusedDevice",
  "refusedShare",
  "acceptedDirect",
] as const satisfies readonly (keyof RedirectCounters)[];

const CLOSED: RedirectorError = { kind: "map-failed", message: "cannot use the redirector: it is closed" };
const UNREADABLE: RedirectorError = {
  kind: "map-failed",
  message: "cannot read records of the agent that was here before: its layout is another",
};

/**
 * Attaches the programs. On failure it undoes its own changes and leaves what a previous instance pinned. Endpoints that were
 * redirected stay so, no others are yet, and the calling process is exempt. Needs root, and the calling process inside `cgroupPath`.
 */
export function openRedirector(options: RedirectorOptions): Result<AttachedRedirector, RedirectorError> {
  const attached = attachPrograms(options);
  if (!attached.ok) return attached;
  const cpus = attached.value.libbpf.possibleCpus();
  if (cpus.ok) return ok(new KernelRedirector(attached.value, cpus.value, options));
  closeDescriptors(attached.value);
  return cpus;
}

class KernelRedirector implements AttachedRedirector {
  readonly pinsExecutable: boolean;
  readonly unpinnedReason: string | undefined;
  readonly kernelProcessId: number;
  readonly takeover: Attachment["takeover"];
  readonly inherited: ReadonlySet<Endpoint>;
  readonly #pinFolder: string;
  readonly #listenerPort: number;
  readonly #cpus: number;
  #at: Attachment | undefined;
  #notPinned: string | undefined;
  #ancestors: readonly Ancestor[];
  readonly #ancestorTimer: ReturnType<typeof setTimeout> | undefined;
  /** What the counters said when this agent came: they outlive agents. */
  readonly #before: RedirectCounters | undefined;
  #queueLeft = 0n;
  #queueBias = 0n;
  readonly #queueLeftValue = new BigInt64Array(1);
  readonly #queueLeftBytes = new Uint8Array(this.#queueLeftValue.buffer);
  // Reused by every originOf: the hot path allocates nothing but the record it returns. A socket's storage is found by descriptor.
  readonly #descriptor = new Uint32Array(1);
  readonly #key = new Uint8Array(this.#descriptor.buffer);
  readonly #record = new Uint8Array(AUDIT_RECORD_BYTES);
  readonly #recordView = new DataView(this.#record.buffer);

  constructor(at: Attachment, cpus: number, options: RedirectorOptions) {
    this.#at = at;
    this.#cpus = cpus;
    this.#pinFolder = options.pinFolder;
    this.#listenerPort = options.listenerPort;
    this.#notPinned = at.notPinned;
    this.#ancestors = at.ancestors;
    if (at.ancestors.length > 0) this.#ancestorTimer = setTimeout(() => this.#endAncestors(), options.ancestorMs ?? ANCESTOR_MS).unref();
    this.unpinnedReason = at.executablesUnpinned;
    this.pinsExecutable = at.executablesUnpinned === undefined;
    this.kernelProcessId = at.learned.kernelProcessId;
    this.takeover = at.takeover;
    this.inherited = at.guarded;
    const before = this.counters();
    this.#before = before.ok ? before.value : undefined;
  }

  get notPinned(): string | undefined {
    return this.#notPinned;
  }

  setEndpoint(endpoint: Endpoint, guarded: boolean): Result<void, RedirectorError> {
    if (this.#at === undefined) return err(CLOSED);
    return writeGuarded(this.#at.libbpf, this.#at.maps.guarded, endpoint, guarded);
  }

  originOf(connection: Connection): Result<ConnectionOrigin, RedirectorError> {
    const at = this.#at;
    if (at === undefined) return err(CLOSED);
    const read = this.#readAccepted(at, at.maps.accepted, connection);
    if (typeof read !== "boolean") return err(read);
    if (read) return ok(this.#decode());
    return this.#ancestors.length === 0 ? UNRECORDED : this.#originFromAncestors(at, connection);
  }

  #readAccepted(at: Attachment, map: number, { descriptor }: Connection): boolean | RedirectorError {
    this.#descriptor[0] = descriptor;
    return at.libbpf.read(map, this.#key, this.#record, "the record of a connection");
  }

  #decode(): ConnectionOrigin {
    const record = decodeAuditRecord(this.#recordView);
    return isDirect(this.#recordView) ? { kind: "direct", realUid: record.realUid } : { kind: "redirected", record };
  }

  #originFromAncestors(at: Attachment, connection: Connection): Result<ConnectionOrigin, RedirectorError> {
    for (const { records } of this.#ancestors) {
      if (records.kind === "unreadable") return err(UNREADABLE);
      const read = records.kind === "accepted" ? this.#readAccepted(at, records.map, connection) : this.#takeFirst(at, records, connection);
      if (read === true) return ok(this.#decode());
      if (read !== false) return err(read);
    }
    return UNRECORDED;
  }

  #takeFirst({ libbpf }: Attachment, { records }: { readonly records: FirstRecords }, connection: Connection): boolean | RedirectorError {
    const key = records.keyOf(connection);
    return key === undefined ? false : libbpf.take(records.map, key, this.#record, "a record");
  }

  refuseConnects(uid: number, durationMs: number): void {
    const at = this.#at;
    if (at === undefined) return;
    const key = new Uint8Array(new Uint32Array([uid]).buffer);
    const until = new BigUint64Array([at.libbpf.monotonicNs() + BigInt(durationMs) * 1_000_000n]);
    // A connect that is not refused is accepted and closed: it costs more, and that is all.
    at.libbpf.update(at.maps.refused_until, key, new Uint8Array(until.buffer), "a user who has its share");
  }

  async provesListener(): Promise<Result<void, RedirectorError>> {
    const at = this.#at;
    if (at === undefined) return err(CLOSED);
    const accepted = () => {
      const read = this.counters();
      return read.ok ? read.value.acceptedDirect : 0n;
    };
    const before = accepted();
    const connected = at.libbpf.connectLoopback(this.#listenerPort);
    if (!connected.ok) return connected;
    try {
      // The handshake is over when connect(2) returns; the listener's half of it is made a moment later.
      for (let waited = 0; waited < PROOF_MS; waited += PROOF_STEP_MS) {
        if (accepted() > before) return ok(undefined);
        await Bun.sleep(PROOF_STEP_MS);
      }
    } finally {
      closeSync(connected.value);
    }
    return err({
      kind: "attach-failed",
      message: `the programs do not see what the listening socket accepts: it was made outside of the cgroup "${at.cgroupPath}" that they are attached to; leave "cgroupRoot" out of the config, or run the agent without a socket unit`,
    });
  }

  tookFromQueue(connections: number, crowded: boolean): void {
    this.#queueLeft += BigInt(connections);
    this.#queueBias = crowded ? CROWDED_BIAS : 0n;
    this.#writeQueueLeft();
  }

  settleQueue(waiting: number): void {
    const at = this.#at;
    if (at === undefined) return;
    const entered = new BigUint64Array(1);
    const read = at.libbpf.read(at.maps.queue, QUEUE_ENTERED, new Uint8Array(entered.buffer), "the backlog's count");
    if (read !== true) return;
    this.#queueLeft = (entered[0] ?? 0n) - BigInt(waiting);
    this.#writeQueueLeft();
  }

  #writeQueueLeft(): void {
    const at = this.#at;
    if (at === undefined) return;
    // What counts as waiting although it is not leaves less room for what comes.
    this.#queueLeftValue[0] = this.#queueLeft - this.#queueBias;
    at.libbpf.update(at.maps.queue, QUEUE_LEFT, this.#queueLeftBytes, "the backlog's count");
  }

  throttledUsers(): readonly ThrottledUser[] {
    const at = this.#at;
    if (at === undefined) return [];
    const refused = new BigUint64Array(1);
    return at.kernel.keys(at.maps.throttled, 4, MAX_THROTTLED).flatMap((key) => {
      const read = at.libbpf.read(at.maps.throttled, key, new Uint8Array(refused.buffer), "a throttled user");
      return read === true ? [{ uid: new DataView(key.buffer).getUint32(0, true), refused: refused[0] ?? 0n }] : [];
    });
  }

  counters(): Result<RedirectCounters, RedirectorError> {
    if (this.#at === undefined) return err(CLOSED);
    const key = new Uint8Array(4);
    const perCpu = new BigUint64Array(this.#cpus);
    const bytes = new Uint8Array(perCpu.buffer);
    const counts: Record<string, bigint> = {};
    for (const [index, name] of COUNTERS.entries()) {
      new DataView(key.buffer).setUint32(0, index, true);
      const read = this.#at.libbpf.lookup(this.#at.maps.counters, key, bytes, `counter "${name}"`);
      if (!read.ok) return read;
      counts[name] = perCpu.reduce((sum, count) => sum + count, 0n) - (this.#before?.[name] ?? 0n);
    }
    return ok(counts as unknown as RedirectCounters);
  }

  verify(wanted: ReadonlySet<Endpoint>): readonly RedirectFault[] {
    const at = this.#at;
    if (at === undefined) return [];
    const faults = verifyAttachment(at, wanted, this.#pinFolder, this.#notPinned === undefined);
    if (this.#notPinned !== undefined && this.#pinFolder !== "") this.#pinLate(at);
    return faults;
  }

  /** bpffs was not there at start, or refused; it may be by now. */
  #pinLate(at: Attachment): void {
    if (!openPinFolder(this.#pinFolder).ok) return;
    if (verifyPins(at, this.#pinFolder).every(({ repaired }) => repaired)) this.#notPinned = undefined;
  }

  leave(): void {
    const at = this.#at;
    if (at === undefined) return;
    if (this.#notPinned !== undefined) {
      this[Symbol.dispose]();
      return;
    }
    this.#at = undefined;
    exemptNobody(at.libbpf, at.maps, at.learned);
    // Connects of an earlier layout that are still on their way here lose their records with this: they will be refused.
    this.#endAncestorsOf(at);
    closeDescriptors(at);
  }

  [Symbol.dispose](): void {
    const at = this.#at;
    if (at === undefined) return;
    this.#at = undefined;
    this.#endAncestorsOf(at);
    detachAll({ ...at, notPinned: this.#notPinned }, this.#pinFolder);
  }

  #endAncestors(): void {
    if (this.#at !== undefined) this.#endAncestorsOf(this.#at);
  }

  #endAncestorsOf({ kernel }: Attachment): void {
    clearTimeout(this.#ancestorTimer);
    const ancestors = this.#ancestors;
    // No longer read before they are no longer kept clean.
    this.#ancestors = [];
    for (const ancestor of ancestors) endAncestor(kernel, ancestor);
  }
}

const UNRECORDED: Result<ConnectionOrigin, RedirectorError> = ok({ kind: "unrecorded" });
