// A log file that rotates: at its size limit it is renamed and a new one begun, and only so many are kept. Everything happens in the
// background. An error (full disk, removed folder, another user's file in its place) loses lines, is reported once, and is retried.

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { distrustOwner, TRUSTED } from "../../core/file-trust.ts";
import { describeError } from "../../core/thrown.ts";
import { type LineSink, makeBackgroundSink } from "./sink.ts";

export interface RollingFileOptions {
  readonly folder: string;
  /** Of the file, without ".log". */
  readonly name: string;
  /** The user id that folder and file must belong to. */
  readonly owner: number;
  readonly maxBytes?: number;
  /** The one that is written to included. */
  readonly maxFiles?: number;
  readonly now: () => Date;
  readonly renderLost: (count: number) => string;
  /** Called when an error begins, changes or (undefined) ends. */
  readonly onTrouble: (message: string | undefined) => void;
}

export interface RollingFile extends LineSink, AsyncDisposable {
  /** The next line goes into whatever file then has the name: for programs that rename log files from outside. */
  reopen(): void;
}

const MAX_FILE_BYTES = 10 * 1024 * 1024;
const MAX_FILES = 5;
const MAX_QUEUED_BYTES = 2 * 1024 * 1024;
/** After an error, before the next try. */
const RETRY_MS = 10_000;
/** How often to check whether the name still leads to the open file. */
const LOOK_MS = 5_000;
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;

interface OpenFile {
  readonly handle: FileHandle;
  readonly device: number;
  readonly inode: number;
  bytes: number;
}

export function openRollingFile(options: RollingFileOptions): RollingFile {
  const { folder, name, owner, now, onTrouble, maxBytes = MAX_FILE_BYTES, maxFiles = MAX_FILES } = options;
  const fileName = `${name}.log`;
  const rolledName = new RegExp(`^${name.replaceAll(".", "\\.")}\\.[0-9][0-9A-Za-z.:_-]*\\.log$`);
  let file: OpenFile | undefined;
  let reopening = false;
  let trouble: string | undefined;
  let retryMs = 0;
  let lookedMs = 0;

  async function writeOut(bytes: Buffer): Promise<boolean> {
    const nowMs = now().getTime();
    // A clock that was set back must not make it wait for long.
    if (trouble !== undefined && nowMs < retryMs && retryMs - nowMs <= RETRY_MS) return false;
    try {
      const target = await fileFor(bytes.length, nowMs);
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await target.handle.write(bytes, done, bytes.length - done);
        done += bytesWritten;
        target.bytes += bytesWritten;
      }
      reportError(undefined);
      return true;
    } catch (error) {
      retryMs = nowMs + RETRY_MS;
      await close();
      reportError(`cannot write log file "${join(folder, fileName)}": ${describeError(error)}`);
      return false;
    }
  }

  /** The open file with room for so many bytes more. */
  async function fileFor(moreBytes: number, nowMs: number): Promise<OpenFile> {
    if (reopening || (file !== undefined && (nowMs - lookedMs >= LOOK_MS || nowMs < lookedMs) && !(await isInPlace(file)))) await close();
    reopening = false;
    lookedMs = nowMs;
    file ??= await openIn(folder, fileName, owner);
    if (file.bytes === 0 || file.bytes + moreBytes <= maxBytes) return file;
    await close();
    await roll();
    file = await openIn(folder, fileName, owner);
    return file;
  }

  async function isInPlace({ device, inode }: OpenFile): Promise<boolean> {
    const found = await stat(join(folder, fileName)).catch(() => undefined);
    return found?.dev === device && found.ino === inode;
  }

  async function roll(): Promise<void> {
    await using checked = await openFolder(folder, owner);
    const time = now().toISOString().slice(0, -1).replaceAll(":", ".");
    const nanos = String(now().getMilliseconds() * 1_000_000).padStart(9, "0");
    await rename(checked.below(fileName), checked.below(`${name}.${time}-${nanos}.log`));
    const rolled = (await readdir(checked.below("."))).filter((each) => rolledName.test(each)).sort();
    for (const old of rolled.slice(0, Math.max(0, rolled.length - maxFiles + 1))) await unlink(checked.below(old));
  }

  async function close(): Promise<void> {
    const closing = file;
    file = undefined;
    await closing?.handle.close().catch(() => undefined);
  }

  function reportError(message: string | undefined): void {
    if (message === trouble) return;
    trouble = message;
    onTrouble(message);
  }

  const sink = makeBackgroundSink(writeOut, options.renderLost, MAX_QUEUED_BYTES);
  return {
    ...sink,
    async [Symbol.asyncDispose]() {
      await sink.flush();
      await close();
    },
    reopen() {
      reopening = true;
      retryMs = 0;
    },
  };
}

interface CheckedFolder extends AsyncDisposable {
  /** A path that leads below the folder that was checked, whatever its own path leads to by now. */
  below(name: string): string;
}

async function openFolder(path: string, owner: number): Promise<CheckedFolder> {
  await mkdir(path, { recursive: true, mode: FOLDER_MODE });
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const trouble = distrustOwner(await handle.stat(), owner, TRUSTED);
  if (trouble !== undefined) {
    await handle.close();
    throw new Error(`the folder's ${trouble}`);
  }
  return { below: (name) => `/proc/self/fd/${handle.fd}/${name}`, [Symbol.asyncDispose]: () => handle.close() };
}

/** Opens the file to append to it. A link, a pipe or another user's file in its place is refused. */
async function openIn(folder: string, name: string, owner: number): Promise<OpenFile> {
  await using checked = await openFolder(folder, owner);
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  // A pipe without a reader must not hold the open.
  const handle = await open(checked.below(name), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, FILE_MODE);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new Error("found something else, want a regular file");
    if (found.uid !== owner) throw new Error(`owner is uid ${found.uid}, want ${owner}`);
    if (found.nlink !== 1) throw new Error(`found ${found.nlink} links to the file, want 1`);
    // One that another agent left may be open to everybody.
    if ((found.mode & 0o777 & ~FILE_MODE) !== 0) await handle.chmod(FILE_MODE);
    return { handle, device: found.dev, inode: found.ino, bytes: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
