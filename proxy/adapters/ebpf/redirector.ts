// The redirector: loads the kernel programs, attaches them to one cgroup, keeps their maps, and takes everything off again.
// Owns map layouts other than the record's (ebpf/redirect.h). Must never guard an endpoint before the agent itself is exempt.

import { closeSync, existsSync } from "node:fs";
import type { AuditRecord } from "../../core/caller.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/endpoint.ts";
import type { Peer, RedirectCounters, Redirector, RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { AUDIT_RECORD_BYTES, decodeAuditRecord } from "./audit-record.ts";
import { openCgroup } from "./cgroup.ts";
import { Libbpf, type LoadedObject, type Pointer } from "./libbpf.ts";

export interface RedirectorOptions {
  /** Built by scripts/build-ebpf: `redirect.bpf.o`. */
  readonly objectFile: string;
  /** `redirect-nobtf.bpf.o`, for kernels that publish no BTF or do not let us read through it. */
  readonly objectFileWithoutBtf: string;
  /** The cgroup below which connects are redirected; the agent must run inside it. */
  readonly cgroupPath: string;
  /** Port on 127.0.0.1 that guarded connections are sent to. */
  readonly listenerPort: number;
  /** Connects from other network namespaces: true lets them go out unchanged, false refuses them. */
  readonly passForeignNamespaces: boolean;
}

/** A redirector that is attached, with what it learned about itself. */
export interface AttachedRedirector extends Redirector {
  /** Why callers are not pinned to their executable, for status and doctor; undefined when they are. */
  readonly unpinnedReason: string | undefined;
  /** The agent's own process id as the kernel numbers it, whatever its pid namespace says. */
  readonly kernelProcessId: number;
}

const KERNEL_BTF = "/sys/kernel/btf/vmlinux";
const PROGRAMS = [
  // Who publishes and answers comes first, so that no connect is redirected that cannot be followed up.
  "redirect_sockops",
  "redirect_getpeername4",
  "redirect_getpeername6",
  "redirect_connect6",
  "redirect_connect4",
] as const;

/** In the order of enum counter in redirect.h. */
const COUNTERS = [
  "redirected",
  "refusedNoStorage",
  "refusedForeignNamespace",
  "exempt",
  "published",
  "publishFailed",
  "cleaned",
] as const satisfies readonly (keyof RedirectCounters)[];

const CLOSED: RedirectorError = { kind: "map-failed", message: "cannot use the redirector: it is closed" };

interface MapDescriptors {
  readonly guarded: number;
  readonly settings: number;
  readonly counters: number;
  readonly records: number;
}

/** What the kernel programs learned from the agent's probe. */
interface Learned {
  readonly networkNamespaceCookie: bigint;
  readonly kernelProcessId: number;
}

/**
 * Loads and attaches. On failure nothing stays behind. No endpoint is guarded yet, and the calling process is exempt.
 * Needs root, and the calling process inside `cgroupPath`.
 */
export function openRedirector(options: RedirectorOptions): Result<AttachedRedirector, RedirectorError> {
  const opened = Libbpf.open();
  if (!opened.ok) return opened;
  const libbpf = opened.value;
  const loaded = loadObject(libbpf, options);
  if (!loaded.ok) return loaded;
  const links: Pointer[] = [];
  const release = () => {
    for (const link of links.splice(0)) libbpf.detach(link);
    libbpf.close(loaded.value.object);
  };
  const attached = attach(libbpf, loaded.value, options, links, release);
  if (!attached.ok) release();
  return attached;
}

function attach(
  libbpf: Libbpf,
  { object, unpinnedReason }: Loaded,
  options: RedirectorOptions,
  links: Pointer[],
  release: () => void,
): Result<AttachedRedirector, RedirectorError> {
  const maps = findMaps(libbpf, object);
  if (!maps.ok) return maps;
  const cpus = libbpf.possibleCpus();
  if (!cpus.ok) return cpus;
  const configured = writeSettings(libbpf, maps.value, new Uint8Array(SETTINGS_BYTES), options);
  if (!configured.ok) return configured;
  const cgroup = openCgroup(options.cgroupPath);
  if (!cgroup.ok) return cgroup;
  try {
    for (const program of PROGRAMS) {
      const link = libbpf.attach(object, program, cgroup.value, options.cgroupPath);
      if (!link.ok) return link;
      links.push(link.value);
    }
  } finally {
    closeSync(cgroup.value);
  }
  const learned = exemptSelf(libbpf, maps.value, options);
  if (!learned.ok) return learned;
  return ok(new KernelRedirector(libbpf, maps.value, cpus.value, learned.value, unpinnedReason, release));
}

class KernelRedirector implements AttachedRedirector {
  readonly pinsExecutable: boolean;
  readonly unpinnedReason: string | undefined;
  readonly kernelProcessId: number;
  readonly #libbpf: Libbpf;
  readonly #maps: MapDescriptors;
  readonly #cpus: number;
  #release: (() => void) | undefined;
  // Reused by every takeRecord: the hot path allocates nothing but the record it returns.
  readonly #key = new Uint8Array(RECORD_KEY_BYTES);
  readonly #keyView = new DataView(this.#key.buffer);
  readonly #record = new Uint8Array(AUDIT_RECORD_BYTES);
  readonly #recordView = new DataView(this.#record.buffer);

  constructor(
    libbpf: Libbpf,
    maps: MapDescriptors,
    cpus: number,
    learned: Learned,
    unpinnedReason: string | undefined,
    release: () => void,
  ) {
    this.#libbpf = libbpf;
    this.#maps = maps;
    this.#cpus = cpus;
    this.#release = release;
    this.unpinnedReason = unpinnedReason;
    this.pinsExecutable = unpinnedReason === undefined;
    this.kernelProcessId = learned.kernelProcessId;
    this.#keyView.setBigUint64(0, learned.networkNamespaceCookie, true);
  }

  setEndpoint(endpoint: Endpoint, guarded: boolean): Result<void, RedirectorError> {
    if (this.#release === undefined) return err(CLOSED);
    const { address, port } = ENDPOINT_FACTS[endpoint];
    const key = new Uint8Array(GUARDED_KEY_BYTES);
    const view = new DataView(key.buffer);
    writeAddress(view, 0, address);
    view.setUint16(4, port, false);
    const what = `endpoint "${address}:${port}" in the map of guarded endpoints`;
    if (!guarded) return this.#libbpf.remove(this.#maps.guarded, key, what);
    return this.#libbpf.update(this.#maps.guarded, key, new Uint8Array(4), what);
  }

  takeRecord(peer: Peer): Result<AuditRecord | undefined, RedirectorError> {
    if (this.#release === undefined) return err(CLOSED);
    if (!writeAddress(this.#keyView, 8, peer.address)) return NO_RECORD;
    // Host order, as the socket holds its own port; the address before it is in network order.
    this.#keyView.setUint16(12, peer.port, true);
    const taken = this.#libbpf.take(this.#maps.records, this.#key, this.#record, "a record");
    if (taken === false) return NO_RECORD;
    return taken === true ? ok(decodeAuditRecord(this.#recordView)) : err(taken);
  }

  counters(): Result<RedirectCounters, RedirectorError> {
    if (this.#release === undefined) return err(CLOSED);
    const key = new Uint8Array(4);
    const perCpu = new BigUint64Array(this.#cpus);
    const bytes = new Uint8Array(perCpu.buffer);
    const counts: Record<string, bigint> = {};
    for (const [index, name] of COUNTERS.entries()) {
      new DataView(key.buffer).setUint32(0, index, true);
      const read = this.#libbpf.lookup(this.#maps.counters, key, bytes, `counter "${name}"`);
      if (!read.ok) return read;
      counts[name] = perCpu.reduce((sum, count) => sum + count, 0n);
    }
    return ok(counts as unknown as RedirectCounters);
  }

  [Symbol.dispose](): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }
}

const NO_RECORD: Result<AuditRecord | undefined, RedirectorError> = ok(undefined);
const RECORD_KEY_BYTES = 16;
const GUARDED_KEY_BYTES = 8;

interface Loaded {
  readonly object: LoadedObject;
  readonly unpinnedReason: string | undefined;
}

/** Prefers the object that pins executables; without BTF, or where the kernel forbids such reads, takes the plain one. */
function loadObject(libbpf: Libbpf, options: RedirectorOptions): Result<Loaded, RedirectorError> {
  let unpinnedReason = `the kernel has no BTF at "${KERNEL_BTF}"`;
  if (existsSync(KERNEL_BTF)) {
    const full = libbpf.load(options.objectFile);
    if (full.ok) return ok({ object: full.value, unpinnedReason: undefined });
    if (full.error.kind !== "load-failed") return full;
    unpinnedReason = full.error.message;
  }
  const plain = libbpf.load(options.objectFileWithoutBtf);
  if (plain.ok) return ok({ object: plain.value, unpinnedReason });
  return err({ ...plain.error, message: `${plain.error.message}\n  tried because: ${unpinnedReason}` });
}

function findMaps(libbpf: Libbpf, object: LoadedObject): Result<MapDescriptors, RedirectorError> {
  const guarded = libbpf.findMap(object, "guarded");
  if (!guarded.ok) return guarded;
  const settings = libbpf.findMap(object, "settings");
  if (!settings.ok) return settings;
  const counters = libbpf.findMap(object, "counters");
  if (!counters.ok) return counters;
  const records = libbpf.findMap(object, "records");
  if (!records.ok) return records;
  return ok({ guarded: guarded.value, settings: settings.value, counters: counters.value, records: records.value });
}

// ---- settings: struct settings of redirect.h --------------------------------------------------------------------

const SETTINGS_BYTES = 32;
const SETTINGS_KEY = new Uint8Array(4);

function writeSettings(
  libbpf: Libbpf,
  maps: MapDescriptors,
  settings: Uint8Array<ArrayBuffer>,
  options: RedirectorOptions,
): Result<void, RedirectorError> {
  const view = new DataView(settings.buffer);
  view.setUint16(28, options.listenerPort, true);
  view.setUint8(30, options.passForeignNamespaces ? 1 : 0);
  return libbpf.update(maps.settings, SETTINGS_KEY, settings, "the settings");
}

/**
 * Lets the kernel programs learn which process the agent is: in the kernel's numbers, so that it works in any pid namespace,
 * and through the attached hook, so that it also proves that the agent's connects are seen.
 */
function exemptSelf(libbpf: Libbpf, maps: MapDescriptors, options: RedirectorOptions): Result<Learned, RedirectorError> {
  const settings = new Uint8Array(SETTINGS_BYTES);
  const view = new DataView(settings.buffer);
  const probed = libbpf.connectProbe((cookie) => {
    view.setBigUint64(0, cookie, true);
    return writeSettings(libbpf, maps, settings, options);
  });
  if (!probed.ok) return probed;
  const read = libbpf.lookup(maps.settings, SETTINGS_KEY, settings, "the settings");
  if (!read.ok) return read;
  const kernelProcessId = view.getUint32(24, true);
  if (kernelProcessId === 0) {
    return err({
      kind: "self-exempt-failed",
      message: `cannot exempt the agent from its own redirect: the agent is not inside the cgroup "${options.cgroupPath}"; start it there`,
    });
  }
  view.setBigUint64(0, 0n, true);
  const closed = writeSettings(libbpf, maps, settings, options);
  if (!closed.ok) return closed;
  return ok({ networkNamespaceCookie: view.getBigUint64(8, true), kernelProcessId });
}

/** Writes a dotted IPv4 address in network order; false when it is none. */
function writeAddress(view: DataView, offset: number, address: string): boolean {
  let part = 0;
  let digits = 0;
  let written = 0;
  for (let index = 0; index <= address.length; index += 1) {
    const code = index < address.length ? address.charCodeAt(index) : DOT;
    if (code === DOT) {
      if (digits === 0 || written === 4) return false;
      view.setUint8(offset + written, part);
      written += 1;
      part = 0;
      digits = 0;
      continue;
    }
    part = part * 10 + (code - ZERO);
    digits += 1;
    if (code < ZERO || code > NINE || part > 255 || digits > 3) return false;
  }
  return written === 4;
}

const DOT = 46;
const ZERO = 48;
const NINE = 57;
