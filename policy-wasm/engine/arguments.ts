// Where the canonical ABI puts the fields of wit/policy.wit: byte offsets into the spilled arguments of `evaluate`,
// and the writers of its result. Strings and lists are a pointer followed by a length.

import { allocate } from "./memory";

export const REQUEST_ENDPOINT: usize = 0;
export const REQUEST_METHOD: usize = 1;
export const REQUEST_SEGMENTS: usize = 4;
export const REQUEST_QUERY: usize = 16;
export const CALLER_USER_NAME: usize = 60;
export const CALLER_USER_GROUPS: usize = 72;
export const CALLER_EXECUTABLE_PATH: usize = 80;
export const CALLER_PROCESS_NAME: usize = 92;
export const CALLER_EXECUTABLE_SHA256: usize = 104;
export const CALLER_CGROUP_PATH: usize = 128;

/** list<string>, as pointer and length. */
export const STRING_BYTES: usize = 8;
/** record query-parameter: two strings. */
export const QUERY_PARAMETER_BYTES: usize = 16;

export const ALLOW: u8 = 0;
export const DENY: u8 = 1;

const OUTCOME: usize = memory.data(28, 4);

/** Writes the outcome record; the rule's bytes must live until the call is over. */
export function answer(kind: u8, reason: string, rule: usize, ruleBytes: u32): usize {
  store<u8>(OUTCOME, kind);
  store<u32>(OUTCOME, <u32>ascii(reason), 4);
  store<u32>(OUTCOME, reason.length, 8);
  store<u32>(OUTCOME, <u32>rule, 12);
  store<u32>(OUTCOME, ruleBytes, 16);
  store<u32>(OUTCOME, 0, 20);
  store<u32>(OUTCOME, 0, 24);
  return OUTCOME;
}

/** True for the record that `answer` writes. */
export function isOutcome(pointer: usize): bool {
  return pointer == OUTCOME;
}

/** Writes `result<_, string>` at `area` (12 bytes): an empty text is success. */
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
