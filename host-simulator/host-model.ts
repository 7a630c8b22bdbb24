// The words of the host simulator as plain values: endpoints, modes, verdicts, records and counters.
// Everything here survives JSON, because the control listener hands it to other processes.

export const HOST_ENDPOINTS = ["wireserver", "hostga", "imds"] as const;
export type HostEndpoint = (typeof HOST_ENDPOINTS)[number];

export const HOST_MODES = ["disabled", "audit", "enforce"] as const;
export type HostMode = (typeof HOST_MODES)[number];

export type ChannelVersion = "1.0" | "2.0";

/** Dotted IPv4 address and port; port 0 means any free port. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

export type EndpointAddresses = Readonly<Record<HostEndpoint, ListenAddress>>;

/** Where the services live on a real VM. */
export const REAL_ADDRESSES: EndpointAddresses = {
  wireserver: { address: "168.63.129.16", port: 80 },
  hostga: { address: "168.63.129.16", port: 32526 },
  imds: { address: "169.254.169.254", port: 80 },
};

export type InvalidReason =
  | "authorization-repeated"
  | "authorization-malformed"
  | "scheme-unknown"
  | "key-unknown"
  | "key-not-attested"
  | "key-superseded"
  | "target-not-ascii"
  | "signature-mismatch"
  | "date-missing"
  | "date-malformed"
  | "date-out-of-range";

/** What the signature check found. Taken and recorded in every mode, whatever is answered. */
export type SignatureVerdict =
  | { readonly kind: "unsigned" }
  | { readonly kind: "valid" }
  | { readonly kind: "invalid"; readonly reason: InvalidReason };

/** One request as it arrived, and what was answered. */
export interface RequestRecord {
  /** Counts up from 1 over all endpoints. */
  readonly id: number;
  /** Milliseconds since 1970, by the clock of the machine (not the simulated host clock). */
  readonly timeMs: number;
  readonly endpoint: HostEndpoint;
  readonly clientPort: number;
  /** Empty when the head could not be parsed. */
  readonly method: string;
  readonly target: string;
  /** In the order received, names with their case, values without outer blanks; bytes as latin1. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The head exactly as received, bytes as latin1, with the empty line. */
  readonly head: string;
  /** Bytes after removing chunk framing. */
  readonly bodyBytes: number;
  /** Lower-case hex, over the body after removing chunk framing. */
  readonly bodySha256: string;
  readonly signature: SignatureVerdict;
  /** Value of the last `x-ms-azure-host-claims`, or null. */
  readonly claims: string | null;
  /** Status answered; 0 when no answer was given. */
  readonly status: number;
  /** Faults that acted on this request. */
  readonly faults: readonly string[];
  /** Why the request could not be taken: malformed bytes, or the client left before its end. */
  readonly problem: string | null;
}

export interface EndpointCounters {
  readonly connections: number;
  readonly requests: number;
  readonly unsigned: number;
  readonly valid: number;
  readonly invalid: number;
  /** Requests that could not be parsed or ended early; not part of the three verdicts. */
  readonly broken: number;
  /** Answers by status code. */
  readonly statuses: Readonly<Record<string, number>>;
}

export type HostCounters = Readonly<Record<HostEndpoint, EndpointCounters>>;

/** State of the secure channel, without any secret. */
export interface ChannelState {
  readonly version: ChannelVersion;
  readonly keyIncarnationId: number;
  /** Guid of the attested key, or null. */
  readonly keyGuid: string | null;
  /** Keys handed out and not attested yet. */
  readonly pendingKeys: number;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function refused(message: string): { readonly ok: false; readonly message: string } {
  return { ok: false, message };
}
