// Telemetry to the platform: collects events, packs and posts them once a minute, writes the overflow to event files, and reports
// the agent's state every quarter of an hour. It has no timer of its own while nothing fails: tick() is called after a poll or a write.
// It never blocks a request, and sends nothing before the VM's identity is known.

import type { TelemetryApi } from "../../adapters/host/telemetry-api.ts";
import type { EventFileKind, EventFolder } from "../../adapters/telemetry/event-folder.ts";
import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import type { Log } from "../../core/ports.ts";
import type { AggregateStatus } from "../../core/status/status.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import { type MachineFacts, packEvents } from "../../core/telemetry/document.ts";
import { cutToBytes, type ExtensionEvent, type GenericEvent, type TelemetryEvent } from "../../core/telemetry/event.ts";
import { makeEventQueue } from "../../core/telemetry/event-queue.ts";
import type { VmMetadata } from "../../core/telemetry/vm-metadata.ts";
import { describeError } from "../../core/thrown.ts";

export interface TelemetryPorts {
  readonly api: TelemetryApi;
  /** Undefined: no event files. */
  readonly folder: EventFolder | undefined;
  readonly machine: MachineFacts;
  readonly version: string;
  readonly processId: number;
  readonly log: Log;
  readonly key: () => LatchedKey | undefined;
  /** The agent is ready to be relied on; before that, or a minute after start, telemetry has no turn. */
  readonly ready: () => boolean;
  readonly status: () => AggregateStatus["proxyAgentStatus"];
  readonly monotonicMs: () => number;
  readonly now: () => Date;
  /** Between two tries of a document; default 15 seconds. */
  readonly retryMs?: number;
}

export interface Telemetry {
  /** Takes an event; full queues drop it. */
  add(event: Pick<GenericEvent, "level" | "taskName" | "message">): void;
  /** Does what is due. Cheap, returns at once. */
  tick(): void;
  readonly part: StatusPart;
  /** Ends waiting for another try, gives a call that is under way a moment, and keeps what was not sent. */
  stop(): Promise<void>;
}

const MINUTE_MS = 60_000;
const DRAIN_MS = MINUTE_MS;
const KEPT_FILES_MS = 5 * MINUTE_MS;
const HEARTBEAT_MS = 15 * MINUTE_MS;
/** IMDS throttles frequent callers, and the answers hardly ever change. */
const METADATA_MS = 15 * MINUTE_MS;
const TRIES = 5;
const RETRY_MS = 15_000;
const STOP_LIMIT_MS = 1_000;
const MODULE_NAME = "azure-proxy-agent";
const MAX_HEARTBEAT_BYTES = 16 * 1024;

export function makeTelemetry(ports: TelemetryPorts): Telemetry {
  const { api, folder, machine, version, log, monotonicMs } = ports;
  const arrived = makeEventQueue<GenericEvent>();
  const toSend = makeEventQueue<TelemetryEvent>();
  const startedMs = monotonicMs();
  const counts = { sent: 0, dropped: 0, kept: 0 };
  let drainedMs = Number.NEGATIVE_INFINITY;
  let keptFilesMs = startedMs;
  let heartbeatMs = Number.NEGATIVE_INFINITY;
  let vm: { readonly metadata: VmMetadata; readonly atMs: number } | undefined;
  let trouble: string | undefined;
  let folderTrouble: string | undefined;
  let work: Promise<void> | undefined;
  let stopped = false;
  let endPause: (() => void) | undefined;

  function addToSend(events: readonly TelemetryEvent[]): void {
    for (const event of events) if (!toSend.add(event)) counts.dropped++;
  }

  async function drain(): Promise<void> {
    await moveArrived();
    await readFiles("extension");
    if (monotonicMs() - keptFilesMs >= KEPT_FILES_MS) {
      keptFilesMs = monotonicMs();
      await readFiles("kept");
    }
    if (toSend.size() > 0) await send();
  }

  /** What finds no room to be sent is kept in a file, or lost. */
  async function moveArrived(): Promise<void> {
    const rest = arrived.take().filter((event) => !toSend.add(event));
    if (rest.length === 0) return;
    const kept = await folder?.keep(rest);
    if (kept?.ok === true) counts.kept += rest.length;
    else counts.dropped += rest.length;
    logFolderState(kept === undefined || kept.ok ? undefined : kept.error);
  }

  async function readFiles(kind: EventFileKind): Promise<void> {
    if (folder === undefined || toSend.room() === 0) return;
    const taken = await folder.take(kind, toSend.room());
    logFolderState(taken.ok ? undefined : taken.error);
    if (!taken.ok) return;
    addToSend(taken.value.events);
    for (const { name, reason } of taken.value.refused) log.warn("event-file-refused", { name, message: reason });
  }

  function logFolderState(message: string | undefined): void {
    if (message !== undefined && message !== folderTrouble) log.warn("event-folder-failed", { message });
    folderTrouble = message;
  }

  function logState(message: string | undefined): void {
    if (message === trouble) return;
    trouble = message;
    if (message === undefined) log.info("telemetry-sent", {});
    else log.warn("telemetry-failed", { message });
  }

  /** The last known answers do when new ones cannot be had. */
  async function readMetadata(): Promise<VmMetadata | undefined> {
    if (vm === undefined || monotonicMs() - vm.atMs >= METADATA_MS) {
      const read = await api.readVmMetadata(ports.key());
      if (read.ok) vm = { metadata: read.value, atMs: monotonicMs() };
      else if (vm === undefined) logState(read.error.message);
    }
    return vm?.metadata;
  }

  async function send(): Promise<void> {
    const metadata = await readMetadata();
    if (metadata === undefined) return;
    const { documents, tooBig } = packEvents(toSend.take(), metadata, machine, version);
    counts.dropped += tooBig;
    for (const { xml, events } of documents) {
      if (await sendOne(xml)) counts.sent += events;
      else counts.dropped += events;
    }
  }

  async function sendOne(xml: string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      if (stopped) return false;
      const sent = await api.sendDocument(xml);
      logState(sent.ok ? undefined : sent.error.message);
      if (sent.ok) return true;
      if (tries === TRIES) return false;
      await pause(ports.retryMs ?? RETRY_MS);
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function heartbeat(): ExtensionEvent {
    const status = ports.status();
    const who = { name: MODULE_NAME, version, isInternal: true, extensionType: "Monitoring" };
    const what = { operation: "report_proxy_agent_status", taskName: "loop_status", succeeded: status.status === "SUCCESS", durationMs: 0 };
    return { kind: "extension", ...who, ...what, message: cutToBytes(JSON.stringify(status), MAX_HEARTBEAT_BYTES), ...origin() };
  }

  function origin() {
    const processId = String(ports.processId);
    return { pid: processId, tid: processId, timeStamp: ports.now().toISOString() };
  }

  return {
    add({ level, taskName, message }) {
      const event = { kind: "generic", level, taskName, message: cutToBytes(message), version, operationId: MODULE_NAME } as const;
      if (!arrived.add({ ...event, ...origin() })) counts.dropped++;
    },
    tick() {
      const nowMs = monotonicMs();
      if (stopped || work !== undefined || nowMs - drainedMs < DRAIN_MS) return;
      if (!ports.ready() && nowMs - startedMs < MINUTE_MS) return;
      drainedMs = nowMs;
      if (nowMs - heartbeatMs >= HEARTBEAT_MS) {
        heartbeatMs = nowMs;
        addToSend([heartbeat()]);
      }
      work = drain()
        .catch((error) => logState(`internal error in telemetry: ${describeError(error)}`))
        .finally(() => {
          work = undefined;
        });
    },
    part: {
      name: "telemetry",
      module: "telemetryLoggerStatus",
      report: () => ({
        health: trouble === undefined && folderTrouble === undefined ? "ok" : "degraded",
        message:
          trouble ?? folderTrouble ?? (counts.sent === 0 ? "Nothing was sent yet." : `Telemetry is sent: ${counts.sent} events so far.`),
        details: { ...counts, waiting: arrived.size() + toSend.size() },
      }),
    },
    async stop() {
      stopped = true;
      endPause?.();
      await Promise.race([work, pause(STOP_LIMIT_MS)]);
      endPause?.();
      // The next run sends what was not sent.
      const rest = [...toSend.take(), ...arrived.take()].filter((event) => event.kind === "generic");
      if (rest.length > 0) await folder?.keep(rest);
    },
  };
}
