// The rules engine's exports, as the canonical ABI of world `policy` wants them. scripts/build-policy.ts renames them to the
// names of wit/policy.wit. Nothing is imported: the only thing this module can do is answer.

import { settle, answer, isOutcome, DENY, SETTLED_BYTES } from "./arguments";
import { decide } from "./decide";
import { allocate, endCall } from "./memory";
import { checkTables, EMPTY, READY } from "./tables";

const VALIDATED: usize = memory.data(SETTLED_BYTES, 4);
const CONFIGURED: usize = memory.data(SETTLED_BYTES, 4);

export function cabi_realloc(old: usize, oldBytes: usize, align: usize, bytes: usize): usize {
  // INVARIANT: the tables are checked before the first allocation, which lays out what must not be overwritten.
  checkTables();
  if (bytes == 0) return align;
  const fresh = allocate(bytes, align);
  if (old != 0 && oldBytes != 0) memory.copy(fresh, old, oldBytes < bytes ? oldBytes : bytes);
  return fresh;
}

export function validate_settings(settings: usize, bytes: u32): usize {
  checkTables();
  return settle(VALIDATED, settingsError(bytes));
}

export function configure(settings: usize, bytes: u32): usize {
  const state = checkTables();
  if (state == EMPTY) return settle(CONFIGURED, "this component holds no rules");
  if (state != READY) return settle(CONFIGURED, "the rule tables are damaged");
  return settle(CONFIGURED, settingsError(bytes));
}

export function evaluate(args: usize): usize {
  const state = checkTables();
  if (state == EMPTY) return answer(DENY, "no-rules", 0, 0);
  if (state != READY) return answer(DENY, "tables-damaged", 0, 0);
  return decide(args);
}

// The three differ on purpose: equal functions would be folded into one, and the host glue made from this engine
// would then call that one for every export of a foreign module.

export function post_validate_settings(result: usize): void {
  if (result != VALIDATED) unreachable();
  endCall();
}

export function post_configure(result: usize): void {
  if (result != CONFIGURED) unreachable();
  endCall();
}

export function post_evaluate(result: usize): void {
  if (!isOutcome(result)) unreachable();
  endCall();
}

function settingsError(bytes: u32): string {
  return bytes == 0 ? "" : "the rules component takes no settings";
}
