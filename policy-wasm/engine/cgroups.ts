// Which cgroup and unit selectors a caller's cgroup fits. A cgroup selector fits that cgroup and all below it. A unit selector
// fits the unit that the system's own service manager put the caller into, or a slice around it, and nothing further down: below
// a unit the path may be made by another user (a user's own service manager, a container), who can choose any names.

import { markFound } from "./callers";
import * as L from "./layout";
import * as T from "./tables";

const SLASH: u8 = 0x2f;
const DOT: u8 = 0x2e;

/** A path with an empty segment, `.` or `..` fits nothing from there on; one without a leading slash fits nothing. */
export function markCgroup(path: usize, bytes: u32, generation: u32): void {
  const scope = T.count(L.S_NODES) + L.SCOPE_CGROUPS;
  let hash = T.startHash(scope);
  let inSlices = true;
  let at: u32 = 0;
  while (at < bytes) {
    if (load<u8>(path + at) != SLASH) return;
    const first = at + 1;
    let end = first;
    while (end < bytes && load<u8>(path + end) != SLASH) end++;
    const segment = path + <usize>first;
    const length = end - first;
    if (length == 0 || isDots(segment, length)) return;
    for (let i = at; i < end; i++) hash = T.hashByte(hash, load<u8>(path + i));
    markFound(T.findHashed(hash, scope, path, end), generation);
    if (inSlices) {
      markFound(T.findText(T.count(L.S_NODES) + L.SCOPE_UNITS, segment, length), generation);
      inSlices = isSlice(segment, length);
    }
    at = end;
  }
}

function isDots(segment: usize, bytes: u32): bool {
  return bytes <= 2 && load<u8>(segment) == DOT && load<u8>(segment + bytes - 1) == DOT;
}

/** Ends in ".slice": a node of the manager's own tree, in which only it makes cgroups. */
function isSlice(segment: usize, bytes: u32): bool {
  if (bytes <= 6) return false;
  const tail = segment + bytes - 6;
  return load<u32>(tail) == 0x696c732e && load<u16>(tail, 4) == 0x6563;
}
