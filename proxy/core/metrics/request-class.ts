// Classes of request reasons for metrics: few words for many reasons. docs/operations.md lists both.

/** What became of a request. `would-deny`: the rules deny, and audit mode let it pass. */
export const DECISIONS = ["allowed", "would-deny", "denied", "failed"] as const;
export type Decision = (typeof DECISIONS)[number];

/** What decided, or failed. A reason that is none of the agent's own words is a module's. */
export const REQUEST_CLASSES = [
  "rules",
  "no-rules",
  "exempt",
  "built-in",
  "module",
  "policy-failure",
  "malformed",
  "caller-unknown",
  "no-key",
  "host",
  "client",
  "body",
] as const;
export type RequestClass = (typeof REQUEST_CLASSES)[number];

const CLASS_OF_REASON: ReadonlyMap<string, RequestClass> = new Map([
  ["granted", "rules"],
  ["default-allow", "rules"],
  ["not-granted", "rules"],
  ["default-deny", "rules"],
  ["ambiguous-query", "rules"],
  ["no-rules", "no-rules"],
  ["exempt-upload", "exempt"],
  ["not-root", "built-in"],
  ["policy-failed", "policy-failure"],
  ["wrong-endpoint", "policy-failure"],
  ["no-usable-rules", "policy-failure"],
  ["ambiguous-target", "malformed"],
  ["ambiguous-request", "malformed"],
  ["method-not-allowed", "malformed"],
  ["malformed-head", "malformed"],
  ["not-redirected", "caller-unknown"],
  ["record-lost", "caller-unknown"],
  ["caller-late", "caller-unknown"],
  ["no-key", "no-key"],
  ["host-unreachable", "host"],
  ["host-silent", "host"],
  ["host-closed", "host"],
  ["host-bad-response", "host"],
  ["host-broke-midway", "host"],
  ["client-gone", "client"],
  ["body-too-large", "body"],
  ["body-malformed", "body"],
  ["body-timeout", "body"],
  ["body-memory-full", "body"],
]);

export function classOfReason(reason: string): RequestClass {
  return CLASS_OF_REASON.get(reason) ?? "module";
}

/** What is shown from the start, at zero, so that the first of its kind is seen as a rise. */
export const EXPECTED: readonly (readonly [Decision, RequestClass])[] = [
  ["allowed", "rules"],
  ["would-deny", "rules"],
  ["denied", "rules"],
  ["denied", "built-in"],
  ["denied", "malformed"],
  ["denied", "policy-failure"],
  ["failed", "no-key"],
  ["failed", "host"],
];
