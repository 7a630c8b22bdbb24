// The protected host services. The endpoint of a request is the destination of its connect(2), never what its URL or Host header says.

export const ENDPOINTS = ["wireserver", "hostga", "imds"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

export interface EndpointFacts {
  /** Name people read in logs and status. */
  readonly title: string;
  /** Dotted IPv4 address. */
  readonly address: string;
  readonly port: number;
  /** Only root callers are served, in every mode and whatever the rules say. */
  readonly rootOnly: boolean;
  /** Bodies are buffered to be signed; a longer one is answered 413. Bytes. */
  readonly maxSignedBodyBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** HostGAPlugin takes status reports of several MiB (a 4 MiB page in base64); the others speak in small messages. */
export const ENDPOINT_FACTS: Readonly<Record<Endpoint, EndpointFacts>> = {
  wireserver: { title: "WireServer", address: "168.63.129.16", port: 80, rootOnly: true, maxSignedBodyBytes: MIB },
  hostga: { title: "HostGAPlugin", address: "168.63.129.16", port: 32526, rootOnly: true, maxSignedBodyBytes: 16 * MIB },
  imds: { title: "IMDS", address: "169.254.169.254", port: 80, rootOnly: false, maxSignedBodyBytes: 100 * KIB },
};

/** Uploads that are streamed unsigned may be this long. Bytes. */
export const MAX_STREAMED_BODY_BYTES = 150 * MIB;

/** Endpoint by its name in any letter case. */
export function parseEndpoint(text: string): Endpoint | undefined {
  return ENDPOINTS.find((known) => known === text.toLowerCase());
}

/** The endpoint that listens at this address and port, or undefined when none does. */
export function endpointAt(address: string, port: number): Endpoint | undefined {
  return ENDPOINTS.find((name) => ENDPOINT_FACTS[name].address === address && ENDPOINT_FACTS[name].port === port);
}

/** True for a request that the host accepts without a signature; it is streamed instead of buffered.
 *  Tied to the services that really take these uploads, and to the exact origin-form target (ASCII case ignored). */
export function isExemptFromSignature(endpoint: Endpoint, method: string, target: string): boolean {
  const lower = target.toLowerCase();
  if (method === "PUT" && lower === "/vmagentlog") return endpoint !== "imds";
  return method === "POST" && lower === "/machine/?comp=telemetrydata" && endpoint === "wireserver";
}
