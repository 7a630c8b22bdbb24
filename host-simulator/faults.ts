// Failures on demand: which requests they meet, how often, and what they do. Decides only; connection.ts carries them out.
// With no fault planned a request costs one length check here.

import { HOST_ENDPOINTS, type HostEndpoint, type Parsed, parsed, refused } from "./host-model.ts";

export type FaultAction =
  /** Waits before the first byte of the answer. */
  | { readonly kind: "delay"; readonly delayMs: number }
  /** Sends the answer in small pieces with pauses. */
  | { readonly kind: "dribble"; readonly chunkBytes: number; readonly intervalMs: number }
  /** Never answers; the connection stays open. */
  | { readonly kind: "hang" }
  /** Resets each new connection as soon as it is accepted. Counted per connection. */
  | { readonly kind: "reset-connections" }
  /** Closes the listening socket: connections are refused. Not counted; ends when the fault is removed. */
  | { readonly kind: "stop-listening" }
  /** Sends half of the head, or the head and half of the body, then resets. */
  | { readonly kind: "reset"; readonly during: "head" | "body" }
  /** Answers with this status instead. */
  | { readonly kind: "status"; readonly status: number; readonly retryAfterSeconds?: number; readonly body?: string }
  /** Answers with this status before the body was read, then closes. */
  | { readonly kind: "early-status"; readonly status: number }
  /** Sends exactly these bytes (latin1) as the answer, then closes. */
  | { readonly kind: "raw-answer"; readonly text: string }
  /** Sends an interim answer first. */
  | { readonly kind: "informational"; readonly status: number }
  /** Closes after the answer without saying so in it: the next request on the connection meets a stale one. */
  | { readonly kind: "close-after-answer" }
  /** The key handed out is not the one the host checks with. */
  | { readonly kind: "wrong-key" }
  /** Attestation is answered 403 and the key stays unlatched. */
  | { readonly kind: "refuse-attest" }
  /** The answer's body is cut in half, its length adjusted: JSON that does not parse. */
  | { readonly kind: "malformed-body" }
  /** Blanks are added after the answer's body until it is this long. */
  | { readonly kind: "oversized-body"; readonly bodyBytes: number };

export type FaultKind = FaultAction["kind"];

/** An action and what it meets. A member left out matches everything. */
export type Fault = FaultAction & {
  readonly endpoint?: HostEndpoint;
  readonly method?: string;
  /** Start of the request target, letter case counts. */
  readonly pathPrefix?: string;
  /** Only the next so many that match; without it until the fault is removed. */
  readonly count?: number;
};

export type PlannedFault = Fault & { readonly id: number; readonly remaining: number | null };

interface Plan {
  readonly id: number;
  readonly fault: Fault;
  remaining: number;
}

const CONNECTION_KINDS: ReadonlySet<FaultKind> = new Set<FaultKind>(["reset-connections", "stop-listening"]);
const NO_ACTIONS: readonly FaultAction[] = [];

export class FaultPlan {
  #plans: Plan[] = [];
  #lastId = 0;

  add(fault: Fault): number {
    this.#plans.push({ id: ++this.#lastId, fault, remaining: fault.count ?? Number.POSITIVE_INFINITY });
    return this.#lastId;
  }

  clear(): void {
    this.#plans = [];
  }

  list(): PlannedFault[] {
    return this.#plans.map(({ id, fault, remaining }) => ({ ...fault, id, remaining: Number.isFinite(remaining) ? remaining : null }));
  }

  /** The actions that meet this request. Each counts down. */
  takeForRequest(endpoint: HostEndpoint, method: string, target: string): readonly FaultAction[] {
    if (this.#plans.length === 0) return NO_ACTIONS;
    return this.#take(
      ({ fault }) =>
        !CONNECTION_KINDS.has(fault.kind) &&
        (fault.endpoint === undefined || fault.endpoint === endpoint) &&
        (fault.method === undefined || fault.method === method) &&
        (fault.pathPrefix === undefined || target.startsWith(fault.pathPrefix)) &&
        meetsCall(fault.kind, method, target),
    );
  }

  /** True when this new connection is to be reset. Counts down. */
  takeForConnection(endpoint: HostEndpoint): boolean {
    if (this.#plans.length === 0) return false;
    const met = ({ fault }: Plan): boolean =>
      fault.kind === "reset-connections" && (fault.endpoint === undefined || fault.endpoint === endpoint);
    return this.#take(met).length > 0;
  }

  stopsListening(endpoint: HostEndpoint): boolean {
    return this.#plans.some(
      ({ fault }) => fault.kind === "stop-listening" && (fault.endpoint === undefined || fault.endpoint === endpoint),
    );
  }

  #take(meets: (plan: Plan) => boolean): FaultAction[] {
    const met = this.#plans.filter(meets);
    for (const plan of met) plan.remaining--;
    this.#plans = this.#plans.filter((plan) => plan.remaining > 0);
    return met.map((plan) => plan.fault);
  }
}

function meetsCall(kind: FaultKind, method: string, target: string): boolean {
  if (kind === "wrong-key") return method === "POST" && target === "/secure-channel/key";
  if (kind === "refuse-attest") return target.startsWith("/secure-channel/key/") && target.endsWith("/key-attestation");
  return true;
}

type Check = (found: unknown) => string | undefined;

const wholeNumber =
  (least: number, most: number): Check =>
  (found) =>
    typeof found === "number" && Number.isInteger(found) && found >= least && found <= most
      ? undefined
      : `want a whole number from ${least} to ${most}`;
const text: Check = (found) => (typeof found === "string" ? undefined : "want a text");
const oneOf =
  (words: readonly string[]): Check =>
  (found) =>
    typeof found === "string" && words.includes(found) ? undefined : `want one of ${words.join(", ")}`;

interface Shape {
  readonly required: Readonly<Record<string, Check>>;
  readonly optional: Readonly<Record<string, Check>>;
}

const HOUR_MS = 3_600_000;
const NOTHING: Shape = { required: {}, optional: {} };

const SHAPES: Readonly<Record<FaultKind, Shape>> = {
  delay: { required: { delayMs: wholeNumber(0, HOUR_MS) }, optional: {} },
  dribble: { required: { chunkBytes: wholeNumber(1, 1 << 20), intervalMs: wholeNumber(0, HOUR_MS) }, optional: {} },
  hang: NOTHING,
  "reset-connections": NOTHING,
  "stop-listening": NOTHING,
  reset: { required: { during: oneOf(["head", "body"]) }, optional: {} },
  status: { required: { status: wholeNumber(200, 599) }, optional: { retryAfterSeconds: wholeNumber(0, 86_400), body: text } },
  "early-status": { required: { status: wholeNumber(400, 599) }, optional: {} },
  "raw-answer": { required: { text }, optional: {} },
  informational: { required: { status: wholeNumber(100, 199) }, optional: {} },
  "close-after-answer": NOTHING,
  "wrong-key": NOTHING,
  "refuse-attest": NOTHING,
  "malformed-body": NOTHING,
  "oversized-body": { required: { bodyBytes: wholeNumber(0, 1 << 30) }, optional: {} },
};

const MATCHING: Readonly<Record<string, Check>> = {
  endpoint: oneOf(HOST_ENDPOINTS),
  method: text,
  pathPrefix: text,
  count: wholeNumber(1, Number.MAX_SAFE_INTEGER),
};

/** Reads a fault from JSON. Unknown kinds and members are refused, so that a typo does not pass as a successful test. */
export function parseFault(found: unknown): Parsed<Fault> {
  if (typeof found !== "object" || found === null || Array.isArray(found)) return refused("cannot read fault: want a JSON object");
  const members = new Map<string, unknown>(Object.entries(found));
  const kind = members.get("kind");
  const shape = typeof kind === "string" && Object.hasOwn(SHAPES, kind) ? SHAPES[kind as FaultKind] : undefined;
  if (shape === undefined)
    return refused(`cannot read fault: kind is ${JSON.stringify(kind)}, want one of ${Object.keys(SHAPES).join(", ")}`);
  for (const name of Object.keys(shape.required)) {
    if (!members.has(name)) return refused(`cannot read fault "${kind}": "${name}" is missing`);
  }
  const checks: Readonly<Record<string, Check>> = { ...shape.required, ...shape.optional, ...MATCHING };
  for (const [name, value] of members) {
    if (name === "kind") continue;
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (check === undefined) return refused(`cannot read fault "${kind}": unknown member "${name}"`);
    const problem = check(value);
    if (problem !== undefined) return refused(`cannot read fault "${kind}": "${name}" is ${JSON.stringify(value)}, ${problem}`);
  }
  // Every member was checked against the shape of its kind just above.
  return parsed(found as Fault);
}
