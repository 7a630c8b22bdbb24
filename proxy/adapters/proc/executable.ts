// Which program a process runs, as a path that the agent itself can see. The text of /proc/PID/exe is under the caller's
// control (mount namespaces, bind mounts, deleted files): it is only believed when it leads the agent to the same file.

import { closeSync, openSync, readlinkSync } from "node:fs";
import type { ExecutableId } from "../../core/request/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { isPinned, type KernelNumbersOf, sameNumbers } from "./inode.ts";
import type { Lane } from "./lane.ts";
import { type FileNumbers, numbersOf, O_CLOEXEC, O_PATH, openIfCached, openWaiting } from "./libc.ts";
import type { ProcessHandle } from "./process.ts";

/** The executable of a process that was found to be the pinned one. */
export interface RunningExecutable {
  readonly numbers: FileNumbers;
  /** What the kernel calls the file now; proves nothing by itself. Undefined when it is not valid UTF-8 or too long. */
  readonly text: string | undefined;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Opens /proc/PID/exe without querying its file system (O_PATH) and compares it with what the kernel pinned.
 * @param userId - whose share of `kernelNumbersOf` it takes
 * @param known - an earlier answer for the same process: its numbers are enough then
 */
export async function readExecutable(
  process: ProcessHandle,
  pinned: ExecutableId,
  userId: number,
  kernelNumbersOf: KernelNumbersOf,
  known?: RunningExecutable,
): Promise<Result<RunningExecutable, string>> {
  let descriptor: number;
  try {
    descriptor = openSync(`${process.folder}/exe`, O_PATH | O_CLOEXEC);
  } catch (cause) {
    const code = (cause as { readonly code?: unknown }).code;
    const gone = code === "ENOENT" || code === "ESRCH";
    return err(gone ? `process ${process.pid} has exited` : `cannot open the executable of process ${process.pid}: ${String(code)}`);
  }
  try {
    const numbers = numbersOf(descriptor);
    if (numbers === undefined) return err(`cannot read the executable of process ${process.pid}`);
    if (known !== undefined && sameNumbers(known.numbers, numbers)) return ok(known);
    if (!(await isPinned(descriptor, numbers, pinned, userId, kernelNumbersOf)))
      return err(`process ${process.pid} runs another program than when it connected`);
    // Read from the descriptor, not from the process: it names the file just compared even if the process execs now.
    return ok({ numbers, text: known === undefined ? linkText(descriptor) : known.text });
  } finally {
    closeSync(descriptor);
  }
}

function linkText(descriptor: number): string | undefined {
  try {
    return utf8.decode(readlinkSync(`/proc/self/fd/${descriptor}`, { encoding: "buffer" }));
  } catch {
    return undefined;
  }
}

/**
 * The path of the executable, if that path leads to the same file in the agent's own mount namespace. Symbolic links in it
 * are not followed: the kernel's text has none. A deleted file's text ends in " (deleted)" and so leads nowhere, unless a
 * file of exactly that name is a link to the same inode, and then the path is true.
 * @param userId - whose share of the lane it takes
 * @param lane - used when the kernel would have to query a file system or an automounter, which may hang
 */
export async function provePath(executable: RunningExecutable, userId: number, lane: Lane): Promise<Result<string, string>> {
  const { text } = executable;
  if (text === undefined) return err("the path of the executable is too long or not valid UTF-8");
  if (!text.startsWith("/")) return err(`the executable "${text}" has no path`);
  let opened: number | "would-wait" | "absent" = openIfCached(text);
  if (opened === "would-wait") {
    const waited = await lane.run<number | undefined>(
      userId,
      (done) => openWaiting(text, done),
      (late) => late !== undefined && closeSync(late),
    );
    if (!waited.ok) return err(`cannot look up "${text}": the file system does not answer`);
    opened = waited.value ?? "absent";
  }
  if (typeof opened !== "number") return err(`the executable "${text}" is not there in the agent's mount namespace`);
  try {
    const numbers = numbersOf(opened);
    const same = numbers !== undefined && sameNumbers(numbers, executable.numbers);
    return same ? ok(text) : err(`the executable "${text}" is another file in the agent's mount namespace`);
  } finally {
    closeSync(opened);
  }
}
