// The arguments of `evaluate` as the engine reads them, and the writers of its results. All offsets come from wit/policy.wit by way
// of the generated bindings; here they are only put together, so that each field is one load from the pointer to all arguments.

import { allocate } from "./memory";
import * as ABI from "../sdk/bindings/as/abi";

export const REQUEST_ENDPOINT: usize = ABI.EVALUATE_REQUEST + ABI.REQUEST_ENDPOINT;
export const REQUEST_METHOD: usize = ABI.EVALUATE_REQUEST + ABI.REQUEST_METHOD;
export const REQUEST_SEGMENTS: usize = ABI.EVALUATE_REQUEST + ABI.REQUEST_SEGMENTS;
export const REQUEST_QUERY: usize = ABI.EVALUATE_REQUEST + ABI.REQUEST_QUERY;
export const CALLER_USER_NAME: usize = ABI.EVALUATE_CALLER + ABI.CALLER_USER_NAME;
export const CALLER_USER_GROUPS: usize = ABI.EVALUATE_CALLER + ABI.CALLER_USER_GROUPS;
export const CALLER_EXECUTABLE_PATH: usize = ABI.EVALUATE_CALLER + ABI.CALLER_EXECUTABLE_PATH;
export const CALLER_PROCESS_NAME: usize = ABI.EVALUATE_CALLER + ABI.CALLER_PROCESS_NAME;
export const CALLER_EXECUTABLE_SHA256: usize = ABI.EVALUATE_CALLER + ABI.CALLER_EXECUTABLE_SHA256;
export const CALLER_CGROUP_PATH: usize = ABI.EVALUATE_CALLER + ABI.CALLER_CGROUP_PATH;

export const STRING_BYTES: usize = ABI.STRING_BYTES;
export const QUERY_PARAMETER_BYTES: usize = ABI.QUERY_PARAMETER_BYTES;
export const QUERY_PARAMETER_NAME: usize = ABI.QUERY_PARAMETER_NAME;
export const QUERY_PARAMETER_VALUE: usize = ABI.QUERY_PARAMETER_VALUE;

/** Size of what the two settings functions answer. */
export const SETTLED_BYTES: i32 = <i32>ABI.CONFIGURE_RESULT_BYTES;

export const ALLOW: u8 = ABI.OUTCOME_KIND_ALLOW;
export const DENY: u8 = ABI.OUTCOME_KIND_DENY;

const OUTCOME: usize = memory.data(<i32>ABI.OUTCOME_BYTES, 4);

/** Writes the outcome record; the rule's bytes must live until the call is over. */
export function answer(kind: u8, reason: string, rule: usize, ruleBytes: u32): usize {
  store<u8>(OUTCOME, kind, ABI.OUTCOME_KIND);
  store<u32>(OUTCOME, <u32>ascii(reason), ABI.OUTCOME_REASON);
  store<u32>(OUTCOME, reason.length, ABI.OUTCOME_REASON + 4);
  store<u32>(OUTCOME, <u32>rule, ABI.OUTCOME_RULE);
  store<u32>(OUTCOME, ruleBytes, ABI.OUTCOME_RULE + 4);
  store<u32>(OUTCOME, 0, ABI.OUTCOME_LABELS);
  store<u32>(OUTCOME, 0, ABI.OUTCOME_LABELS + 4);
  return OUTCOME;
}

/** True for the record that `answer` writes. */
export function isOutcome(pointer: usize): bool {
  return pointer == OUTCOME;
}

/** Writes `result<_, string>` at `area` (SETTLED_BYTES): an empty text is success. */
export function settle(area: usize, error: string): usize {
  store<u8>(area, error.length == 0 ? 0 : 1);
  store<u32>(area, <u32>ascii(error), 4);
  store<u32>(area, error.length, 8);
  return area;
}

function ascii(text: string): usize {
  const bytes = allocate(text.length, 1);
  for (let i = 0; i < text.length; i++) store<u8>(bytes + i, <u8>text.charCodeAt(i));
  return bytes;
}
