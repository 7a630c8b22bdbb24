// HTTP on a Unix socket in a folder that only root may write to. A dead process's socket is replaced; anything else in its
// place, and a folder that others may write to, is refused: a user who can place a socket there could answer in our name.

import { randomBytes } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { distrustOwner, TRUSTED } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";

export interface UnixServer {
  /** Answers no more and takes the socket away. */
  stop(): Promise<void>;
}

export interface SocketPlace {
  readonly path: string;
  /** Who may connect: the owner, or its group as well. */
  readonly mode: 0o600 | 0o660;
  /** For error texts: `cannot serve ${what} on "${path}": …`. */
  readonly what: string;
}

/** Longer than any live process takes to accept on its own socket. */
const PROBE_LIMIT_MS = 1_000;
/** sun_path holds this many bytes and a zero; a longer path would be cut and end up elsewhere. */
const MAX_PATH_BYTES = 107;

export async function serveUnixSocket(
  { path, mode, what }: SocketPlace,
  answer: (request: Request) => Response | Promise<Response>,
): Promise<Result<UnixServer, string>> {
  const refused = (words: string) => err(`cannot serve ${what} on "${path}": ${words}`);
  // Created under a temporary name with its final mode and renamed: no other user can connect at any moment, and stopping an old server,
  // which removes the name it was made under, never removes a newer instance's socket.
  const made = join(dirname(path), `.${randomBytes(4).toString("hex")}`);
  const longest = Math.max(Buffer.byteLength(path), Buffer.byteLength(made));
  if (longest > MAX_PATH_BYTES) return refused(`found ${longest} bytes of path, want at most ${MAX_PATH_BYTES}`);
  try {
    const trouble = makeFolder(dirname(path)) ?? (await clearPlace(path));
    if (trouble !== undefined) return refused(trouble);
    const umask = process.umask(0o177);
    let server: ReturnType<typeof Bun.serve>;
    try {
      server = Bun.serve({ unix: made, fetch: answer, error: () => new Response(null, { status: 500 }) });
    } finally {
      process.umask(umask);
    }
    chmodSync(made, mode);
    renameSync(made, path);
    const { ino } = lstatSync(path);
    return ok({
      stop: async () => {
        await server.stop(true);
        removeOwn(path, ino);
      },
    });
  } catch (error) {
    return refused(describeError(error));
  }
}

/** Makes the folder when it is missing, or says why it cannot be trusted. */
function makeFolder(folder: string): string | undefined {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const stat = lstatSync(folder);
  if (!stat.isDirectory()) return `found no directory at "${folder}"`;
  const trouble = distrustOwner(stat, stat.uid === process.geteuid?.() ? stat.uid : 0, TRUSTED);
  return trouble === undefined ? undefined : `the folder's ${trouble}`;
}

/** Allows a socket without a listener to be replaced, or reports what is in the way. */
async function clearPlace(path: string): Promise<string | undefined> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isSocket()) return "found something else there, want a socket or nothing";
  if (await isAnswered(path)) return "another process listens there";
  return undefined;
}

function isAnswered(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  // No answer in time counts as a listener: a live socket is never removed.
  const timer = setTimeout(() => resolve(true), PROBE_LIMIT_MS);
  socket.once("connect", () => resolve(true));
  socket.once("error", (error) => resolve(!("code" in error && (error.code === "ECONNREFUSED" || error.code === "ENOENT"))));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

/** A successor may have its own socket there by now. */
function removeOwn(path: string, inode: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
}
