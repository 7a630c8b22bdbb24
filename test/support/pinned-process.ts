// Real processes and the record the kernel would have stored had they connected now, worked out from /proc by other means
// than the agent's. Everything started or created here ends with the scope that opened it.

import { chmodSync, closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Identify } from "../../proxy/core/ports.ts";
import type { AuditRecord, Caller } from "../../proxy/core/request/caller.ts";
import { until } from "./until.ts";

const O_PATH = 0o10000000;
const PATIENCE_MS = 30_000;
/** What {@link untilRuns} finds of a process that has ended. */
export const NOTHING = "nothing";

/** The record of a process as it is now. */
export function pinnedRecord(pid: number, change: Partial<AuditRecord> = {}): AuditRecord {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const startTicks = BigInt(stat.slice(stat.lastIndexOf(")")).split(" ")[20] ?? "0");
  const ids = (name: string) =>
    (new RegExp(`^${name}:\\s+(\\d+)\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? []).slice(1).map(Number);
  const [realUid = -1, effectiveUid] = ids("Uid");
  const [realGid = -1, effectiveGid] = ids("Gid");
  return {
    processId: pid,
    threadId: pid,
    realUid,
    realGid,
    effectiveUid,
    effectiveGid,
    comm: "chosen by caller",
    cgroupId: 1n,
    networkNamespaceCookie: 1n,
    socketCookie: 1n,
    startTimeNs: startTicks * 10_000_000n + 1_234_567n,
    executable: kernelFile(pid),
    destinationAddress: "169.254.169.254",
    destinationPort: 80,
    mapped: false,
    ...change,
  };
}

/** Inode and superblock device of a running executable, in the kernel's own numbers. */
function kernelFile(pid: number) {
  const descriptor = openSync(`/proc/${pid}/exe`, O_PATH);
  try {
    const lines = readFileSync(`/proc/self/fdinfo/${descriptor}`, "latin1")
      .split("\n")
      .map((line) => line.split("\t"));
    const value = (name: string) => lines.find(([key]) => key === name)?.[1] ?? "";
    const mounts = [`/proc/${pid}/mountinfo`, "/proc/self/mountinfo"].flatMap((path) => readFileSync(path, "latin1").split("\n"));
    const mount = mounts.map((line) => line.split(" ")).find(([id]) => id === value("mnt_id:"));
    // A memory file lies on a mount that no namespace lists; stat tells its device as it is.
    const [major, minor] = (mount?.[2] ?? "0:1").split(":").map(Number);
    return { device: (major ?? 0) * 2 ** 20 + (minor ?? 0), inode: BigInt(value("ino:")), inodeGeneration: 0 };
  } finally {
    closeSync(descriptor);
  }
}

export interface Workshop extends Disposable {
  readonly folder: string;
  /** A copy of /bin/sleep under this name. */
  program(name: string): string;
  /** Starts a program and waits until it is the running one. `executable` is the expected text of /proc/PID/exe. */
  start(command: readonly string[], executable?: string | Buffer): Promise<number>;
  /** Starts a program that reads its standard input before it goes on. */
  startGated(command: readonly string[], executable: string): Promise<{ readonly pid: number; readonly open: () => void }>;
  /** Ends a process started here and waits for its end. */
  end(pid: number): Promise<void>;
}

/** A folder for programs, and the processes started from it. */
export function openWorkshop(): Workshop {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "identify-")));
  chmodSync(folder, 0o755);
  const children = new Map<number, Bun.Subprocess<"pipe", "ignore", "inherit">>();
  const spawn = (command: readonly string[]) => {
    const child = Bun.spawn([...command], { stdin: "pipe", stdout: "ignore", stderr: "inherit", cwd: "/" });
    children.set(child.pid, child);
    return child;
  };
  return {
    folder,
    program(name) {
      const path = join(folder, name);
      copyFileSync(realpathSync("/bin/sleep"), path);
      chmodSync(path, 0o755);
      return path;
    },
    async start(command, executable = command[0] ?? "") {
      const child = spawn(command);
      await untilRuns(child.pid, executable);
      return child.pid;
    },
    async startGated(command, executable) {
      const child = spawn(command);
      await untilRuns(child.pid, executable);
      const open = () => {
        child.stdin.write("go\n");
        child.stdin.flush();
      };
      return { pid: child.pid, open };
    },
    async end(pid) {
      children.get(pid)?.kill("SIGKILL");
      await children.get(pid)?.exited;
    },
    [Symbol.dispose]() {
      for (const child of children.values()) child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Waits until a process runs a program, by the text of its /proc/PID/exe. */
export async function untilRuns(pid: number, executable: string | Buffer): Promise<void> {
  // Compared as bytes: a path need not be text.
  const want = (typeof executable === "string" ? Buffer.from(executable) : executable).toString("latin1");
  let found = "";
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await Bun.sleep(5)) {
    try {
      found = readlinkSync(`/proc/${pid}/exe`, { encoding: "buffer" }).toString("latin1");
    } catch {
      found = NOTHING;
    }
    // During execve(2) the executable is there before the arguments are.
    if (found === want && (found === NOTHING || readFileSync(`/proc/${pid}/cmdline`).length > 0)) return;
  }
  throw new Error(`process ${pid} runs "${found}", want "${want}"`);
}

/** What a caller is claimed to run, for short expectations. */
export function programOf(caller: Caller) {
  const { processFullPath, processName, processCmdLine } = caller.claims;
  return { path: processFullPath, name: processName, commandLine: processCmdLine, doubts: caller.doubts };
}

/** How the doubt ends about a command line that the kernel did not give within a tenth of a second, which a busy machine may bring about. */
export const LATE = "does not answer";

/** Asks again for as long as the machine is too busy for the limits. */
export async function identifyInTime(identify: Identify, ...asked: Parameters<Identify>): Promise<Caller> {
  let caller = await identify(...asked);
  await until("the command line is read in time", async () => {
    if (!caller.doubts.some((doubt) => doubt.endsWith(LATE))) return true;
    caller = await identify(...asked);
    return false;
  });
  return caller;
}
