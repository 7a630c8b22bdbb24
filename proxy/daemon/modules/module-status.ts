// Status of policy modules: each by name with its state, and the whole as failed when one that is wanted does not
// do its work. Never contains requests or settings.

import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import type { ModuleMemory } from "../../core/modules/module-memory.ts";
import type { ModuleInForce } from "../../core/modules/policy-chain.ts";
import { cutMessage } from "../../core/status/status.ts";
import type { PartReport } from "../../core/status/status-part.ts";
import type { FailureRecord } from "./module-failures.ts";

/** A module of the active list, or of the first list when that cannot be activated whole. */
export interface KnownModule {
  readonly entry: ModuleEntry;
  /** Undefined: disabled. Of a module that could not be loaded, a stand-in that denies. */
  readonly asked: ModuleInForce | undefined;
  readonly takes: ModuleMemory;
  /** Why it could not be loaded. */
  readonly refusal: string | undefined;
  readonly failures: FailureRecord;
}

export interface ModulesState {
  readonly known: readonly KnownModule[];
  /** Hash of the active list; empty before the first. */
  readonly sha256: string;
  /** Why the newest list is not active; undefined when it is. */
  readonly refusal: string | undefined;
}

export type ModuleStateWord = "in-force" | "disabled" | "failing" | "not-loaded";

export function reportModules({ known, sha256, refusal }: ModulesState, nowMs: number): PartReport {
  const failing = known.filter(({ failures }) => failures.keepsFailing(nowMs)).map(({ entry }) => `module "${entry.name}" keeps failing`);
  const troubles = refusal === undefined ? failing : [refusal, ...failing];
  return {
    health: troubles.length === 0 ? "ok" : "failed",
    message: troubles.join("; "),
    details: {
      /** Hash of the active list, by which the module commands see that their change has arrived. */
      list: sha256,
      refusal: refusal === undefined ? "" : cutMessage(refusal),
      installed: known.map((each) => describe(each, nowMs)),
    },
  };
}

function describe(known: KnownModule, nowMs: number): Readonly<Record<string, unknown>> {
  const { entry, failures } = known;
  const last = failures.last();
  return {
    name: entry.name,
    state: stateOf(known, nowMs),
    audit: entry.audit,
    endpoints: entry.endpoints,
    componentSha256: entry.componentSha256,
    signedBy: entry.signedBy ?? "",
    failures: failures.count(),
    lastFailure: last === undefined ? "" : cutMessage(`${last.cause.kind}: ${last.cause.message}`),
    lastFailureAt: last?.at ?? "",
  };
}

function stateOf({ entry, refusal, failures }: KnownModule, nowMs: number): ModuleStateWord {
  if (refusal !== undefined) return "not-loaded";
  if (!entry.enabled) return "disabled";
  return failures.keepsFailing(nowMs) ? "failing" : "in-force";
}
