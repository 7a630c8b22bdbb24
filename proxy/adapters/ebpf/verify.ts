// Looks whether everything is still in effect as it was put, and puts right what is not: links, programs, pins, guarded endpoints,
// settings. Root can undo any of it by hand or by mistake; the agent must notice. Cheap: some twenty system calls.

import { closeSync } from "node:fs";
import { join } from "node:path";
import type { RedirectFault } from "../../core/ports.ts";
import { ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import type { Attachment } from "./attachment.ts";
import { takeOffElsewhere } from "./elsewhere.ts";
import { readGuarded, writeGuarded } from "./guarded.ts";
import { beginsRedirect, MAP_NAMES, PROGRAMS, type ProgramName, SETTINGS_BYTES } from "./layout.ts";
import { isOwnProgram } from "./own-objects.ts";
import { linkPin, mapPin, openPinFolder, repin } from "./pins.ts";
import { readSettings, writeSettings } from "./settings.ts";

/** @param pinned - whether pins are to be looked at */
export function verifyAttachment(at: Attachment, wanted: ReadonlySet<Endpoint>, pinFolder: string, pinned: boolean): RedirectFault[] {
  return [
    ...PROGRAMS.flatMap(({ name, attachType }) => verifyProgram(at, name, attachType)),
    ...verifySettings(at),
    ...verifyGuarded(at, wanted),
    ...verifyAlone(at),
    ...(pinned ? verifyPins(at, pinFolder) : []),
  ];
}

function verifyProgram(at: Attachment, name: ProgramName, attachType: number): RedirectFault[] {
  const { kernel, links } = at;
  const program = at.programs.get(name);
  const link = links.get(name);
  const programId = program === undefined ? undefined : kernel.programId(program);
  if (program === undefined || link === undefined || programId === undefined)
    return [{ what: `program "${name}" cannot be asked about`, repaired: false }];
  const what = `eBPF program "${name}" to cgroup "${at.cgroupPath}"`;
  const info = kernel.linkInfo(link);
  const faults: RedirectFault[] = [];
  if (info?.cgroupId !== at.cgroupId) {
    const made = kernel.attach(program, at.cgroupFd, attachType, what);
    if (made.ok) {
      links.set(name, made.value);
      closeSync(link);
    }
    faults.push({ what: `program "${name}" was detached from the cgroup`, repaired: made.ok });
  } else if (info.programId !== programId) {
    const replaced = kernel.replaceProgram(link, program, what);
    faults.push({ what: `program "${name}" was replaced by another`, repaired: replaced.ok });
  }
  const effective = kernel.effectivePrograms(at.cgroupFd, attachType);
  if (!effective.ok) faults.push({ what: effective.error.message, repaired: false });
  else if (!effective.value.includes(programId)) faults.push({ what: `program "${name}" is attached but not in effect`, repaired: false });
  return faults;
}

/** Programs of another agent of this product that redirect, too: its connects and ours would end at a listener that has no record. */
function verifyAlone(at: Attachment): RedirectFault[] {
  const { kernel, libbpf, cgroupFd, links, listenerPort } = at;
  const own = new Set([...at.programs.values()].flatMap((fd) => kernel.programId(fd) ?? []));
  const others = PROGRAMS.filter(({ name }) => beginsRedirect(name)).flatMap(({ attachType }) => {
    const effective = kernel.effectivePrograms(cgroupFd, attachType);
    return effective.ok ? effective.value.filter((id) => !own.has(id)) : [];
  });
  const found = others.filter((id) => isOwnProgram(kernel, id));
  if (found.length === 0) return [];
  const fds = [...links.values(), ...at.ancestors.flatMap((ancestor) => ancestor.links)];
  const known = new Set(fds.flatMap((fd) => kernel.linkInfo(fd)?.id ?? []));
  const taken = takeOffElsewhere(libbpf, kernel, { cgroupFd, listenerPort }, known);
  const repaired = taken.ok && taken.value.left.length === 0 && taken.value.off.length > 0;
  const reason = taken.ok ? "" : `: ${taken.error.message}`;
  return [{ what: `programs of another azure-proxy-agent (id ${found.join(", ")}) redirect, too${reason}`, repaired }];
}

function verifySettings(at: Attachment): RedirectFault[] {
  const found = new Uint8Array(SETTINGS_BYTES);
  const read = readSettings(at.libbpf, at.maps, found);
  if (read.ok && Buffer.from(found).equals(at.learned.bytes)) return [];
  const written = writeSettings(at.libbpf, at.maps, at.learned.bytes);
  return [{ what: "the settings of the programs were changed", repaired: written.ok }];
}

function verifyGuarded(at: Attachment, wanted: ReadonlySet<Endpoint>): RedirectFault[] {
  const { endpoints, strange } = readGuarded(at.kernel, at.maps.guarded);
  const faults: RedirectFault[] = [];
  for (const endpoint of ENDPOINTS) {
    if (endpoints.has(endpoint) === wanted.has(endpoint)) continue;
    const written = writeGuarded(at.libbpf, at.maps.guarded, endpoint, wanted.has(endpoint));
    const how = wanted.has(endpoint) ? "was no longer guarded" : "was guarded by somebody else";
    faults.push({ what: `endpoint "${endpoint}" ${how}`, repaired: written.ok });
  }
  for (const key of strange) {
    const removed = at.libbpf.remove(at.maps.guarded, key, "a guarded endpoint that is none of ours");
    faults.push({ what: "an endpoint that is none of ours was guarded", repaired: removed.ok });
  }
  return faults;
}

/** @returns what is missing or somebody else's; all of it is pinned anew where that is possible */
export function verifyPins(at: Attachment, pinFolder: string): RedirectFault[] {
  const folder = openPinFolder(pinFolder);
  if (!folder.ok) return [{ what: folder.error.message, repaired: false }];
  const faults: RedirectFault[] = [];
  const check = (pin: string, kind: "map" | "link", fd: number) => {
    const path = join(at.place, pin);
    if (pinnedId(at, path, kind) === idOf(at, fd, kind)) return;
    const pinned = repin(at.kernel, path, fd);
    faults.push({ what: pinned.ok ? `pin "${path}" was gone or another's` : pinned.error.message, repaired: pinned.ok });
  };
  for (const name of MAP_NAMES) check(mapPin(name), "map", at.maps[name]);
  for (const [name, fd] of at.links) check(linkPin(name), "link", fd);
  return faults;
}

function pinnedId(at: Attachment, path: string, kind: "map" | "link"): number | undefined {
  const fd = at.kernel.openPin(path, kind);
  if (fd === undefined) return undefined;
  const id = idOf(at, fd, kind);
  closeSync(fd);
  return id;
}

function idOf({ kernel }: Attachment, fd: number, kind: "map" | "link"): number | undefined {
  return kind === "map" ? kernel.mapInfo(fd)?.id : kernel.linkInfo(fd)?.id;
}
