// The VM's identity for telemetry, read from three answers of the platform. Errors never quote an answer.

import { ENDPOINT_FACTS } from "../request/endpoint.ts";
import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import { elementAt, parseXml } from "./xml-reader.ts";

export interface VmMetadata {
  readonly tenantName: string;
  readonly roleName: string;
  readonly roleInstanceName: string;
  readonly containerId: string;
  readonly resourceGroupName: string;
  readonly subscriptionId: string;
  readonly vmId: string;
  /** 1: made from an image of the marketplace. */
  readonly imageOrigin: 0 | 1;
}

export interface GoalState {
  readonly containerId: string;
  /** Path and query of the shared config on WireServer. */
  readonly sharedConfigTarget: string;
}

const MAX_WORD_CHARACTERS = 512;

export function parseGoalState(document: string): Result<GoalState, string> {
  const root = parseXml(document);
  if (!root.ok) return root;
  if (root.value.name !== "GoalState") return err("found another document, want a GoalState");
  const container = elementAt(root.value, "Container");
  const url =
    container === undefined ? undefined : elementAt(container, "RoleInstanceList", "RoleInstance", "Configuration", "SharedConfig");
  const containerId = word(elementAt(root.value, "Container", "ContainerId")?.text);
  if (containerId === undefined || url === undefined) return err("found no ContainerId or no SharedConfig, want both");
  const sharedConfigTarget = targetOnWireServer(url.text.trim());
  return sharedConfigTarget === undefined
    ? err(`found a SharedConfig elsewhere, want one at http://${ENDPOINT_FACTS.wireserver.address}:80`)
    : ok({ containerId, sharedConfigTarget });
}

/** The agent's own calls go where the platform is, and nowhere else. */
function targetOnWireServer(url: string): string | undefined {
  const match = /^http:\/\/([0-9.]{7,15})(?::([0-9]{1,5}))?(\/[\x21-\x7e]{0,2048})$/.exec(url);
  const { address, port } = ENDPOINT_FACTS.wireserver;
  return match?.[1] === address && Number(match[2] ?? 80) === port && !match[3]?.includes("#") ? match[3] : undefined;
}

export function parseSharedConfig(document: string): Result<Pick<VmMetadata, "tenantName" | "roleName" | "roleInstanceName">, string> {
  const root = parseXml(document);
  if (!root.ok) return root;
  if (root.value.name !== "SharedConfig") return err("found another document, want a SharedConfig");
  const attribute = (name: string, ...path: readonly string[]) => word(elementAt(root.value, ...path)?.attributes.get(name));
  const tenantName = attribute("name", "Deployment");
  const roleName = attribute("name", "Role");
  const roleInstanceName = attribute("id", "Instances", "Instance");
  if (tenantName === undefined || roleName === undefined || roleInstanceName === undefined)
    return err("found no names of Deployment, Role and Instance, want all three");
  return ok({ tenantName, roleName, roleInstanceName });
}

export function parseInstance(
  document: string,
): Result<Pick<VmMetadata, "resourceGroupName" | "subscriptionId" | "vmId" | "imageOrigin">, string> {
  let json: unknown;
  try {
    json = JSON.parse(document);
  } catch {
    return err("found no JSON, want instance metadata");
  }
  const compute = isObject(json) && isObject(json.compute) ? json.compute : {};
  const [resourceGroupName, subscriptionId, vmId] = [word(compute.resourceGroupName), word(compute.subscriptionId), word(compute.vmId)];
  if (resourceGroupName === undefined || subscriptionId === undefined || vmId === undefined)
    return err("found no compute with resourceGroupName, subscriptionId and vmId, want all three");
  return ok({ resourceGroupName, subscriptionId, vmId, imageOrigin: typeof compute.offer === "string" && compute.offer !== "" ? 1 : 0 });
}

function word(value: unknown): string | undefined {
  return typeof value === "string" && value.length <= MAX_WORD_CHARACTERS ? value.trim() : undefined;
}
