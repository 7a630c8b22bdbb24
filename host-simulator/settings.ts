// Settings of a simulated host: channel version, modes, rules, clock. Read from JSON strictly, so that a typo
// is an error and never an open host. Settings are replaced whole, between two requests.

import { createHash } from "node:crypto";
import { type ChannelVersion, HOST_MODES, type HostEndpoint, type HostMode, type Parsed, parsed, refused } from "./host-model.ts";

/** An item of `authorizationRules`, passed on to the agent as it is. `mode` is set from the settings. */
export type RuleItem = Readonly<Record<string, unknown>>;

export interface HostSettings {
  readonly channelVersion: ChannelVersion;
  readonly wireserver: HostMode;
  readonly imds: HostMode;
  /** Hosts have no setting of its own for HostGAPlugin: it follows WireServer unless a test says otherwise. */
  readonly hostga: HostMode | "as-wireserver";
  readonly rules: { readonly wireserver?: RuleItem; readonly imds?: RuleItem; readonly hostga?: RuleItem };
  /** `secureChannelEnabled` of version 2.0; "derived" is true unless every mode is disabled. */
  readonly secureChannelEnabled: boolean | "derived";
  /** A signed request whose date is further away than this is refused. */
  readonly dateToleranceSeconds: number;
  /** How far the host's clock is ahead of ours (negative: behind). */
  readonly clockOffsetSeconds: number;
  readonly extensionArtifactBytes: number;
  /** May a new key be acquired while one is latched? Real hosts want a new incarnation first. */
  readonly acquireWhileLatched: "refuse" | "allow";
  /** Members laid over the status answer last, to say what no sane host says. */
  readonly statusOverride: Readonly<Record<string, unknown>>;
}

export const DEFAULT_SETTINGS: HostSettings = {
  channelVersion: "2.0",
  wireserver: "enforce",
  imds: "enforce",
  hostga: "as-wireserver",
  rules: {},
  secureChannelEnabled: "derived",
  dateToleranceSeconds: 600,
  clockOffsetSeconds: 0,
  extensionArtifactBytes: 4 * 1024 * 1024,
  acquireWhileLatched: "refuse",
  statusOverride: {},
};

export function modeOf(settings: HostSettings, endpoint: HostEndpoint): HostMode {
  if (endpoint === "imds") return settings.imds;
  return endpoint === "wireserver" || settings.hostga === "as-wireserver" ? settings.wireserver : settings.hostga;
}

export function isChannelEnabled(settings: HostSettings): boolean {
  if (settings.secureChannelEnabled !== "derived") return settings.secureChannelEnabled;
  return settings.wireserver !== "disabled" || settings.imds !== "disabled";
}

/** `secureChannelState` of version 1.0, which knows only three pairs of modes. */
export function channelStateWord(settings: HostSettings): Parsed<"Disabled" | "Wireserver" | "WireserverAndImds"> {
  const { wireserver, imds } = settings;
  if (wireserver === "disabled" && imds === "disabled") return parsed("Disabled");
  if (wireserver === "enforce") return parsed(imds === "enforce" ? "WireserverAndImds" : "Wireserver");
  return refused(
    `cannot say this in version 1.0: wireserver is ${wireserver} and imds is ${imds}, want wireserver enforce, or both disabled`,
  );
}

/** `authorizationRules` of version 2.0: the configured items, or ones that allow everything, with today's modes. */
export function renderRules(settings: HostSettings): Record<string, RuleItem> {
  const items: Record<string, RuleItem> = {
    imds: completeItem("imds", settings.rules.imds, settings.imds),
    wireserver: completeItem("wireserver", settings.rules.wireserver, settings.wireserver),
  };
  if (settings.rules.hostga !== undefined || settings.hostga !== "as-wireserver") {
    items.hostga = completeItem("hostga", settings.rules.hostga, modeOf(settings, "hostga"));
  }
  return items;
}

/** Agents reload rules only when the id changes, so an item without one gets an id derived from its content. */
function completeItem(endpoint: HostEndpoint, item: RuleItem | undefined, mode: HostMode): RuleItem {
  const full = { defaultAccess: "allow", ...item, mode };
  if (item !== undefined && "id" in item) return full;
  const digest = createHash("sha256").update(JSON.stringify(full)).digest("hex").slice(0, 16);
  return { ...full, id: `simulated-${endpoint}-${digest}` };
}

type Reader = (value: unknown) => string | undefined;

const word =
  (...words: readonly (string | boolean)[]): Reader =>
  (value) =>
    words.some((known) => known === value) ? undefined : `want one of ${words.join(", ")}`;
const whole =
  (least: number, most: number): Reader =>
  (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= least && value <= most
      ? undefined
      : `want a whole number from ${least} to ${most}`;
const object: Reader = (value) => (isObject(value) ? undefined : "want a JSON object");

const READERS: Readonly<Record<keyof HostSettings, Reader>> = {
  channelVersion: word("1.0", "2.0"),
  wireserver: word(...HOST_MODES),
  imds: word(...HOST_MODES),
  hostga: word(...HOST_MODES, "as-wireserver"),
  rules: object,
  secureChannelEnabled: word(true, false, "derived"),
  dateToleranceSeconds: whole(0, 1_000_000_000),
  clockOffsetSeconds: whole(-1_000_000_000, 1_000_000_000),
  extensionArtifactBytes: whole(0, 8 * 1024 ** 3),
  acquireWhileLatched: word("refuse", "allow"),
  statusOverride: object,
};

/**
 * Lays changes over settings.
 * @param changes - any of the members of {@link HostSettings}; others are refused
 */
export function changeSettings(settings: HostSettings, changes: unknown): Parsed<HostSettings> {
  if (!isObject(changes)) return refused("cannot change settings: want a JSON object");
  for (const [name, value] of Object.entries(changes)) {
    const reader = Object.hasOwn(READERS, name) ? READERS[name as keyof HostSettings] : undefined;
    if (reader === undefined) {
      return refused(`cannot change settings: unknown member "${name}", want any of ${Object.keys(READERS).join(", ")}`);
    }
    const problem = reader(value);
    if (problem !== undefined) return refused(`cannot change settings: "${name}" is ${JSON.stringify(value)}, ${problem}`);
  }
  // Each member was read by its own reader just above; rules follow here.
  let changed: HostSettings = { ...settings, ...(changes as Partial<HostSettings>) };
  if ("rules" in changes) {
    const withModes = takeRules(changed, changes.rules, changes);
    if (!withModes.ok) return withModes;
    changed = withModes.value;
  }
  if (changed.channelVersion === "1.0") {
    const state = channelStateWord(changed);
    if (!state.ok) return state;
  }
  return parsed(changed);
}

/** Rules as the platform sends them carry a mode each; it counts unless the same change names a mode itself. */
function takeRules(settings: HostSettings, rules: unknown, changes: Readonly<Record<string, unknown>>): Parsed<HostSettings> {
  if (!isObject(rules)) return refused("cannot read rules: want a JSON object");
  let changed = settings;
  for (const [endpoint, item] of Object.entries(rules)) {
    if (endpoint !== "wireserver" && endpoint !== "imds" && endpoint !== "hostga") {
      return refused(`cannot read rules: unknown endpoint "${endpoint}", want wireserver, imds or hostga`);
    }
    if (!isObject(item)) return refused(`cannot read rules: item "${endpoint}" is no JSON object`);
    const { mode } = item;
    if (mode === undefined) continue;
    const known = HOST_MODES.find((candidate) => typeof mode === "string" && candidate === mode.toLowerCase());
    if (known === undefined) {
      return refused(`cannot read rules: mode of "${endpoint}" is ${JSON.stringify(mode)}, want one of ${HOST_MODES.join(", ")}`);
    }
    if (!(endpoint in changes)) changed = { ...changed, [endpoint]: known };
  }
  return parsed(changed);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
