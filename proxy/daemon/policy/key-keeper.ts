// The loop that follows the secure channel: polls the host for its status, activates rules, gets a key latched and has the
// redirect switched. Every step may fail; then the active state stays, and the next poll tries again.

import { type HostClock, hostNowMs, makeDateRenderer } from "../../core/channel/host-clock.ts";
import type { KeyStatus } from "../../core/channel/key-status.ts";
import type { LatchedKey, SecureChannel } from "../../core/channel/secure-channel.ts";
import { type ModuleSet, NO_MODULES } from "../../core/modules/policy-chain.ts";
import type { Log } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import {
  applyOrders,
  type ComposeRules,
  type Guards,
  type LocalFileState,
  type PrepareRules,
  UNKNOWN_GUARDS,
  wantsRedirect,
} from "./guards.ts";

/** All that a request needs to know, read once per request. */
export interface Snapshot {
  /** Counts every change of rules, modules, channel or key. */
  readonly epoch: number;
  readonly guards: Guards;
  /** Policy modules that are evaluated after the rules. */
  readonly modules: ModuleSet;
  readonly channel: SecureChannel;
}

export interface KeeperReport {
  /** `Unknown` before the first valid status. */
  readonly stateText: string;
  readonly message: string;
  readonly healthy: boolean;
  readonly keyIncarnationId: number | undefined;
  /** Monotonic ms of the last status the host answered; undefined: never. */
  readonly lastContactMs: number | undefined;
  /** How far the host's clock is ahead of ours, in whole seconds; undefined until the host's time is known. */
  readonly clockOffsetMs: number | undefined;
}

interface Failure {
  readonly message: string;
}

export interface KeeperPorts {
  readonly readStatus: () => Promise<Result<{ readonly status: KeyStatus; readonly hostDateMs: number | undefined }, Failure>>;
  readonly acquireKey: () => Promise<Result<LatchedKey, Failure>>;
  readonly attestKey: (key: LatchedKey) => Promise<Result<void, Failure>>;
  readonly loadKey: (guid: string) => Result<LatchedKey, Failure>;
  readonly saveKey: (key: LatchedKey) => Result<void, Failure>;
  readonly pruneKeys: (keepGuid: string) => void;
  readonly composeRules: ComposeRules;
  readonly prepareRules: PrepareRules;
  /** Redirects endpoints in the kernel, or removes the redirect; called after the snapshot that decides their requests is active. */
  readonly applyRedirect: (wanted: Readonly<Record<Endpoint, boolean>>, keyReady: boolean) => void;
  readonly changed: () => void;
  readonly log: Log;
  readonly localNowMs: () => number;
  readonly monotonicMs: () => number;
}

export interface KeyKeeper {
  snapshot(): Snapshot;
  report(): KeeperReport;
  /** Now on the host's clock, RFC 1123. */
  hostDate(): string;
  /** One turn of the loop. Never rejects. */
  poll(): Promise<void>;
  /** Activates these modules, whole, for every request decided from now on. */
  putModulesInForce(modules: ModuleSet): void;
}

export function makeKeyKeeper(ports: KeeperPorts): KeyKeeper {
  let snapshot: Snapshot = { epoch: 0, guards: UNKNOWN_GUARDS, modules: NO_MODULES, channel: { kind: "unknown" } };
  let report: KeeperReport = {
    stateText: "Unknown",
    message: "waiting for the first secure channel status",
    healthy: false,
    keyIncarnationId: undefined,
    lastContactMs: undefined,
    clockOffsetMs: undefined,
  };
  let clock: HostClock | undefined;
  const renderDate = makeDateRenderer();

  function replace(next: Partial<Omit<Snapshot, "epoch">>): void {
    snapshot = { ...snapshot, ...next, epoch: snapshot.epoch + 1 };
  }

  function updateReport(next: Partial<KeeperReport>): void {
    const before = report;
    report = { ...report, ...next };
    if (report.message !== before.message) {
      if (report.healthy) ports.log.info("secure-channel", { message: report.message, state: report.stateText });
      else ports.log.warn("secure-channel", { message: report.message, state: report.stateText });
    }
    if (report.message !== before.message || report.stateText !== before.stateText) ports.changed();
  }

  async function poll(): Promise<void> {
    const answer = await ports.readStatus();
    if (!answer.ok) {
      updateReport({ message: answer.error.message, healthy: false });
      return;
    }
    const { status, hostDateMs } = answer.value;
    if (hostDateMs !== undefined) clock = { hostMs: hostDateMs, monotonicMs: ports.monotonicMs() };
    const clockOffsetMs = hostDateMs === undefined ? report.clockOffsetMs : Math.round(hostDateMs - ports.localNowMs());
    await putRulesInForce(status);
    const key = await followKey(status);
    // The redirect follows the modes even without a key: the redirect of a disabled endpoint must be removed,
    // and a redirected one stays redirected (its requests are answered 503 until a key is latched).
    ports.applyRedirect(wantsRedirect(snapshot.guards), snapshot.channel.kind === "latched");
    updateReport({
      stateText: status.stateText,
      message: key.message,
      healthy: key.healthy,
      keyIncarnationId: status.keyIncarnationId,
      lastContactMs: ports.monotonicMs(),
      clockOffsetMs,
    });
  }

  async function putRulesInForce(status: KeyStatus): Promise<void> {
    const { guards, changes } = await applyOrders(snapshot.guards, status.orders, ports.composeRules, ports.prepareRules);
    if (changes.length === 0) return;
    const before = snapshot.guards;
    replace({ guards });
    for (const { endpoint, guard, warnings } of changes) {
      const fields = {
        endpoint,
        mode: guard.mode,
        ruleSetId: guard.ruleSetId,
        policyId: guard.policy?.policyId ?? "",
        epoch: snapshot.epoch,
        localFile: guard.localFile?.path,
        localFileState: guard.localFile?.state,
      };
      if (guard.refusal === undefined) ports.log.info("rules-applied", fields);
      else ports.log.error("rules-refused", { ...fields, message: guard.refusal });
      for (const warning of warnings) ports.log.warn("rules-warning", { endpoint, ruleSetId: guard.ruleSetId, message: warning });
      logLocalFile(endpoint, before[endpoint].localFile, guard.localFile);
    }
    ports.changed();
  }

  function logLocalFile(endpoint: Endpoint, before: LocalFileState | undefined, now: LocalFileState | undefined): void {
    if (JSON.stringify(before) === JSON.stringify(now)) return;
    const { path, sha256, message } = now ?? { path: before?.path, sha256: "", message: "" };
    if (now === undefined) ports.log.info("local-rules-not-wanted", { endpoint, path });
    else if (now.state === "applied") ports.log.info("local-rules-applied", { endpoint, path, sha256 });
    else if (now.state === "missing") ports.log.warn("local-rules-missing", { endpoint, path });
    else ports.log.error("local-rules-refused", { endpoint, path, sha256, message });
  }

  async function followKey(status: KeyStatus): Promise<{ readonly message: string; readonly healthy: boolean }> {
    if (!status.enabled) {
      setChannel({ kind: "disabled" });
      return { message: "secure channel is disabled by the platform", healthy: true };
    }
    const current = snapshot.channel;
    if (current.kind === "latched") {
      if (sameGuid(status.keyGuid, current.key.guid))
        return { message: report.healthy ? report.message : `key ${current.key.guid} is latched`, healthy: true };
      // INVARIANT: a key the host no longer names is not used for one more signature.
      ports.log.warn("key-dropped", { keyGuid: current.key.guid, message: "the host names another key or none" });
    }
    setChannel({ kind: "unlatched" });
    if (status.keyGuid !== undefined) {
      const stored = ports.loadKey(status.keyGuid);
      if (stored.ok) {
        setChannel({ kind: "latched", key: stored.value });
        return { message: `found key ${stored.value.guid} on disk`, healthy: true };
      }
      ports.log.warn("key-not-on-disk", { keyGuid: status.keyGuid, message: stored.error.message });
    }
    return latchNewKey();
  }

  async function latchNewKey(): Promise<{ readonly message: string; readonly healthy: boolean }> {
    const acquired = await ports.acquireKey();
    if (!acquired.ok) return { message: acquired.error.message, healthy: false };
    const key = acquired.value;
    const saved = ports.saveKey(key);
    if (!saved.ok) return { message: saved.error.message, healthy: false };
    const attested = await ports.attestKey(key);
    if (!attested.ok) return { message: attested.error.message, healthy: false };
    setChannel({ kind: "latched", key });
    ports.pruneKeys(key.guid);
    return { message: `attested key ${key.guid}`, healthy: true };
  }

  function setChannel(channel: SecureChannel): void {
    const before = snapshot.channel;
    if (before.kind === channel.kind && channel.kind !== "latched") return;
    replace({ channel });
    ports.changed();
  }

  return {
    snapshot: () => snapshot,
    report: () => report,
    hostDate: () => renderDate(hostNowMs(clock, ports.localNowMs(), ports.monotonicMs())),
    putModulesInForce: (modules) => {
      replace({ modules });
      ports.changed();
    },
    async poll() {
      try {
        await poll();
      } catch (error) {
        // A bug in one turn must not end the loop; the active state stays.
        updateReport({
          message: `internal error in key keeper: ${describeError(error)}`,
          healthy: false,
        });
      }
    },
  };
}

function sameGuid(a: string | undefined, b: string): boolean {
  return a !== undefined && a.toLowerCase() === b.toLowerCase();
}
