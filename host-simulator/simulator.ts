// A simulated Azure host in this process: WireServer, HostGAPlugin and IMDS with one secure channel between them.
// For tests, demos and trying workloads. It shares no code with the agent, so that it can judge what the agent sends.

import { type Fault, FaultPlan, type PlannedFault, parseFault } from "./faults.ts";
import {
  type ChannelState,
  type EndpointAddresses,
  HOST_ENDPOINTS,
  type HostCounters,
  REAL_ADDRESSES,
  type RequestRecord,
} from "./host-model.ts";
import { HostSource, type HostState } from "./host-source.ts";
import { listenProblem } from "./listen-address.ts";
import { HostListener } from "./listener.ts";
import { type RecordQuery, RequestLog } from "./request-log.ts";
import { SecureChannel } from "./secure-channel.ts";
import { changeSettings, DEFAULT_SETTINGS, type HostSettings } from "./settings.ts";
import type { TelemetryDocument } from "./telemetry-check.ts";

export interface HostSimulatorOptions {
  /** Default: the real addresses, which must be addresses of this network namespace. Port 0 takes a free port. */
  readonly addresses?: Partial<EndpointAddresses>;
  readonly settings?: Partial<HostSettings>;
  /** Requests kept; the oldest give way. Default 10,000. */
  readonly maxRecords?: number;
  /** Called with every request as soon as it is answered or lost. Must not throw. */
  readonly onRequest?: (record: RequestRecord) => void;
}

export interface HostSimulator extends AsyncDisposable {
  /** Where the endpoints really listen. */
  readonly addresses: EndpointAddresses;
  settings(): HostSettings;
  /** Changes settings from the next request on. Throws on what {@link changeSettings} refuses. */
  configure(changes: Partial<HostSettings>): void;
  channel(): ChannelState;
  /** Refuses all previous keys and requires a new one. Returns the new incarnation id. */
  startIncarnation(): number;
  /** Plans a fault; returns its id. Throws when it is not well-formed. */
  addFault(fault: Fault): number;
  faults(): readonly PlannedFault[];
  clearFaults(): void;
  /** Oldest first. */
  requests(query?: RecordQuery): readonly RequestRecord[];
  counters(): HostCounters;
  /** Telemetry documents as they were understood, oldest first; the newest two hundred. */
  telemetry(): readonly TelemetryDocument[];
  /** Forgets records, counters and faults; keeps key and settings. */
  reset(): void;
  stop(): Promise<void>;
}

const MAX_TELEMETRY_DOCUMENTS = 200;

/** Starts all three endpoints, or none: rejects with a text for people when an address cannot be had. */
export async function startHostSimulator(options: HostSimulatorOptions = {}): Promise<HostSimulator> {
  const wanted: EndpointAddresses = { ...REAL_ADDRESSES, ...options.addresses };
  for (const endpoint of HOST_ENDPOINTS) {
    const problem = listenProblem(wanted[endpoint]);
    if (problem !== undefined) throw new Error(problem);
  }
  let telemetry: readonly TelemetryDocument[] = [];
  let settings = settingsFrom(DEFAULT_SETTINGS, options.settings ?? {});
  const channel = new SecureChannel();
  const faults = new FaultPlan();
  const log = new RequestLog(options.maxRecords ?? 10_000, options.onRequest);
  const listeners = new Map<(typeof HOST_ENDPOINTS)[number], HostListener>();
  const addressOf = (endpoint: (typeof HOST_ENDPOINTS)[number]) => listeners.get(endpoint)?.address ?? wanted[endpoint];
  const state: HostState = {
    channel,
    faults,
    log,
    settings: () => settings,
    addTelemetry: (document) => {
      telemetry = [...telemetry, document].slice(-MAX_TELEMETRY_DOCUMENTS);
    },
    wireServerUrl: () => `http://${addressOf("wireserver").address}:${addressOf("wireserver").port}`,
  };
  const stopAll = (): void => {
    for (const listener of listeners.values()) listener.stop();
  };

  for (const endpoint of HOST_ENDPOINTS) {
    const accepted = (): boolean => {
      log.addConnection(endpoint);
      return faults.takeForConnection(endpoint);
    };
    try {
      listeners.set(endpoint, new HostListener(wanted[endpoint], new HostSource(endpoint, state), { accepted }));
    } catch (error) {
      stopAll();
      const { address, port } = wanted[endpoint];
      throw new Error(`cannot listen on ${address}:${port} for ${endpoint}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const followFaults = (): void => {
    for (const [endpoint, listener] of listeners) listener.setListening(!faults.stopsListening(endpoint));
  };

  return {
    addresses: { wireserver: addressOf("wireserver"), hostga: addressOf("hostga"), imds: addressOf("imds") },
    settings: () => settings,
    configure: (changes) => {
      settings = settingsFrom(settings, changes);
    },
    channel: () => ({
      version: settings.channelVersion,
      keyIncarnationId: channel.incarnationId,
      keyGuid: channel.latchedGuid,
      pendingKeys: channel.pendingKeys,
    }),
    startIncarnation: () => channel.startIncarnation(),
    addFault: (fault) => {
      const checked = parseFault(fault);
      if (!checked.ok) throw new Error(checked.message);
      const id = faults.add(checked.value);
      followFaults();
      return id;
    },
    faults: () => faults.list(),
    clearFaults: () => {
      faults.clear();
      followFaults();
    },
    requests: (query) => log.list(query),
    counters: () => log.counters(),
    telemetry: () => telemetry,
    reset: () => {
      telemetry = [];
      log.clear();
      faults.clear();
      followFaults();
    },
    stop: async () => stopAll(),
    [Symbol.asyncDispose]: async () => stopAll(),
  };
}

function settingsFrom(settings: HostSettings, changes: Partial<HostSettings>): HostSettings {
  const changed = changeSettings(settings, changes);
  if (!changed.ok) throw new Error(changed.message);
  return changed.value;
}
