// An installed policy module as the store lists it and the daemon runs it: plain values, no file is touched here.

import type { Endpoint } from "../request/endpoint.ts";

/** What one call into a module may use up. Everything it does wrong beyond that is a deny with reason `policy-failed`. */
export interface ModuleBudgets {
  /** Units of work for one call, over all core modules of the component together; a checkpoint costs its longest path. */
  readonly fuel: number;
  /** Of each linear memory; growing beyond it fails in the module's grow instruction. A multiple of 64 KiB. */
  readonly memoryBytes: number;
  /** Longer reasons count as a failure. */
  readonly reasonBytes: number;
}

/** One module. The order of entries in the index is the order of evaluation. */
export interface ModuleEntry {
  /** `[a-z0-9]` then up to 62 of `[a-z0-9-]`: the operator's word for it, in logs and metrics. */
  readonly name: string;
  readonly enabled: boolean;
  /** Its denies are recorded and not applied. */
  readonly audit: boolean;
  /** Endpoints it is evaluated for; never empty. */
  readonly endpoints: readonly Endpoint[];
  /** Lower-case names of the request headers that it may see. */
  readonly headers: readonly string[];
  readonly budgets: ModuleBudgets;
  /** Lower-case hex SHA-256 of the component file as it was given: the module's identity, pinned at all times. */
  readonly componentSha256: string;
  /** Of the prepared artefact (checked, metered, with its plan), which is what the daemon loads. */
  readonly preparedSha256: string;
  /** Of the settings bytes; those of no settings are the hash of nothing. */
  readonly settingsSha256: string;
  /** Version of the policy world it was built for, such as `1.0.0`. */
  readonly worldVersion: string;
  /** Id of the trusted key whose signature was verified, 16 upper-case hex digits; undefined: unsigned. */
  readonly signedBy: string | undefined;
  /** Of the signature file, kept to be verified again with the keys that are trusted at the time; undefined: unsigned. */
  readonly signatureSha256: string | undefined;
  /** The operator pinned the component's hash: another component under this name is refused. */
  readonly pinned: boolean;
}

/** What a module answered for one request, for the log, the status and the counters. */
export interface ModuleOutcome {
  readonly name: string;
  readonly kind: "allow" | "deny" | "abstain";
  readonly reason: string;
  /** In the module's own words; empty when it named none. */
  readonly rule: string;
  readonly labels: readonly (readonly [name: string, value: string])[];
  /** It trapped, ran out of a budget or answered nonsense; then it is a deny with reason `policy-failed`. */
  readonly failed: boolean;
  /** False: a deny that was only recorded, because the module is in audit. */
  readonly applied: boolean;
}
