// Typed client for a simulator in another process. Mirrors the control listener call by call and adds nothing.

import type { Fault, PlannedFault } from "./faults.ts";
import type { ChannelState, EndpointAddresses, HostCounters, RequestRecord } from "./host-model.ts";
import type { RecordQuery } from "./request-log.ts";
import type { HostSettings } from "./settings.ts";
import type { TelemetryDocument } from "./telemetry-check.ts";

export interface HostHealth {
  readonly ok: true;
  readonly addresses: EndpointAddresses;
  readonly channel: ChannelState;
}

export class HostControlClient {
  readonly #place: string;

  /** @param place - as given to `--control`: a path, or `127.0.0.1:PORT` */
  constructor(place: string) {
    this.#place = place;
  }

  health(): Promise<HostHealth> {
    return this.#call("GET", "/healthz");
  }

  /** Waits until the simulator answers. Rejects after `timeoutMs` with the last failure. */
  async waitUntilUp(timeoutMs: number): Promise<HostHealth> {
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      try {
        return await this.health();
      } catch (error) {
        if (Date.now() >= endMs) throw error;
        await Bun.sleep(20);
      }
    }
  }

  /** Oldest first. */
  requests(query: RecordQuery = {}): Promise<readonly RequestRecord[]> {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) params.set(name, String(value));
    return this.#call("GET", `/requests?${params}`);
  }

  counters(): Promise<HostCounters> {
    return this.#call("GET", "/counters");
  }

  /** Oldest first. */
  telemetry(): Promise<readonly TelemetryDocument[]> {
    return this.#call("GET", "/telemetry");
  }

  settings(): Promise<HostSettings> {
    return this.#call("GET", "/config");
  }

  /** Returns the settings that hold from now on. */
  configure(changes: Partial<HostSettings>): Promise<HostSettings> {
    return this.#call("POST", "/config", changes);
  }

  async addFaults(...faults: readonly Fault[]): Promise<readonly number[]> {
    return (await this.#call<{ ids: readonly number[] }>("POST", "/faults", faults)).ids;
  }

  faults(): Promise<readonly PlannedFault[]> {
    return this.#call("GET", "/faults");
  }

  async clearFaults(): Promise<void> {
    await this.#call("DELETE", "/faults");
  }

  /** Returns the new incarnation id. */
  async startIncarnation(): Promise<number> {
    return (await this.#call<{ keyIncarnationId: number }>("POST", "/new-incarnation")).keyIncarnationId;
  }

  async reset(): Promise<void> {
    await this.#call("POST", "/reset");
  }

  /** The answer's type is the server's promise; both sides are built from the same types. */
  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const isPath = this.#place.includes("/") || !this.#place.includes(":");
    const response = await fetch(`http://${isPath ? "control" : this.#place}${path}`, {
      method,
      ...(isPath ? { unix: this.#place } : {}),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // Without this a proxy named in the environment would be used for a loopback address.
      proxy: "",
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`cannot ${method} ${path} at the simulator "${this.#place}": ${response.status} ${text}`);
    return JSON.parse(text);
  }
}
