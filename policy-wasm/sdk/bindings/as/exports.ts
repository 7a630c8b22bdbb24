// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// Entry of the module: what the host calls, in the canonical ABI. `azure-proxy-agent module componentize` gives the exports their
// names of the component model. What `configure` allocates stays; all else is forgotten when a call is over.

import { Bytes, CallerView, OutcomeView, RequestView, lowerError, lowerOutcome } from "./policy";
import { validateSettings as policyValidateSettings, configure as policyConfigure, evaluate as policyEvaluate } from "../policy";

export function cabi_realloc(old: usize, oldBytes: usize, align: usize, bytes: usize): usize {
  __begin();
  const fresh = __reserve(bytes, align);
  if (old != 0 && oldBytes != 0) memory.copy(fresh, old, oldBytes < bytes ? oldBytes : bytes);
  return fresh;
}

const VALIDATE_SETTINGS: usize = memory.data(12, 4);
export function validate_settings(pointer: usize, length: u32): usize {
  __begin();
  const args = __reserve(8, 4);
  store<u32>(args, <u32>pointer);
  store<u32>(args, length, 4);
  lowerError(policyValidateSettings(changetype<Bytes>(args + 0)), VALIDATE_SETTINGS);
  return VALIDATE_SETTINGS;
}
// Each compares its own address: equal functions would be folded into one export.
export function post_validate_settings(result: usize): void {
  if (result != VALIDATE_SETTINGS) unreachable();
  __forget();
}

const CONFIGURE: usize = memory.data(12, 4);
export function configure(pointer: usize, length: u32): usize {
  __begin();
  const args = __reserve(8, 4);
  store<u32>(args, <u32>pointer);
  store<u32>(args, length, 4);
  lowerError(policyConfigure(changetype<Bytes>(args + 0)), CONFIGURE);
  return CONFIGURE;
}
// Each compares its own address: equal functions would be folded into one export.
export function post_configure(result: usize): void {
  if (result != CONFIGURE) unreachable();
  __keep();
}

const EVALUATE: usize = memory.data(28, 4);
export function evaluate(args: usize): usize {
  __begin();
  lowerOutcome(policyEvaluate(changetype<RequestView>(args + 0), changetype<CallerView>(args + 48), load<u8>(args + 144) == 1 ? changetype<OutcomeView>(args + 144 + 4) : null), EVALUATE);
  return EVALUATE;
}
// Each compares its own address: equal functions would be folded into one export.
export function post_evaluate(result: usize): void {
  if (result != EVALUATE) unreachable();
  __forget();
}
