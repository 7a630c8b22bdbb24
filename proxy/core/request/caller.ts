// Identity of the caller. The kernel pins the facts in an AuditRecord at connect time; Claims are what we assert from them.
// An unknown claim is undefined and matches no rule selector: the decision fails closed.

import type { Endpoint } from "./endpoint.ts";

/** An executable as the kernel knows it: device and inode numbers of the inode itself, not of what stat(2) reports. */
export interface ExecutableId {
  /** Kernel encoding: major << 20 | minor. */
  readonly device: number;
  readonly inode: bigint;
  readonly inodeGeneration: number;
}

/** What the eBPF program stored for one redirected connection. Ids are those of the initial namespaces. */
export interface AuditRecord {
  readonly processId: number;
  readonly threadId: number;
  readonly realUid: number;
  readonly realGid: number;
  /** Effective ids; undefined when the kernel has no BTF to read them through. */
  readonly effectiveUid: number | undefined;
  readonly effectiveGid: number | undefined;
  /** comm of the connecting thread: at most 15 bytes, chosen by the process itself, so never a rule selector. */
  readonly comm: string;
  readonly cgroupId: bigint;
  readonly networkNamespaceCookie: bigint;
  readonly socketCookie: bigint;
  /** Process start, nanoseconds since boot; undefined without BTF. */
  readonly startTimeNs: bigint | undefined;
  readonly executable: ExecutableId | undefined;
  /** Where the caller wanted to connect to, dotted IPv4. */
  readonly destinationAddress: string;
  readonly destinationPort: number;
  /** The caller used an IPv6 socket with an IPv4-mapped address. */
  readonly mapped: boolean;
}

export interface Claims {
  readonly processId: number;
  readonly userId: number;
  /** Real and effective user id are both 0. */
  readonly runAsElevated: boolean;
  /** Account name of the real user id; undefined when the account database has none or did not answer in time. */
  readonly userName: string | undefined;
  readonly userGroups: readonly string[];
  /** Path of the executable in the agent's mount namespace, proven to be the pinned file; undefined when unproven. */
  readonly processFullPath: string | undefined;
  /** Last component of {@link processFullPath}. */
  readonly processName: string | undefined;
  /** Start of the command line for logs, secrets redacted. Chosen by the caller: never a rule selector. */
  readonly processCmdLine: string;
  readonly cgroupId: bigint;
  /** Path of that cgroup below the root of the hierarchy, `/` for the root, proven to be the one with this id; undefined when unproven. */
  readonly cgroupPath?: string | undefined;
  /** Lower-case hex SHA-256 of the running executable's content; undefined when not needed or unreadable. */
  readonly executableSha256?: string | undefined;
  readonly clientAddress: string;
  readonly clientPort: number;
}

/** A caller with everything needed to decide its requests. Holds for the life of one TCP connection. */
export interface Caller {
  readonly endpoint: Endpoint;
  readonly claims: Claims;
  readonly record: AuditRecord;
  /** Why executable or names are unknown, in words for the log; empty when all is known. */
  readonly doubts: readonly string[];
  /** A fact was not there in time: this machine or a file system is busy. Another try may find it. */
  readonly late?: boolean;
}
