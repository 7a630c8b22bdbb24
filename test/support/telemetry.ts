// Telemetry events and machines for tests.

import type { MachineFacts } from "../../proxy/core/telemetry/document.ts";
import type { ExtensionEvent, GenericEvent } from "../../proxy/core/telemetry/event.ts";
import type { VmMetadata } from "../../proxy/core/telemetry/vm-metadata.ts";

export const MACHINE: MachineFacts = { cpuArchitecture: "x86_64", osVersion: "Linux:Test-1", ramMb: 4096, processors: 2 };

export const VM: VmMetadata = {
  tenantName: "tenant",
  roleName: "role",
  roleInstanceName: "_role",
  containerId: "container",
  resourceGroupName: "group",
  subscriptionId: "subscription",
  vmId: "vm",
  imageOrigin: 1,
};

const ORIGIN = { pid: "7", tid: "8", timeStamp: "2026-01-02T03:04:05.678Z" } as const;

export function genericEvent(message: string, more: Partial<GenericEvent> = {}): GenericEvent {
  const known = { level: "INFO", version: "1.2.3", taskName: "task", operationId: "module" };
  return { kind: "generic", message, ...known, ...ORIGIN, ...more };
}

export function extensionEvent(message: string, more: Partial<ExtensionEvent> = {}): ExtensionEvent {
  const who = { name: "ext", version: "4.5", isInternal: false, extensionType: "Monitoring" };
  const what = { operation: "enable", succeeded: true, taskName: "task", durationMs: 12 };
  return { kind: "extension", message, ...who, ...what, ...ORIGIN, ...more };
}
