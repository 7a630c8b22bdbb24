// From the kernel's record of a connection to what we claim about its caller. The record alone says who asked; /proc and
// the account database only put names to it, and only where they can be shown to speak of the same process and file.
// Nothing is allowed or refused here: what is not proven stays unknown, with the reason in words.

import type { AuditRecord, Caller, Claims } from "../../core/caller.ts";
import type { Identify } from "../../core/ports.ts";
import { ok, type Result } from "../../core/result.ts";
import { type AccountOf, makeAccounts } from "./accounts.ts";
import { type CgroupPathOf, makeCgroupPaths } from "./cgroup-path.ts";
import { readCommandLine } from "./command-line.ts";
import { provePath, readExecutable } from "./executable.ts";
import { type HashExecutable, makeExecutableHashes } from "./executable-hash.ts";
import { type Lane, makeLane } from "./lane.ts";
import { openAccountDatabase } from "./nss.ts";
import { checkStartTime, openProcess } from "./process.ts";

export interface IdentifyOptions {
  /** Process id of the agent as the kernel's programs see it: another one than its own means a pid namespace in between. */
  readonly kernelProcessId: number;
  /** Process id of the agent as it sees itself. Default `process.pid`. */
  readonly ownProcessId?: number;
  /** Account name and groups of a user id. Default: this machine's account database, with a cache. */
  readonly accountOf?: AccountOf;
  /** Where the root of the cgroup2 hierarchy is mounted. Without it no caller has a cgroup path. */
  readonly cgroupRoot?: string;
  /** Whether the policies in force look at the content of executables; asked for each connection. Default: they do not. */
  readonly wantsExecutableHash?: () => boolean;
}

/** What hangs here costs a command line in a log: no request waits long for that. */
const COMMAND_LINE_LANE = { places: 2, limitMs: 100, maxWaiting: 4096 };
const PATH_LANE = { places: 1, limitMs: 2_000, maxWaiting: 256 };

interface Program {
  readonly path: string | undefined;
  readonly sha256: string | undefined;
  readonly commandLine: string;
  readonly doubts: readonly string[];
}

interface Ways {
  readonly commandLine: Lane;
  readonly path: Lane;
  readonly hash: HashExecutable | undefined;
}

/** Builds the port. One caller costs some twenty short system calls and one hop to a helper thread. */
export function makeIdentify(options: IdentifyOptions): Identify {
  const ownProcessId = options.ownProcessId ?? process.pid;
  const accountOf = options.accountOf ?? makeAccounts({ database: openAccountDatabase(), nowMs: () => performance.now() });
  const lanes = { commandLine: makeLane(COMMAND_LINE_LANE), path: makeLane(PATH_LANE) };
  const hash = makeExecutableHashes({ nowMs: Date.now });
  const wantsHash = options.wantsExecutableHash ?? (() => false);
  const cgroupPathOf = options.cgroupRoot === undefined ? undefined : makeCgroupPaths(options.cgroupRoot);
  const foreign =
    options.kernelProcessId === ownProcessId
      ? undefined
      : `the agent runs in a pid namespace: it is process ${ownProcessId} to itself and ${options.kernelProcessId} to the kernel`;

  return async (record, endpoint, peer): Promise<Caller> => {
    // Started first: the account database may take its time while the process is looked at.
    const asked = accountOf(record.realUid);
    const cgroup = readCgroupPath(record, cgroupPathOf);
    const ways = { ...lanes, hash: wantsHash() ? hash : undefined };
    const program = foreign === undefined ? await readProgram(record, ways) : unknownProgram(foreign);
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
    return { endpoint, claims, record, doubts: [...program.doubts, ...cgroup.doubts, ...account.doubts] };
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
async function readProgram(record: AuditRecord, ways: Ways): Promise<Program> {
  const { startTimeNs, executable: pinned } = record;
  if (startTimeNs === undefined || pinned === undefined) {
    return unknownProgram("the kernel has no BTF: start time and executable were not recorded at connect");
  }
  const held = openProcess(record.processId);
  if (!held.ok) return unknownProgram(held.error);
  using process = held.value;
  // Checked once: the held process cannot turn into another, only end.
  const started = checkStartTime(process, startTimeNs);
  if (!started.ok) return unknownProgram(started.error);
  const before = readExecutable(process, pinned);
  if (!before.ok) return unknownProgram(before.error);

  const proof = await provePath(before.value, ways.path);
  const commandLine: Result<string, string> = await readCommandLine(process, ways.commandLine);
  const hash = await ways.hash?.({ process, executable: before.value, pinned, reachable: proof.ok });

  const after = readExecutable(process, pinned, before.value);
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
function readCgroupPath(
  { cgroupId, processId, threadId }: AuditRecord,
  pathOf: CgroupPathOf | undefined,
): { readonly path: string | undefined; readonly doubts: readonly string[] } {
  const found = pathOf?.(cgroupId, processId, threadId);
  if (found === undefined) return { path: undefined, doubts: [] };
  return found.ok ? { path: found.value, doubts: [] } : { path: undefined, doubts: [found.error] };
}

function unknownProgram(doubt: string): Program {
  return { path: undefined, sha256: undefined, commandLine: "", doubts: [doubt] };
}
