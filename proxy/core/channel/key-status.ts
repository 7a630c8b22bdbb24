// The host's status of the secure channel: which endpoints it protects, in which mode, under which rules, with which key.
// A status that cannot be read wholly is refused and changes nothing; unknown words are errors, never "disabled".

import { ENDPOINTS, type Endpoint } from "../request/endpoint.ts";
import type { Mode } from "../request/verdict.ts";
import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import { parseStrictJson, renderJsonError } from "../text/strict-json.ts";
import { isKeyGuid } from "./secure-channel.ts";

/** A status member that is missing or of the wrong kind. `found` is cut short and never holds key material. */
export interface StatusError {
  /** JSON pointer to the member. */
  readonly pointer: string;
  readonly found: string;
  readonly want: string;
}

/** A rule item whose members have the right JSON types; core/rules/rules.ts reads its meaning. */
export interface RawRuleItem {
  readonly id: string;
  readonly mode: string;
  readonly defaultAccess: string;
  readonly json: Readonly<Record<string, unknown>>;
}

/** How an endpoint is to be treated: by a fixed mode (version 1.0, or no item) or by its rule item (version 2.0). */
export type EndpointOrder =
  | { readonly kind: "mode"; readonly mode: Mode }
  /** `from` is the endpoint whose item it is: HostGAPlugin takes WireServer's when the host sends it none of its own. */
  | { readonly kind: "rules"; readonly item: RawRuleItem; readonly from: Endpoint };

export interface KeyStatus {
  readonly enabled: boolean;
  /** The text that status readers compare, e.g. `WireServer Enforce -  IMDS Audit - HostGA Enforce` or `disabled`. */
  readonly stateText: string;
  /** The key the host has latched; undefined: none yet. */
  readonly keyGuid: string | undefined;
  readonly keyIncarnationId: number | undefined;
  readonly orders: Readonly<Record<Endpoint, EndpointOrder>>;
}

const DISABLED: EndpointOrder = { kind: "mode", mode: "disabled" };

/** Modes of version 1.0 by the lower-cased state word. */
const VERSION_1_MODES: ReadonlyMap<string, Readonly<Record<Endpoint, Mode>>> = new Map([
  ["disabled", { wireserver: "disabled", hostga: "disabled", imds: "disabled" }],
  ["wireserver", { wireserver: "enforce", hostga: "enforce", imds: "audit" }],
  ["wireserverandimds", { wireserver: "enforce", hostga: "enforce", imds: "enforce" }],
]);

/** Longer statuses are refused; one with a large rule set stays far below this. UTF-8 bytes. */
export const MAX_STATUS_BYTES = 4 * 1024 * 1024;

/** Reads the body of `GET /secure-channel/status`. A member given twice is refused: which of the two modes would count? */
export function parseKeyStatus(text: string): Result<KeyStatus, StatusError> {
  const read = parseStrictJson(text, { maxBytes: MAX_STATUS_BYTES });
  if (!read.ok) return err({ pointer: "", found: `text that is not strict JSON (${renderJsonError(read.error)})`, want: "a JSON object" });
  const json = read.value.value;
  if (!isObject(json)) return err({ pointer: "", found: describe(json), want: "a JSON object" });
  const reader = new MemberReader(json);
  const scheme = reader.text("authorizationScheme");
  const delivery = reader.text("keyDeliveryMethod");
  const version = reader.text("version");
  const state = reader.optionalText("secureChannelState")?.toLowerCase();
  const enabled = reader.optionalBoolean("secureChannelEnabled");
  const keyGuid = reader.optionalText("keyGuid");
  const keyIncarnationId = reader.optionalCount("keyIncarnationId");
  reader.optionalTexts("requiredClaimsHeaderPairs");
  const items = reader.ruleItems("authorizationRules");
  if (reader.error !== undefined) return err(reader.error);
  if (scheme !== "Azure-HMAC-SHA256") return err({ pointer: "/authorizationScheme", found: describe(scheme), want: '"Azure-HMAC-SHA256"' });
  if (delivery !== "http" && delivery !== "vtpm")
    return err({ pointer: "/keyDeliveryMethod", found: describe(delivery), want: '"http" or "vtpm"' });
  if (keyGuid !== undefined && !isKeyGuid(keyGuid)) return err({ pointer: "/keyGuid", found: describe(keyGuid), want: "a GUID or null" });
  if (state !== undefined && !VERSION_1_MODES.has(state)) {
    return err({ pointer: "/secureChannelState", found: describe(state), want: '"disabled", "wireserver" or "wireserverandimds"' });
  }
  const key = { keyGuid, keyIncarnationId };
  if (version === "1.0") {
    const modes = state === undefined ? undefined : VERSION_1_MODES.get(state);
    if (state === undefined || modes === undefined)
      return err({ pointer: "/secureChannelState", found: "nothing", want: "a state word (version 1.0)" });
    const orders = perEndpoint((endpoint): EndpointOrder => ({ kind: "mode", mode: modes[endpoint] }));
    return ok({ ...key, enabled: state !== "disabled", stateText: state, orders });
  }
  if (version === "2.0") {
    if (enabled === undefined) return err({ pointer: "/secureChannelEnabled", found: "nothing", want: "true or false (version 2.0)" });
    // A disabled channel protects nothing, whatever rules come with it.
    if (!enabled || items === undefined) return ok({ ...key, enabled: false, stateText: "disabled", orders: perEndpoint(() => DISABLED) });
    const orders = perEndpoint((endpoint): EndpointOrder => {
      const from = endpoint === "hostga" && items.hostga === undefined ? "wireserver" : endpoint;
      const item = items[from];
      return item === undefined ? DISABLED : { kind: "rules", item, from };
    });
    return ok({ ...key, enabled: true, stateText: renderStateText(orders), orders });
  }
  return err({ pointer: "/version", found: describe(version), want: '"1.0" or "2.0"' });
}

export function renderStatusError(error: StatusError): string {
  return `cannot read secure channel status${error.pointer === "" ? "" : ` at "${error.pointer}"`}: found ${error.found}, want ${error.want}`;
}

/** Two blanks before IMDS, as the platform's own tools expect it. */
function renderStateText(orders: Readonly<Record<Endpoint, EndpointOrder>>): string {
  const word = (order: EndpointOrder) => {
    const mode = order.kind === "rules" ? order.item.mode.toLowerCase() : order.mode;
    return mode === "enforce" ? "Enforce" : mode === "audit" ? "Audit" : "Disabled";
  };
  return `WireServer ${word(orders.wireserver)} -  IMDS ${word(orders.imds)} - HostGA ${word(orders.hostga)}`;
}

export function perEndpoint<Value>(make: (endpoint: Endpoint) => Value): Readonly<Record<Endpoint, Value>> {
  return { wireserver: make("wireserver"), hostga: make("hostga"), imds: make("imds") };
}

/** What was found, for an error text that reaches status, log and boot tools: the kind, and only short texts quoted. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  // Words that a status may hold are short; a longer text may be a secret.
  if (typeof value === "string") return value.length > 40 ? `a text of ${value.length} characters` : JSON.stringify(value);
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : "an object";
}

/** Reads typed members and keeps the first error, so that the reading code stays a plain list. */
class MemberReader {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #pointer: string;
  error: StatusError | undefined;

  constructor(json: Readonly<Record<string, unknown>>, pointer = "") {
    this.#json = json;
    this.#pointer = pointer;
  }

  text(name: string): string {
    return this.#read(name, "a text", (value) => (typeof value === "string" ? value : undefined)) ?? "";
  }

  optionalText(name: string): string | undefined {
    return this.#optional(name, "a text or null", (value) => (typeof value === "string" ? value : undefined));
  }

  optionalBoolean(name: string): boolean | undefined {
    return this.#optional(name, "true, false or null", (value) => (typeof value === "boolean" ? value : undefined));
  }

  optionalCount(name: string): number | undefined {
    const isCount = (value: unknown) =>
      typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffffffff ? value : undefined;
    return this.#optional(name, "a number from 0 to 4294967295 or null", isCount);
  }

  optionalTexts(name: string): readonly unknown[] | undefined {
    const isTexts = (value: unknown) => (Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined);
    return this.#optional(name, "an array of texts or null", isTexts);
  }

  ruleItems(name: string): Partial<Record<Endpoint, RawRuleItem>> | undefined {
    const rules = this.#optional(name, "an object or null", (value) => (isObject(value) ? value : undefined));
    if (rules === undefined) return undefined;
    const items: Partial<Record<Endpoint, RawRuleItem>> = {};
    for (const endpoint of ENDPOINTS) {
      const raw = rules[endpoint];
      if (raw === undefined || raw === null) continue;
      const pointer = `${this.#pointer}/${name}/${endpoint}`;
      if (!isObject(raw)) {
        this.error ??= { pointer, found: describe(raw), want: "a rule item (object)" };
        continue;
      }
      const item = new MemberReader(raw, pointer);
      items[endpoint] = { id: item.text("id"), mode: item.text("mode"), defaultAccess: item.text("defaultAccess"), json: raw };
      this.error ??= item.error;
    }
    return items;
  }

  #optional<Value>(name: string, want: string, read: (value: unknown) => Value | undefined): Value | undefined {
    const value = this.#json[name];
    return value === undefined || value === null ? undefined : this.#read(name, want, read);
  }

  #read<Value>(name: string, want: string, read: (value: unknown) => Value | undefined): Value | undefined {
    const value = Object.hasOwn(this.#json, name) ? read(this.#json[name]) : undefined;
    if (value === undefined) this.error ??= { pointer: `${this.#pointer}/${name}`, found: describe(this.#json[name]), want };
    return value;
  }
}
