// What the redirector is asked for and what it holds while its programs are in effect: plain types that attaching, verifying and
// detaching share. Holds descriptors, opens and closes none.

import type { Endpoint } from "../../core/request/endpoint.ts";
import type { FirstRecords } from "./first-records.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import type { MapDescriptors, ProgramName } from "./layout.ts";
import type { Libbpf, LoadedObject } from "./libbpf.ts";
import type { Learned } from "./settings.ts";

/** What serves connects that an agent of another layout redirected, until they are all accepted. */
export interface Ancestor {
  readonly links: readonly number[];
  readonly records: AncestorRecords;
}

/** How this agent finds the records of an earlier one. */
export type AncestorRecords =
  /** In the storage of accepted sockets, in a map of that agent's own. */
  | { readonly kind: "accepted"; readonly map: number }
  | { readonly kind: "first"; readonly records: FirstRecords }
  | { readonly kind: "unreadable" };

/** Everything in effect, with all descriptors that keep it so. */
export interface Attachment {
  readonly libbpf: Libbpf;
  readonly kernel: KernelObjects;
  readonly object: LoadedObject;
  readonly programs: ReadonlyMap<ProgramName, number>;
  readonly links: Map<ProgramName, number>;
  readonly maps: MapDescriptors;
  readonly cgroupFd: number;
  readonly cgroupId: bigint;
  readonly cgroupPath: string;
  readonly listenerPort: number;
  readonly learned: Learned;
  readonly executablesUnpinned: string | undefined;
  /** Folder of this layout below the pin folder; where pins are, or would be. */
  readonly place: string;
  /** Why nothing outlives this process; undefined when it does. */
  readonly notPinned: string | undefined;
  readonly takeover: "none" | "same-layout" | "other-layout";
  readonly guarded: ReadonlySet<Endpoint>;
  readonly ancestors: readonly Ancestor[];
}

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
  /** Folder in bpffs for what outlives the process; empty: everything ends with it. */
  readonly pinFolder: string;
  /** How long connects that an agent of another layout redirected are served; default ANCESTOR_MS of redirector.ts. */
  readonly ancestorMs?: number;
}
