// Takes off what agents left in effect: for when no agent will come, at stop and at removal. Works without knowing what exactly is
// there, as often as one likes, and without libbpf: then unpinning alone ends it, for nobody else holds it.

import { closeSync, existsSync, lstatSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { RedirectorError } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { KernelObjects } from "./kernel-objects.ts";
import { PROGRAMS } from "./layout.ts";
import { Libbpf } from "./libbpf.ts";
import { linkPin, removeOthers } from "./pins.ts";

/** @returns whether there was anything; the redirect is off before the rest goes */
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
