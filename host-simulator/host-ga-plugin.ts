// HostGAPlugin: what the Linux guest agent requests from it. Uploads are counted and discarded, artifacts are generated as they are sent.

import { createHash } from "node:crypto";
import { type HostRequest, headerValueOf } from "./host-request.ts";
import { emptyReply, jsonReply, methodNotAllowed, type Reply } from "./reply.ts";
import { SIMULATED } from "./simulated-vm.ts";

const VM_SETTINGS = {
  hostGAPluginVersion: "1.0.8.151",
  vmSettingsSchemaVersion: "0.0",
  activityId: SIMULATED.vmId,
  correlationId: SIMULATED.vmId,
  inSvdSeqNo: 1,
  extensionsLastModifiedTickCount: 637726657706205,
  extensionGoalStatesSource: "FastTrack",
  onHold: false,
  statusUploadBlob: { statusBlobType: "BlockBlob", value: "http://simulated.invalid/status" },
  inVMMetadata: { subscriptionId: SIMULATED.subscriptionId, resourceGroupName: SIMULATED.resourceGroup, vmName: SIMULATED.roleName },
  gaFamilies: [],
  extensionGoalStates: [],
};

const VM_SETTINGS_ETAG = `"${createHash("sha256").update(JSON.stringify(VM_SETTINGS)).digest("hex").slice(0, 20)}"`;
const VM_SETTINGS_REPLY = jsonReply(200, VM_SETTINGS, `ETag: ${VM_SETTINGS_ETAG}\r\n`);
const VERSIONS_REPLY = jsonReply(200, ["2015-09-01"]);
const ARTIFACT_BLOCK = makeArtifactBlock();

/** @param artifactBytes - length of an extension artifact */
export function answerHostGaPlugin(request: HostRequest, artifactBytes: number): Reply {
  const { method } = request;
  switch (request.path.toLowerCase()) {
    case "/versions":
      return method === "GET" ? VERSIONS_REPLY : methodNotAllowed("GET");
    case "/health":
      return method === "GET" ? emptyReply(200) : methodNotAllowed("GET");
    case "/vmsettings":
      return method === "GET" ? answerVmSettings(request) : methodNotAllowed("GET");
    case "/extensionartifact":
      return method === "GET" || method === "HEAD" ? answerArtifact(request, artifactBytes) : methodNotAllowed("GET, HEAD");
    case "/status":
    case "/vmagentlog":
      return method === "PUT" ? emptyReply(200) : methodNotAllowed("PUT");
    default:
      return jsonReply(404, { error: "not found" });
  }
}

function answerVmSettings(request: HostRequest): Reply {
  const known = headerValueOf(request, "if-none-match");
  const unchanged = known?.split(",").some((tag) => tag.trim() === VM_SETTINGS_ETAG || tag.trim() === "*") === true;
  return unchanged ? emptyReply(304, `ETag: ${VM_SETTINGS_ETAG}\r\n`) : VM_SETTINGS_REPLY;
}

function answerArtifact(request: HostRequest, artifactBytes: number): Reply {
  if (headerValueOf(request, "x-ms-artifact-location") === undefined) {
    return jsonReply(400, { error: "x-ms-artifact-location is missing" });
  }
  return {
    status: 200,
    headerLines: "Content-Type: application/zip\r\n",
    body: { totalBytes: artifactBytes, block: ARTIFACT_BLOCK },
  };
}

/** Begins like a zip's local file header; the rest is a pattern in which a lost or doubled block shows. */
function makeArtifactBlock(): Uint8Array {
  const block = new Uint8Array(256 * 1024);
  for (let i = 0; i < block.length; i++) block[i] = (i ^ (i >> 8)) & 0xff;
  block.set([0x50, 0x4b, 0x03, 0x04]);
  return block;
}
