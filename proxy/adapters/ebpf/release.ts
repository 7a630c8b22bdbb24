// Takes off what agents left in effect: for when no agent will come, at stop and at removal. Works without knowing what exactly is
// there, as often as one likes. Says that the redirect is off only when the kernel, asked afterwards, has nothing of it any more.

import { closeSync, existsSync, lstatSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { openCgroup } from "./cgroup.ts";
import { findElsewhere, gatherElsewhere, type Scope, takeOffElsewhere } from "./elsewhere.ts";
import { KernelObjects } from "./kernel-objects.ts";
import { PROGRAMS } from "./layout.ts";
import { Libbpf } from "./libbpf.ts";
import { linkPin, openPinFolder, pinnedLinks, removeOthers } from "./pins.ts";

export interface ReleaseOptions {
  /** Empty: the config wants no pins. */
  readonly pinFolder: string;
  /** Undefined: cgroup2 is not mounted. */
  readonly cgroupPath: string | undefined;
  readonly listenerPort: number;
}

/**
 * Takes the redirect off, wherever it is pinned and whatever holds it, and proves that it is off.
 * @returns whether there was anything
 */
export function releaseRedirect(options: ReleaseOptions): Result<boolean, RedirectorError> {
  const pins: Result<boolean, RedirectorError> = options.pinFolder === "" ? ok(false) : releasePins(options.pinFolder);
  // Off first, complaints later: what is not pinned where it should be is taken off even if a folder cannot be emptied.
  const rest = withKernel(options, (libbpf, kernel, scope) => {
    const taken = takeOffElsewhere(libbpf, kernel, scope, new Set());
    if (!taken.ok) return taken;
    const left = findElsewhere(libbpf, kernel, scope, new Set());
    if (!left.ok) return left;
    const names = left.value.flatMap(({ attachments }) => attachments.map(({ name, programId }) => `${name} (id ${programId})`));
    if (names.length === 0) return ok(taken.value.off.length > 0);
    return err<RedirectorError>({ kind: "attach-failed", message: `cannot take the redirect off: still in effect: ${names.join(", ")}` });
  });
  if (!rest.ok)
    return rest.error.kind === "attach-failed"
      ? rest
      : err({ ...rest.error, message: `cannot prove that the redirect is off: ${rest.error.message}` });
  return pins.ok ? ok(pins.value || rest.value) : pins;
}

/**
 * For between two agents: brings what is in effect elsewhere into the pin folder, where the next agent takes it over; where there is
 * no pin folder it is taken off.
 */
export function gatherRedirect(options: ReleaseOptions): Result<boolean, RedirectorError> {
  const { pinFolder } = options;
  if (pinFolder === "" || !openPinFolder(pinFolder).ok) return releaseRedirect({ ...options, pinFolder: "" });
  return withKernel(options, (libbpf, kernel, scope) => gatherElsewhere(libbpf, kernel, scope, pinFolder, pinnedLinks(kernel, pinFolder)));
}

function withKernel<Value>(
  { cgroupPath, listenerPort }: ReleaseOptions,
  act: (libbpf: Libbpf, kernel: KernelObjects, scope: Scope) => Result<Value, RedirectorError>,
): Result<Value, RedirectorError> {
  const libbpf = Libbpf.open();
  if (!libbpf.ok) return libbpf;
  const kernel = KernelObjects.open(libbpf.value);
  if (!kernel.ok) return kernel;
  const cgroup = cgroupPath === undefined ? undefined : openCgroup(cgroupPath);
  const cgroupFd = cgroup?.ok === true ? cgroup.value : undefined;
  try {
    return act(libbpf.value, kernel.value, { cgroupFd, listenerPort });
  } finally {
    if (cgroupFd !== undefined) closeSync(cgroupFd);
  }
}

/** Empties the pin folder alone. @returns whether there was anything; the redirect is off before the rest goes */
export function releasePins(pinFolder: string): Result<boolean, RedirectorError> {
  const there = lstatSync(pinFolder, { throwIfNoEntry: false });
  if (there === undefined) return ok(false);
  if (!there.isDirectory() || there.uid !== process.geteuid?.())
    return err({ kind: "pin-failed", message: `cannot release "${pinFolder}": it is not a folder of root's, so no agent made it` });
  const folders = readdirSync(pinFolder);
  const libbpf = Libbpf.open();
  const kernel = libbpf.ok ? KernelObjects.open(libbpf.value) : libbpf;
  if (kernel.ok) for (const { name } of [...PROGRAMS].reverse()) detachEverywhere(kernel.value, pinFolder, folders, linkPin(name));
  const clean = removeOthers(pinFolder, undefined);
  try {
    rmdirSync(pinFolder);
  } catch {
    // Under systemd it is a mount of its own in the service's namespace. Empty it does no harm.
  }
  return clean && listed(pinFolder).length === 0
    ? ok(folders.length > 0)
    : err({ kind: "pin-failed", message: `cannot unpin everything below "${pinFolder}"` });
}

function listed(path: string): readonly string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

function detachEverywhere(kernel: KernelObjects, pinFolder: string, folders: readonly string[], pin: string): void {
  for (const folder of folders) {
    const fd = kernel.openPin(join(pinFolder, folder, pin), "link");
    if (fd === undefined) continue;
    kernel.detach(fd);
    closeSync(fd);
  }
}
