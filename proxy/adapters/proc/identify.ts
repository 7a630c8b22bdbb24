// From the kernel's record of a connection to what we claim about its caller. The record alone says who asked; /proc and
// the account database only put names to it, and only where they can be shown to speak of the same process and file.
// Nothing is allowed or refused here: what is not proven stays unknown, with the reason in words.

import type { Identify } from "../../core/ports.ts";
import type { AuditRecord, Caller, Claims } from "../../core/request/caller.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { ok, type Result } from "../../core/result.ts";
import { type AccountOf, type Accounts, makeAccounts } from "./accounts.ts";
import { type CgroupPathOf, makeCgroupPaths } from "./cgroup-path.ts";
import { readCommandLine } from "./command-line.ts";
import { provePath, readExecutable } from "./executable.ts";
import { type HashExecutable, makeExecutableHashes } from "./executable-hash.ts";
import { type KernelNumbersOf, makeKernelNumbers } from "./inode.ts";
import { type Lane, makeLane } from "./lane.ts";
import { makeLocalAccounts } from "./local-accounts.ts";
import { openAccountDatabase } from "./nss.ts";
import { checkStartTime, openProcess } from "./process.ts";

export interface IdentifyOptions {
  /** Process id of the agent as the kernel's programs see it: another one than its own means a pid namespace in between. */
  readonly kernelProcessId: number;
  /** Process id of the agent as it sees itself. Default `process.pid`. */
  readonly ownProcessId?: number;
  /** Account name and groups of a user id. Default: this machine's account database, with a cache. */
  readonly accountOf?: AccountOf;
  /** Why the kernel's programs record no start time and executable; undefined when they do. */
  readonly unpinnedReason?: string | undefined;
  /** Whether the policies in effect for an endpoint look at names; asked for each connection. Default: they do. */
  readonly namesWanted?: (endpoint: Endpoint) => boolean;
  /** Where the root of the cgroup2 hierarchy is mounted. Without it no caller has a cgroup path. */
  readonly cgroupRoot?: string;
  /** Default: no caller has a hash. */
  readonly executableHash?: {
    /** Whether the policies in force look at the content of executables; asked for each connection. */
    readonly wanted: () => boolean;
    /** Starts a process that hashes files ({@link serveHashes}). */
    readonly command: readonly string[];
  };
}

/** What hangs here costs a command line in a log: no request waits long for that. */
const COMMAND_LINE_LANE = { places: 3, limitMs: 100, maxWaiting: 4096 };
/**
 * File systems that are asked. Together with command lines and account look-ups, which can hang as well, this leaves a quarter of
 * the helper threads (native/thread-pool.ts) to everything else.
 */
const FILE_LANE = { places: 3, limitMs: 2_000, maxWaiting: 256 };
/** Kernel memory: a lock may be contended, but nothing hangs. */
const PROC_LANE = { places: 4, limitMs: 2_000, maxWaiting: 4096 };

/** This machine's accounts: its own files, and whatever nsswitch.conf names. */
export function openAccounts(): Accounts {
  return makeAccounts({ database: openAccountDatabase(), localAccountOf: makeLocalAccounts("/etc"), nowMs: () => performance.now() });
}

interface Program {
  readonly path: string | undefined;
  readonly sha256: string | undefined;
  readonly commandLine: string;
  readonly doubts: readonly string[];
}

interface Ways {
  readonly commandLine: Lane;
  readonly file: Lane;
  readonly proc: Lane;
  readonly kernelNumbersOf: KernelNumbersOf;
  readonly hash: HashExecutable | undefined;
}

/**
 * Builds the port. One caller costs some twenty short system calls and two or three hops to helper threads, side by side.
 *
 * What is done on the event loop, and why no caller can make it long:
 * | call | bound |
 * | --- | --- |
 * | open /proc/PID, its stat, cmdline, cgroup and exe (O_PATH) | a look-up by number; nothing is counted or walked, no file system is asked |
 * | statx of an O_PATH descriptor, no field wanted | the inode in memory |
 * | readlink of /proc/self/fd/N | at most a page (4 KB) of path is made, also of deeper folders |
 * | openat2 RESOLVE_CACHED of that text | at most 4 KB, no link followed, only what is in memory |
 * | stat of a cgroup's folder | at most 4 KB of path in kernfs, which is memory |
 *
 * What is read elsewhere, each in a lane that users share:
 * | read | what the caller chooses |
 * | --- | --- |
 * | task/PID/stat | on kernels before 6.8 how long other readers hold the lock; the text is at most 1 KB, threads do not count |
 * | cmdline | how long its memory lock is held, even for ever; at most 8 KB |
 * | cgroup | cgroup_mutex, which moving a process with many threads holds; at most 64 KB |
 * | openat2 of a path not in memory, an inotify watch | a file system of its own, even for ever |
 * | account database | how many ids it has |
 * | content of the executable | in a process of its own: executable-hash.ts |
 *
 * mountinfo (as long as the caller likes) and /proc/PID/stat (adds up all threads) are never read.
 */
export function makeIdentify(options: IdentifyOptions): Identify {
  const ownProcessId = options.ownProcessId ?? process.pid;
  const accountOf = options.accountOf ?? openAccounts().accountOf;
  const namesWanted = options.namesWanted ?? (() => true);
  const lanes = { commandLine: makeLane(COMMAND_LINE_LANE), file: makeLane(FILE_LANE), proc: makeLane(PROC_LANE) };
  const kernelNumbersOf = makeKernelNumbers(lanes.file);
  const wantsHash = options.executableHash?.wanted ?? (() => false);
  const hash = makeExecutableHashes({ nowMs: Date.now, command: options.executableHash?.command ?? [] });
  const cgroupPathOf = options.cgroupRoot === undefined ? undefined : makeCgroupPaths(options.cgroupRoot, lanes.proc);
  const foreign =
    options.kernelProcessId === ownProcessId
      ? undefined
      : `the agent runs in a pid namespace: it is process ${ownProcessId} to itself and ${options.kernelProcessId} to the kernel`;

  return async (record, endpoint, peer): Promise<Caller> => {
    // Started first: the account database may take its time while the process is looked at.
    const asked = accountOf(record.realUid, namesWanted(endpoint));
    const cgroupAsked = readCgroupPath(record, cgroupPathOf);
    let late = false;
    const noticeLate = () => {
      late = true;
    };
    const ways = {
      ...{ commandLine: lanes.commandLine, file: noticing(lanes.file, noticeLate), proc: noticing(lanes.proc, noticeLate) },
      ...{ kernelNumbersOf, hash: wantsHash() ? hash : undefined },
    };
    const program = foreign === undefined ? await readProgram(record, ways, options.unpinnedReason) : unknownProgram(foreign);
    const cgroup = await cgroupAsked;
    const account = await asked;
    const claims: Claims = {
      processId: record.processId,
      userId: record.realUid,
      runAsElevated: isElevated(record),
      userName: account.userName,
      userGroups: account.userGroups,
      processFullPath: program.path,
      processName: program.path?.slice(program.path.lastIndexOf("/") + 1),
      processCmdLine: program.commandLine,
      cgroupId: record.cgroupId,
      cgroupPath: cgroup.path,
      executableSha256: program.sha256,
      clientAddress: peer.address,
      clientPort: peer.port,
    };
    const doubts = [...program.doubts, ...cgroup.doubts, ...account.doubts];
    return { endpoint, claims, record, doubts, ...(late ? { late } : {}) };
  };
}

/** The same lane, whose calls that bring nothing in time are noticed. */
function noticing(lane: Lane, notice: () => void): Lane {
  return {
    async run(userId, start, tooLate) {
      const result = await lane.run(userId, start, tooLate);
      if (!result.ok) notice();
      return result;
    },
  };
}

/**
 * Root means that the real and the effective user id are 0. A daemon that dropped its effective id speaks for the user it
 * became, and a setuid program speaks for whoever started it: in both cases one of the two is not 0, and doubt means not
 * elevated. Without BTF the effective id is unknown and the real one decides. Group ids play no part: group 0 is not root.
 */
function isElevated(record: AuditRecord): boolean {
  return record.realUid === 0 && (record.effectiveUid === undefined || record.effectiveUid === 0);
}

/** INVARIANT: the process is compared with the record before and after reading; nothing read in between outlives a difference. */
async function readProgram(record: AuditRecord, ways: Ways, unpinnedReason: string | undefined): Promise<Program> {
  const { startTimeNs, executable: pinned } = record;
  if (startTimeNs === undefined) {
    const reason = unpinnedReason?.split("\n")[0] ?? "the kernel has no BTF";
    return unknownProgram(`start time and executable were not recorded at connect: ${reason}`);
  }
  if (pinned === undefined) return unknownProgram("the caller is a kernel thread: it has no executable");
  const held = openProcess(record.processId);
  if (!held.ok) return unknownProgram(held.error);
  using process = held.value;
  const userId = record.realUid;
  // All at once. Compared once: the held process cannot turn into another, only end.
  const startAsked = checkStartTime(process, userId, startTimeNs, ways.proc);
  const commandLineAsked = readCommandLine(process, userId, ways.commandLine);
  const before = await readExecutable(process, pinned, userId, ways.kernelNumbersOf);
  const started = await startAsked;
  // Waited for on every way out: it is opened through the held process.
  const commandLine: Result<string, string> = await commandLineAsked;
  if (!started.ok) return unknownProgram(started.error);
  if (!before.ok) return unknownProgram(before.error);

  const proof = await provePath(before.value, userId, ways.file);
  const hash = await ways.hash?.({ process, userId, executable: before.value, pinned });

  const after = await readExecutable(process, pinned, userId, ways.kernelNumbersOf, before.value);
  if (!after.ok) return unknownProgram(after.error);
  const doubts = [proof, commandLine, hash ?? ok("")].flatMap((found) => (found.ok ? [] : [found.error]));
  return {
    path: proof.ok ? proof.value : undefined,
    sha256: hash?.ok ? hash.value : undefined,
    commandLine: (commandLine.ok ? commandLine : ok("")).value,
    doubts,
  };
}

/** Started with the rest, so that the process has had little time to move elsewhere. */
async function readCgroupPath(
  record: AuditRecord,
  pathOf: CgroupPathOf | undefined,
): Promise<{ readonly path: string | undefined; readonly doubts: readonly string[] }> {
  const found = await pathOf?.(record);
  if (found === undefined) return { path: undefined, doubts: [] };
  return found.ok ? { path: found.value, doubts: [] } : { path: undefined, doubts: [found.error] };
}

function unknownProgram(doubt: string): Program {
  return { path: undefined, sha256: undefined, commandLine: "", doubts: [doubt] };
}
