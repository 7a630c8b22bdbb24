// Takes over from the previous instance and leaves the redirect to the next: one agent at a time, the listening socket inherited with
// socket activation, and no connection accepted before it can be answered.

import { hasPins, openPinFolder } from "../../adapters/ebpf/pins.ts";
import { lockFolder } from "../../adapters/service/instance-lock.ts";
import { type OpenSocket, openOwnSocket, takeInheritedSocket } from "../../adapters/service/listening-socket.ts";
import { openKeyStore } from "../../adapters/storage/key-store.ts";
import type { Log } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { RedirectSwitch } from "./redirect.ts";

/** How long connections wait for the first word of the host after a takeover; then they are answered 503. */
export const WARM_START_MS = 3_000;
/** Redirected connects may still be between the kernel's hook and our queue when the redirect is taken off. */
const LAST_ARRIVALS_MS = 50;

/** Refuses when another agent uses the same folders: it would drop that one's keys and take its callers' records. */
export function lockInstance(keyFolder: string, pinFolder: string, log: Log): Result<void, string> {
  // Both make the folder, with the right owner and mode.
  const keys = openKeyStore(keyFolder);
  if (!keys.ok) log.warn("instance-not-locked", { message: keys.error.message });
  const pinned = pinFolder !== "" && openPinFolder(pinFolder).ok;
  for (const path of [...(keys.ok ? [keyFolder] : []), ...(pinned ? [pinFolder] : [])]) {
    const locked = lockFolder(path);
    if (locked.ok) continue;
    if (locked.error.kind === "held") return err(locked.error.message);
    log.warn("instance-not-locked", { message: locked.error.message });
  }
  return ok(undefined);
}

export function openDoor(environment: Record<string, string | undefined>, address: string, port: number): Result<OpenSocket, string> {
  const inherited = takeInheritedSocket(environment, process.pid, address, port);
  if (!inherited.ok) return err(inherited.error.message);
  if (inherited.value !== undefined) return ok(inherited.value);
  const own = openOwnSocket(address, port);
  return own.ok ? own : err(own.error.message);
}

/** Resolves when the work is done or the time is up, whichever comes first. */
export async function settledWithin(work: Promise<unknown>, limitMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  void work.finally(resolve);
  await promise;
  clearTimeout(timer);
}

/** Whether a stop leaves the redirect to a successor: only when connections have somewhere to wait and the kernel keeps it. */
export function staysForSuccessor(socket: OpenSocket, notPinned: string | undefined): boolean {
  return socket.inherited && notPinned === undefined;
}

/** Lets new connects go their direct way; those that are under way still arrive. */
export async function letGo(redirect: Pick<RedirectSwitch, "release">): Promise<void> {
  redirect.release();
  await Bun.sleep(LAST_ARRIVALS_MS);
}

/** Whether a previous instance's redirect is active without an agent: its endpoints are unreachable until one starts. */
export function isRedirectLeft(pinFolder: string): boolean {
  return pinFolder !== "" && hasPins(pinFolder);
}
