// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// Byte offsets into records and arguments, sizes, and the numbers of cases.

/** A string or a list: pointer, then length. */
export const STRING_BYTES: usize = 8;

export const ENDPOINT_WIRESERVER: u8 = 0;
export const ENDPOINT_HOSTGA: u8 = 1;
export const ENDPOINT_IMDS: u8 = 2;

export const METHOD_GET: u8 = 0;
export const METHOD_HEAD: u8 = 1;
export const METHOD_POST: u8 = 2;
export const METHOD_PUT: u8 = 3;
export const METHOD_DELETE: u8 = 4;
export const METHOD_OPTIONS: u8 = 5;
export const METHOD_PATCH: u8 = 6;

export const QUERY_PARAMETER_BYTES: usize = 16;
export const QUERY_PARAMETER_NAME: usize = 0;
export const QUERY_PARAMETER_VALUE: usize = 8;

export const HEADER_FIELD_BYTES: usize = 16;
export const HEADER_FIELD_NAME: usize = 0;
export const HEADER_FIELD_VALUE: usize = 8;

export const REQUEST_BYTES: usize = 48;
export const REQUEST_ENDPOINT: usize = 0;
export const REQUEST_METHOD: usize = 1;
export const REQUEST_SEGMENTS: usize = 4;
export const REQUEST_TRAILING_SLASH: usize = 12;
export const REQUEST_QUERY: usize = 16;
export const REQUEST_HEADERS: usize = 24;
export const REQUEST_UPTIME_SECONDS: usize = 32;
export const REQUEST_UNIX_SECONDS: usize = 40;

export const CALLER_BYTES: usize = 96;
export const CALLER_PROCESS_ID: usize = 0;
export const CALLER_USER_ID: usize = 4;
export const CALLER_ELEVATED: usize = 8;
export const CALLER_USER_NAME: usize = 12;
export const CALLER_USER_GROUPS: usize = 24;
export const CALLER_EXECUTABLE_PATH: usize = 32;
export const CALLER_PROCESS_NAME: usize = 44;
export const CALLER_EXECUTABLE_SHA256: usize = 56;
export const CALLER_CGROUP_ID: usize = 72;
export const CALLER_CGROUP_PATH: usize = 80;

export const OUTCOME_KIND_ALLOW: u8 = 0;
export const OUTCOME_KIND_DENY: u8 = 1;
export const OUTCOME_KIND_ABSTAIN: u8 = 2;

export const OUTCOME_BYTES: usize = 28;
export const OUTCOME_KIND: usize = 0;
export const OUTCOME_REASON: usize = 4;
export const OUTCOME_RULE: usize = 12;
export const OUTCOME_LABELS: usize = 20;

export const VALIDATE_SETTINGS_RESULT_BYTES: usize = 12;

export const CONFIGURE_RESULT_BYTES: usize = 12;

export const EVALUATE_RESULT_BYTES: usize = 28;
export const EVALUATE_REQUEST: usize = 0;
export const EVALUATE_CALLER: usize = 48;
export const EVALUATE_SO_FAR: usize = 144;
