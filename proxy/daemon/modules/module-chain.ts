// The active policy modules: follows the list that the module commands write, activates a new one whole or not at all, and reports
// each module's state. Fails closed: a list that cannot be used leaves the last good one, and without one what it wants is denied.

import { perEndpoint } from "../../core/channel/key-status.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { addModuleMemory, type ModuleMemory, NO_MODULE_MEMORY } from "../../core/modules/module-memory.ts";
import { FAILED_ANSWER, type ModuleInForce, type ModuleSet } from "../../core/modules/policy-chain.ts";
import type { Log } from "../../core/ports.ts";
import type { Result } from "../../core/result.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import { describeError } from "../../core/thrown.ts";
import { type FailureCause, makeFailureRecord } from "./module-failures.ts";
import { type KnownModule, type ModulesState, reportModules } from "./module-status.ts";

/** The installed modules as they are on disk right now. */
export interface ModuleListing {
  readonly entries: readonly ModuleEntry[];
  /** Hash of the list as it is written; that of the empty list when there is none. */
  readonly sha256: string;
  /** Changes when something changes that a load depends on, such as the trusted keys. */
  readonly dependsOn: string;
}

/** Checks every hash and signature, compiles and starts; the error is one line for people. */
export type LoadModule = (
  entry: ModuleEntry,
  failed: (cause: FailureCause) => void,
  /** By the modules before it: one for which there is no room is not compiled. */
  taken: ModuleMemory,
) => Promise<Result<LoadedModule, string>>;

export interface LoadedModule {
  readonly module: ModuleInForce;
  readonly takes: ModuleMemory;
}

export interface ModuleChainPorts {
  readonly readListing: () => Result<ModuleListing, string>;
  readonly load: LoadModule;
  readonly putInForce: (modules: ModuleSet) => void;
  /** The status has changed. */
  readonly changed: () => void;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly now: () => Date;
}

export interface ModuleChain {
  /** Reads the list again; resolves when it is active or refused. Never rejects. One check at a time. */
  check(): Promise<void>;
  /** Any module is active: callers are then identified as fully as possible. */
  isUsed(): boolean;
  readonly statusPart: StatusPart;
}

export function makeModuleChain(ports: ModuleChainPorts): ModuleChain {
  let state: ModulesState = { known: [], sha256: "", refusal: undefined };
  let hasGoodList = false;
  /** What the known modules were loaded with. */
  let dependedOn = "";
  let looking: Promise<void> | undefined;
  let lookAgain = false;

  function check(): Promise<void> {
    lookAgain = true;
    looking ??= checkUntilStable().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  async function checkUntilStable(): Promise<void> {
    while (lookAgain) {
      lookAgain = false;
      try {
        await checkOnce();
      } catch (error) {
        refuse(`internal error: ${describeError(error)}`, undefined);
      }
    }
    for (const { failures } of state.known) failures.flush();
  }

  async function checkOnce(): Promise<void> {
    const listing = ports.readListing();
    if (!listing.ok) return refuse(listing.error, undefined);
    const { entries, sha256, dependsOn } = listing.value;
    if (hasGoodList && sha256 === state.sha256 && dependsOn === dependedOn) {
      if (state.refusal === undefined) return;
      // An edit was taken back, or what stood in the way is gone.
      state = { ...state, refusal: undefined };
      return logApplied();
    }
    const known: KnownModule[] = [];
    let taken = NO_MODULE_MEMORY;
    for (const entry of entries) {
      const each = await takeOrLoad(entry, dependsOn, taken);
      const sum = addModuleMemory(taken, each.takes);
      if (sum.ok) taken = sum.value;
      known.push(sum.ok ? each : { ...each, asked: standInFor(entry), refusal: refusalOf(entry, sum.error) });
    }
    const refusals = known.flatMap(({ refusal }) => refusal ?? []);
    if (refusals.length > 0) {
      // A newer list may have removed what this one names: then that one is read, and this one is dropped.
      const newer = ports.readListing();
      if (newer.ok && newer.value.sha256 !== sha256) {
        lookAgain = true;
        return;
      }
      if (!hasGoodList) dependedOn = dependsOn;
      return refuse(refusals.join("; "), known);
    }
    const before = state;
    hasGoodList = true;
    dependedOn = dependsOn;
    state = { known, sha256, refusal: undefined };
    // Nothing is logged and no epoch is counted on the many machines that have no modules.
    if (known.length === 0 && before.known.length === 0 && before.refusal === undefined) return;
    ports.putInForce(setOf(known));
    logApplied();
    logAudits(before.known);
  }

  /** What did not change keeps its instance and its count of failures. */
  async function takeOrLoad(entry: ModuleEntry, dependsOn: string, taken: ModuleMemory): Promise<KnownModule> {
    const text = JSON.stringify(entry);
    const same = dependsOn === dependedOn ? state.known.find((known) => JSON.stringify(known.entry) === text) : undefined;
    if (same !== undefined && same.refusal === undefined) return same;
    const failures = makeFailureRecord(entry.name, ports);
    const takes = NO_MODULE_MEMORY;
    if (!entry.enabled) return { entry, asked: undefined, takes, refusal: undefined, failures };
    const loaded = await ports.load(entry, failures.add, taken);
    if (loaded.ok) return { entry, asked: loaded.value.module, takes: loaded.value.takes, refusal: undefined, failures };
    return { entry, asked: standInFor(entry), takes, refusal: refusalOf(entry, loaded.error), failures };
  }

  /** @param wanted - the modules of a list that can be read; undefined: unknown */
  function refuse(message: string, wanted: readonly KnownModule[] | undefined): void {
    const isNews = state.refusal !== message;
    state = { ...state, refusal: message };
    if (!hasGoodList && isNews) {
      // INVARIANT: before any good list, what a list may want is denied and not left out: of a list that can be read, where the
      // modules that cannot be loaded would be evaluated; of any other, everywhere.
      state = { ...state, known: wanted ?? [] };
      ports.putInForce(wanted === undefined ? CLOSED : setOf(wanted));
    }
    if (!isNews) return;
    ports.log.error("modules-refused", { message, list: state.sha256 });
    ports.changed();
  }

  function logApplied(): void {
    const names = state.known.flatMap(({ entry, asked }) => (asked === undefined ? [] : [entry.name]));
    ports.log.info("modules-applied", { modules: names, list: state.sha256 });
    ports.changed();
  }

  function logAudits(before: readonly KnownModule[]): void {
    const audited = (known: readonly KnownModule[]) =>
      known.flatMap(({ entry, asked }) => (entry.audit && asked !== undefined ? [entry.name] : []));
    const old = audited(before);
    for (const name of audited(state.known))
      if (!old.includes(name)) ports.log.warn("module-audited", { module: name, message: "its denies are recorded and not applied" });
  }

  return {
    check,
    isUsed: () => state.known.some(({ asked }) => asked !== undefined),
    statusPart: { name: "modules", report: () => reportModules(state, ports.monotonicMs()) },
  };
}

function setOf(known: readonly KnownModule[]): ModuleSet {
  return perEndpoint((endpoint) =>
    known.flatMap(({ entry, asked }) => (asked !== undefined && entry.endpoints.includes(endpoint) ? [asked] : [])),
  );
}

function refusalOf({ name }: ModuleEntry, problem: string): string {
  return `cannot load module "${name}": ${problem}`;
}

/** Denies in place of a module that cannot be called. */
function standInFor(entry: Pick<ModuleEntry, "name" | "audit" | "componentSha256">): ModuleInForce {
  return {
    name: entry.name,
    audit: entry.audit,
    policyId: entry.componentSha256,
    headers: new Set(),
    ask: () => ({ answer: FAILED_ANSWER, failed: true }),
  };
}

/** It is unknown which modules are wanted where. */
const CLOSED: ModuleSet = perEndpoint(() => [standInFor({ name: "modules", audit: false, componentSha256: "" })]);
