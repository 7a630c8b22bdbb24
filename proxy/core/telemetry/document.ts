// The XML document in which WireServer accepts telemetry. Each event's parameters are escaped for XML, are in a CDATA section, and hold
// nothing that XML 1.0 forbids: one such character would make the platform refuse all events of a document.

import { redactSecrets } from "../text/redact.ts";
import type { ExtensionEvent, GenericEvent, TelemetryEvent } from "./event.ts";
import type { VmMetadata } from "./vm-metadata.ts";

/** What the agent knows about the machine itself. */
export interface MachineFacts {
  readonly cpuArchitecture: string;
  /** `Linux:{name}-{version}` */
  readonly osVersion: string;
  readonly ramMb: number;
  readonly processors: number;
}

/** Smaller than this, or the platform refuses it. */
export const DOCUMENT_LIMIT_BYTES = 65_536;

const HEAD = '<?xml version="1.0"?><TelemetryData version="1.0">';
const TAIL = "</TelemetryData>";
const PROVIDERS = {
  generic: { id: "FFF0196F-EE4C-4EAF-9AA5-776F622DEB4F", eventId: 7 },
  extension: { id: "69B669B9-4AF8-4C50-BDC4-6006FA76E975", eventId: 1 },
} as const;
const EVENT_NAME = "MicrosoftAzureGuestProxyAgent";
const EXECUTION_MODE = "ProxyAgent";

export interface PackedDocument {
  readonly xml: string;
  /** How many events are in it. */
  readonly events: number;
}

export interface PackedEvents {
  readonly documents: readonly PackedDocument[];
  /** Events that are too big to go even alone. */
  readonly tooBig: number;
}

/** @param agentVersion - of the agent that sends */
export function packEvents(events: readonly TelemetryEvent[], vm: VmMetadata, machine: MachineFacts, agentVersion: string): PackedEvents {
  const common = renderCommon(vm, machine);
  const frame = Buffer.byteLength(HEAD + TAIL + providerHead("generic") + providerHead("extension")) + 2 * "</Provider>".length;
  const documents: PackedDocument[] = [];
  let tooBig = 0;
  let open: { readonly kind: TelemetryEvent["kind"]; readonly xml: string }[] = [];
  let bytes = frame;
  for (const event of events) {
    const xml = `<Event id="${PROVIDERS[event.kind].eventId}"><![CDATA[${common}${renderOwn(event, agentVersion)}]]></Event>`;
    const size = Buffer.byteLength(xml);
    if (frame + size >= DOCUMENT_LIMIT_BYTES) {
      tooBig++;
      continue;
    }
    if (bytes + size >= DOCUMENT_LIMIT_BYTES) {
      documents.push({ xml: renderDocument(open), events: open.length });
      open = [];
      bytes = frame;
    }
    open.push({ kind: event.kind, xml });
    bytes += size;
  }
  if (open.length > 0) documents.push({ xml: renderDocument(open), events: open.length });
  return { documents, tooBig };
}

function renderDocument(events: readonly { readonly kind: TelemetryEvent["kind"]; readonly xml: string }[]): string {
  const provider = (kind: TelemetryEvent["kind"]) => {
    const own = events.filter((event) => event.kind === kind);
    return own.length === 0 ? "" : `${providerHead(kind)}${own.map(({ xml }) => xml).join("")}</Provider>`;
  };
  return `${HEAD}${provider("generic")}${provider("extension")}${TAIL}`;
}

function providerHead(kind: TelemetryEvent["kind"]): string {
  return `<Provider id="${PROVIDERS[kind].id}">`;
}

function renderCommon(vm: VmMetadata, machine: MachineFacts): string {
  return [
    text("KeywordName", JSON.stringify({ CpuArchitecture: machine.cpuArchitecture })),
    text("TenantName", vm.tenantName),
    text("RoleName", vm.roleName),
    text("RoleInstanceName", vm.roleInstanceName),
    text("ContainerId", vm.containerId),
    text("ResourceGroupName", vm.resourceGroupName),
    text("SubscriptionId", vm.subscriptionId),
    text("VMId", vm.vmId),
    number("ImageOrigin", vm.imageOrigin),
    text("OSVersion", machine.osVersion),
    number("RAM", machine.ramMb),
    number("Processors", machine.processors),
  ].join("");
}

function renderOwn(event: TelemetryEvent, agentVersion: string): string {
  return event.kind === "generic" ? renderGeneric(event) : renderExtension(event, agentVersion);
}

function renderGeneric(event: GenericEvent): string {
  return [
    number("EventPid", event.pid),
    number("EventTid", event.tid),
    text("GAVersion", event.version),
    text("ExecutionMode", EXECUTION_MODE),
    text("TaskName", event.taskName),
    text("OpcodeName", event.timeStamp),
    text("EventName", EVENT_NAME),
    text("CapabilityUsed", event.level),
    text("Context1", redactSecrets(event.message)),
    text("Context2", event.timeStamp),
    text("Context3", event.operationId),
  ].join("");
}

function renderExtension(event: ExtensionEvent, agentVersion: string): string {
  return [
    number("EventPid", event.pid),
    number("EventTid", event.tid),
    text("GAVersion", agentVersion),
    text("ExecutionMode", EXECUTION_MODE),
    text("TaskName", event.taskName),
    text("OpcodeName", event.timeStamp),
    text("ExtensionType", event.extensionType),
    bool("IsInternal", event.isInternal),
    text("Name", event.name),
    text("Version", event.version),
    text("Operation", event.operation),
    bool("OperationSuccess", event.succeeded),
    text("Message", redactSecrets(event.message)),
    number("Duration", event.durationMs),
  ].join("");
}

function text(name: string, value: string): string {
  return param(name, escapeXml(value), "wstr");
}

/** @param value - digits, when it is a text */
function number(name: string, value: number | string): string {
  return param(name, String(value), "uint64");
}

function bool(name: string, value: boolean): string {
  return param(name, value ? "True" : "False", "bool");
}

function param(name: string, value: string, type: "wstr" | "uint64" | "bool"): string {
  return `<Param Name="${name}" Value="${value}" T="mt:${type}" />`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "'": "&apos;", '"': "&quot;", "<": "&lt;", ">": "&gt;" };

/** Escapes for an attribute; what XML 1.0 has no place for becomes U+FFFD. `]]>` cannot be left, because `>` is escaped. */
export function escapeXml(value: string): string {
  return value
    .toWellFormed()
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&'"<>]/g, (character) => ENTITIES[character] ?? "");
}
