// struct settings of redirect.h: written by the agent, completed by connect4 when the agent's probe connects. A successor writes
// over what its predecessor left: at no moment does the kernel take the agent's namespace, or nobody's process, for unknown.

import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import { type MapDescriptors, SETTINGS_BYTES } from "./layout.ts";
import type { Libbpf } from "./libbpf.ts";

const PROBE_COOKIE = 0;
const AGENT_NETNS = 8;
const EXEMPT_START = 16;
const EXEMPT_CGROUP = 24;
const EXEMPT_TGID = 32;
const LISTENER_PORT = 36;
const PASS_FOREIGN = 38;
const KEY = new Uint8Array(4);

export interface SettingsWords {
  readonly listenerPort: number;
  readonly passForeignNamespaces: boolean;
}

/** Which agent, in which network namespace, programs belong to. */
export interface SettingsOwner {
  readonly networkNamespaceCookie: bigint;
  readonly listenerPort: number;
  /** Of the process that is exempt, in the kernel's numbers; 0: nobody. */
  readonly exemptProcessId: number;
  /** Nanoseconds since boot; 0: not known. */
  readonly exemptStartNs: bigint;
}

/** What the kernel programs learned from the agent's probe. */
export interface Learned {
  readonly networkNamespaceCookie: bigint;
  readonly kernelProcessId: number;
  /** The whole struct as it must stay while this agent runs. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Makes the settings valid for this agent before any program is there to read them; no process is exempt afterwards. */
export function writeFirstSettings(libbpf: Libbpf, maps: MapDescriptors, words: SettingsWords): Result<void, RedirectorError> {
  const first = firstSettings(libbpf, words);
  return first.ok ? writeSettings(libbpf, maps, first.value) : first;
}

function firstSettings(libbpf: Libbpf, words: SettingsWords): Result<Uint8Array<ArrayBuffer>, RedirectorError> {
  const namespace = libbpf.networkNamespaceCookie();
  if (!namespace.ok) return namespace;
  const bytes = new Uint8Array(SETTINGS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(AGENT_NETNS, namespace.value, true);
  view.setUint16(LISTENER_PORT, words.listenerPort, true);
  view.setUint8(PASS_FOREIGN, words.passForeignNamespaces ? 1 : 0);
  return ok(bytes);
}

/**
 * Lets the kernel programs learn which process the agent is: in the kernel's numbers, so that it works in any pid namespace,
 * and through the attached hook, so that it also proves that the agent's connects are seen.
 */
export function exemptSelf(
  libbpf: Libbpf,
  maps: MapDescriptors,
  words: SettingsWords,
  cgroupPath: string,
): Result<Learned, RedirectorError> {
  const first = firstSettings(libbpf, words);
  if (!first.ok) return first;
  const bytes = first.value;
  const view = new DataView(bytes.buffer);
  const probed = libbpf.connectProbe((cookie) => {
    view.setBigUint64(PROBE_COOKIE, cookie, true);
    return writeSettings(libbpf, maps, bytes);
  });
  if (!probed.ok) return probed;
  const read = readSettings(libbpf, maps, bytes);
  if (!read.ok) return read;
  const kernelProcessId = view.getUint32(EXEMPT_TGID, true);
  if (kernelProcessId === 0) {
    return err({
      kind: "self-exempt-failed",
      message: `cannot exempt the agent from its own redirect: the agent is not inside the cgroup "${cgroupPath}"; start it there`,
    });
  }
  view.setBigUint64(PROBE_COOKIE, 0n, true);
  const closed = writeSettings(libbpf, maps, bytes);
  if (!closed.ok) return closed;
  return ok({ networkNamespaceCookie: view.getBigUint64(AGENT_NETNS, true), kernelProcessId, bytes });
}

/** For when the agent leaves and the redirect stays: its process id may soon be somebody else's. */
export function exemptNobody(libbpf: Libbpf, maps: MapDescriptors, learned: Learned): Result<void, RedirectorError> {
  const bytes = learned.bytes.slice();
  const view = new DataView(bytes.buffer);
  view.setBigUint64(EXEMPT_START, 0n, true);
  view.setBigUint64(EXEMPT_CGROUP, 0n, true);
  view.setUint32(EXEMPT_TGID, 0, true);
  return writeSettings(libbpf, maps, bytes);
}

/** Whose settings they are, read from a map of any layout; undefined when the map has another form. */
export function readOwner(libbpf: Libbpf, kernel: Pick<KernelObjects, "mapInfo">, settings: number): SettingsOwner | undefined {
  if (kernel.mapInfo(settings)?.valueBytes !== SETTINGS_BYTES) return undefined;
  const bytes = new Uint8Array(SETTINGS_BYTES);
  if (!libbpf.lookup(settings, KEY, bytes, "the settings").ok) return undefined;
  const view = new DataView(bytes.buffer);
  return {
    networkNamespaceCookie: view.getBigUint64(AGENT_NETNS, true),
    listenerPort: view.getUint16(LISTENER_PORT, true),
    exemptProcessId: view.getUint32(EXEMPT_TGID, true),
    exemptStartNs: view.getBigUint64(EXEMPT_START, true),
  };
}

export function readSettings(libbpf: Libbpf, maps: MapDescriptors, into: Uint8Array<ArrayBuffer>): Result<void, RedirectorError> {
  return libbpf.lookup(maps.settings, KEY, into, "the settings");
}

export function writeSettings(libbpf: Libbpf, maps: MapDescriptors, bytes: Uint8Array<ArrayBuffer>): Result<void, RedirectorError> {
  return libbpf.update(maps.settings, KEY, bytes, "the settings");
}
