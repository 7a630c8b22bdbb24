// The Instance Metadata Service: its entry rules (Metadata header, no X-Forwarded-For, api-version) and the documents guests read.
// Tokens and signatures it gives are plainly fake.

import { type HostRequest, hasMetadataHeader, queryValueOf } from "./host-request.ts";
import { emptyReply, jsonReply, type Reply, textReply, xmlReply } from "./reply.ts";
import { INSTANCE_DOCUMENT, SIMULATED } from "./simulated-vm.ts";

const API_VERSIONS = ["2017-03-01", "2017-04-02", "2017-08-01", "2017-12-01", "2018-02-01", "2018-04-02", "2018-10-01"].concat([
  "2019-03-11",
  "2019-06-01",
  "2019-06-04",
  "2019-08-01",
  "2019-08-15",
  "2019-11-01",
  "2020-06-01",
  "2020-07-15",
  "2020-09-01",
  "2020-10-01",
  "2020-12-01",
  "2021-01-01",
  "2021-02-01",
  "2021-03-01",
  "2021-05-01",
  "2021-10-01",
  "2021-11-01",
  "2021-11-15",
  "2021-12-13",
  "2023-07-01",
  "2023-11-15",
  "2024-03-15",
  "2024-07-17",
  "2025-04-07",
]);

const SERVER = "Server: IMDS/simulated\r\n";
const VERSIONS_REPLY = jsonReply(200, { apiVersions: API_VERSIONS }, SERVER);
const INSTANCE_REPLY = jsonReply(200, INSTANCE_DOCUMENT, SERVER);
const COMPUTE_REPLY = jsonReply(200, INSTANCE_DOCUMENT.compute, SERVER);

const REPROVISION_XML = `<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure"><wa:ProvisioningSection><wa:Version>1.0</wa:Version><LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure"><ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType><HostName>${SIMULATED.roleName}</HostName><UserName>azureuser</UserName><DisableSshPasswordAuthentication>true</DisableSshPasswordAuthentication></LinuxProvisioningConfigurationSet></wa:ProvisioningSection><wa:PlatformSettingsSection><wa:Version>1.0</wa:Version><PlatformSettings xmlns="http://schemas.microsoft.com/windowsazure"><ProvisionGuestAgent>true</ProvisionGuestAgent><ProvisionGuestProxyAgent>true</ProvisionGuestProxyAgent></PlatformSettings></wa:PlatformSettingsSection></Environment>`;

/** @param nowMs - host clock, milliseconds since 1970 */
export function answerImds(request: HostRequest, nowMs: number): Reply {
  const lowerCase = request.path.toLowerCase();
  const path = lowerCase.length > 1 && lowerCase.endsWith("/") ? lowerCase.slice(0, -1) : lowerCase;
  const isToken = path === "/metadata/identity/oauth2/token";
  if (!hasMetadataHeader(request)) return complain(400, isToken, "Required metadata header not specified");
  if (request.head.names.includes("x-forwarded-for")) return complain(400, isToken, "Required X-Forwarded-For header not expected");
  if (path === "/metadata/versions") return request.method === "GET" ? VERSIONS_REPLY : refuseMethod("GET");

  if (path === "/metadata/instance" || path.startsWith("/metadata/instance/")) {
    return requireGet(request) ?? requireVersion(request, false) ?? answerInstance(request, path);
  }
  switch (path) {
    case "/metadata/attested/document":
      return requireGet(request) ?? requireVersion(request, false) ?? answerAttested(request);
    case "/metadata/identity/oauth2/token":
      return requireGet(request) ?? requireVersion(request, true) ?? answerToken(request, nowMs);
    case "/metadata/identity/info":
      return requireGet(request) ?? requireVersion(request, true) ?? jsonReply(200, { tenantId: SIMULATED.tenantId }, SERVER);
    case "/metadata/scheduledevents":
      return requireVersion(request, false) ?? answerScheduledEvents(request);
    case "/metadata/reprovisiondata":
      return requireGet(request) ?? requireVersion(request, false) ?? xmlReply(200, REPROVISION_XML);
    default:
      return complain(404, false, "Not found");
  }
}

/** The refusal of an unsigned or wrongly signed request. */
export function imdsUnauthorized(): Reply {
  return jsonReply(401, { error: "Unauthorized. The request is not signed with the latched key" }, SERVER);
}

function answerInstance(request: HostRequest, path: string): Reply {
  const format = queryValueOf(request, "format")?.toLowerCase() ?? "json";
  if (format !== "json" && format !== "text") return complain(400, false, "Bad request. format must be json or text");
  if (format === "json") {
    if (path === "/metadata/instance") return INSTANCE_REPLY;
    if (path === "/metadata/instance/compute") return COMPUTE_REPLY;
  }
  let node: unknown = INSTANCE_DOCUMENT;
  for (const step of path.split("/").slice(3)) {
    node = memberOf(node, step);
    if (node === undefined) return complain(404, false, "Not found");
  }
  if (format === "text") return textReply(200, "text/plain; charset=utf-8", renderText(node), SERVER);
  // A leaf has no JSON form of its own in this service.
  return typeof node === "object"
    ? jsonReply(200, node, SERVER)
    : complain(400, false, "Bad request. format=text is required for this path");
}

/** Path steps were lower-cased, members are camelCase: compare without case. */
function memberOf(node: unknown, step: string): unknown {
  if (typeof node !== "object" || node === null) return undefined;
  for (const [name, value] of Object.entries(node)) {
    if (name.toLowerCase() === step) return value;
  }
  return undefined;
}

function renderText(node: unknown): string {
  if (typeof node !== "object" || node === null) return String(node);
  return Object.entries(node)
    .map(([name, value]) => (typeof value === "object" ? `${name}/` : name))
    .join("\n");
}

function answerAttested(request: HostRequest): Reply {
  const document = { simulated: true, nonce: queryValueOf(request, "nonce") ?? "", vmId: SIMULATED.vmId };
  return jsonReply(200, { encoding: "pkcs7", signature: Buffer.from(JSON.stringify(document)).toString("base64") }, SERVER);
}

function answerToken(request: HostRequest, nowMs: number): Reply {
  const resource = queryValueOf(request, "resource");
  if (!resource) return complain(400, true, "Required audience parameter not specified");
  const nowSeconds = Math.floor(nowMs / 1000);
  return jsonReply(
    200,
    {
      access_token: "simulated.token.worth-nothing",
      client_id: queryValueOf(request, "client_id") ?? SIMULATED.clientId,
      expires_in: "86400",
      expires_on: String(nowSeconds + 86_400),
      ext_expires_in: "86399",
      not_before: String(nowSeconds),
      resource,
      token_type: "Bearer",
    },
    SERVER,
  );
}

function answerScheduledEvents(request: HostRequest): Reply {
  if (request.method === "GET") return jsonReply(200, { DocumentIncarnation: 1, Events: [] }, SERVER);
  if (request.method !== "POST") return refuseMethod("GET, POST");
  try {
    const value: unknown = JSON.parse(request.body?.toString("utf8") ?? "");
    if (typeof value === "object" && value !== null && "StartRequests" in value && Array.isArray(value.StartRequests)) {
      return emptyReply(200, SERVER);
    }
  } catch {
    // Answered below like any other body that is no start request.
  }
  return complain(400, false, "Bad request. Body must hold StartRequests");
}

function requireGet(request: HostRequest): Reply | undefined {
  return request.method === "GET" || request.method === "HEAD" ? undefined : refuseMethod("GET, HEAD");
}

function requireVersion(request: HostRequest, identity: boolean): Reply | undefined {
  const version = queryValueOf(request, "api-version");
  // Newer versions than we know pass: a simulator must not age faster than its users.
  if (version !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(version)) return undefined;
  if (identity) return complain(400, true, "Required api-version parameter not specified or invalid");
  return jsonReply(
    400,
    {
      error: "Bad request. api-version is invalid or was not specified in the request",
      "newest-versions": API_VERSIONS.slice(-3).reverse(),
    },
    SERVER,
  );
}

function refuseMethod(allow: string): Reply {
  return jsonReply(405, { error: "Method not allowed" }, `${SERVER}Allow: ${allow}\r\n`);
}

/** The identity service words its errors as OAuth does; the others have one member. */
function complain(status: number, oauth: boolean, text: string): Reply {
  return jsonReply(status, oauth ? { error: "invalid_request", error_description: text } : { error: text }, SERVER);
}
