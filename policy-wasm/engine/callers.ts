// Which of the rule set's identities a caller is. An identity names at least one selector and the caller must fit all it
// names; a claim that is unknown (absent) fits none.

import { allocate } from "./memory";
import * as A from "./arguments";
import { markCgroup } from "./cgroups";
import * as L from "./layout";
import * as T from "./tables";

let selectors: u32 = 0;

/** Collects the caller's identities in scratch space and returns how many there are. */
export function findIdentities(args: usize, generation: u32): u32 {
  selectors = 0;
  markOption(L.SCOPE_USERS, args + A.CALLER_USER_NAME, generation);
  markOption(L.SCOPE_PROCESSES, args + A.CALLER_PROCESS_NAME, generation);
  markExecutable(args + A.CALLER_EXECUTABLE_PATH, generation);
  markOption(L.SCOPE_HASHES, args + A.CALLER_EXECUTABLE_SHA256, generation);
  const cgroup = args + A.CALLER_CGROUP_PATH;
  if (load<u8>(cgroup) == 1) markCgroup(load<u32>(cgroup, 4), load<u32>(cgroup, 8), generation);
  const groups = <usize>load<u32>(args + A.CALLER_USER_GROUPS);
  const groupCount = load<u32>(args + A.CALLER_USER_GROUPS, 4);
  for (let i: u32 = 0; i < groupCount; i++) {
    const group = groups + <usize>i * A.STRING_BYTES;
    mark(L.SCOPE_GROUPS, load<u32>(group), load<u32>(group, 4), generation);
  }
  let found: u32 = 0;
  for (let i: u32 = 0; i < selectors; i++) {
    const list = T.row(L.S_SELECTORS, load<u32>(T.foundSelectorSlot(i)), 8);
    const first = load<u32>(list);
    const size = load<u32>(list, 4);
    for (let k: u32 = 0; k < size; k++) {
      const identity = load<u32>(T.row(L.S_IDENTITY_LISTS, first + k, 4));
      if (fits(identity, generation)) store<u32>(T.foundIdentitySlot(found++), identity);
    }
  }
  return found;
}

function fits(identity: u32, generation: u32): bool {
  const wanted = T.row(L.S_IDENTITIES, identity, L.IDENTITY_BYTES);
  let named = false;
  for (let i: usize = 0; i < L.IDENTITY_SELECTORS; i++) {
    const selector = load<u32>(wanted + i * 4);
    if (selector == 0) continue;
    named = true;
    if (load<u32>(T.selectorStamp(selector - 1)) != generation) return false;
  }
  return named;
}

/** option<string>: a flag byte, then the string. */
function markOption(scope: u32, option: usize, generation: u32): void {
  if (load<u8>(option) == 1) mark(scope, load<u32>(option, 4), load<u32>(option, 8), generation);
}

function mark(scope: u32, text: usize, bytes: u32, generation: u32): void {
  markFound(T.findText(T.count(L.S_NODES) + scope, text, bytes), generation);
}

/** Notes that the caller fits this selector, once. */
export function markFound(selector: u32, generation: u32): void {
  if (selector == L.NONE) return;
  const stamp = T.selectorStamp(selector);
  if (load<u32>(stamp) == generation) return;
  store<u32>(stamp, generation);
  store<u32>(T.foundSelectorSlot(selectors++), selector);
}

/** Executables are equal by path components: repeated slashes, `.` and a trailing slash do not count, `..` is kept. */
function markExecutable(option: usize, generation: u32): void {
  if (load<u8>(option) != 1) return;
  const raw = <usize>load<u32>(option, 4);
  const bytes = <usize>load<u32>(option, 8);
  const clean = allocate(bytes + 1, 1);
  let length: usize = 0;
  let at: usize = 0;
  if (bytes > 0 && load<u8>(raw) == 0x2f) store<u8>(clean + length++, 0x2f);
  while (at < bytes) {
    let end = at;
    while (end < bytes && load<u8>(raw + end) != 0x2f) end++;
    const part = end - at;
    if (part > 1 || (part == 1 && load<u8>(raw + at) != 0x2e)) {
      if (length > 0 && load<u8>(clean + length - 1) != 0x2f) store<u8>(clean + length++, 0x2f);
      memory.copy(clean + length, raw + at, part);
      length += part;
    }
    at = end + 1;
  }
  mark(L.SCOPE_EXECUTABLES, clean, <u32>length, generation);
}
