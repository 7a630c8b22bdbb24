// WireServer's other calls: goal state and what it points to, health, telemetry, versions.
// Documents hold what agents and boot clients read, with names that say they are simulated.

import { type HostRequest, headerValueOf, queryValueOf } from "./host-request.ts";
import { emptyReply, jsonReply, methodNotAllowed, type Reply, textReply, xmlReply } from "./reply.ts";
import { SIMULATED } from "./simulated-vm.ts";

const VERSIONS_XML = `<?xml version="1.0" encoding="utf-8"?>
<Versions><Preferred><Version>2015-04-05</Version></Preferred><Supported>
<Version>2015-04-05</Version><Version>2012-11-30</Version><Version>2012-09-15</Version></Supported></Versions>`;

const CONFIG_DOCUMENTS: Readonly<Record<string, string>> = {
  sharedconfig: `<?xml version="1.0" encoding="utf-8"?>
<SharedConfig version="1.0.0.0" goalStateIncarnation="1">
<Deployment name="${SIMULATED.tenantName}" guid="{${SIMULATED.containerId}}" incarnation="0"><Service name="${SIMULATED.tenantName}" guid="{00000000-0000-0000-0000-000000000000}"/></Deployment>
<Incarnation number="1" instance="${SIMULATED.roleInstance}" guid="{${SIMULATED.containerId}}"/>
<Role guid="{00000000-0000-0000-0000-000000000001}" name="${SIMULATED.roleName}" settleTimeSeconds="0"/>
<Instances><Instance id="${SIMULATED.roleInstance}" address="10.0.0.4"/></Instances>
</SharedConfig>`,
  hostingenvironmentconfig: `<?xml version="1.0" encoding="utf-8"?>
<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="1"><Deployment name="${SIMULATED.tenantName}" guid="{${SIMULATED.containerId}}" incarnation="0"/><Incarnation number="1" instance="${SIMULATED.roleInstance}" guid="{${SIMULATED.containerId}}"/><Role guid="{00000000-0000-0000-0000-000000000001}" name="${SIMULATED.roleName}" hostingEnvironmentVersion="1" software="" softwareType="ApplicationPackage" entryPoint=""/></HostingEnvironmentConfig>`,
  extensionsconfig: `<?xml version="1.0" encoding="utf-8"?>
<Extensions version="1.0.0.0" goalStateIncarnation="1"><GuestAgentExtension/><Plugins/><PluginSettings/></Extensions>`,
  fullconfig: `<?xml version="1.0" encoding="utf-8"?><FullConfig version="1.0.0.0"/>`,
};

const CERTIFICATES_XML = `<?xml version="1.0" encoding="utf-8"?>
<CertificateFile><Version>2010-12-15</Version><Incarnation>1</Incarnation><Format>Pkcs7BlobWithPfxContents</Format><Data>c2ltdWxhdGVkOiBubyBjZXJ0aWZpY2F0ZXM=</Data></CertificateFile>`;

/** @param baseUrl - where goal state URLs point, without a final slash; the address clients use, not the one we listen on */
export function answerWireServer(request: HostRequest, baseUrl: string): Reply {
  const path = request.path.toLowerCase();
  const comp = queryValueOf(request, "comp")?.toLowerCase();
  if (path === "/" && comp === "versions") return request.method === "GET" ? xmlReply(200, VERSIONS_XML) : methodNotAllowed("GET");
  if (path === "/machine" || path === "/machine/") return answerMachine(request, comp, baseUrl);
  if (path.startsWith("/machine/")) return answerConfig(request, comp);
  if (path === "/healthservice") return request.method === "POST" ? jsonReply(200, {}) : methodNotAllowed("POST");
  if (path === "/provisioning/health") return request.method === "POST" ? emptyReply(201) : methodNotAllowed("POST");
  return wireError(404, "ResourceNotAvailable", "no such resource");
}

function answerMachine(request: HostRequest, comp: string | undefined, baseUrl: string): Reply {
  switch (comp) {
    case "goalstate":
      if (request.method !== "GET") return methodNotAllowed("GET");
      return lacksVersion(request) ?? xmlReply(200, goalState(baseUrl));
    case "health":
    case "roleproperties":
      if (request.method !== "POST") return methodNotAllowed("POST");
      return lacksVersion(request) ?? emptyReply(200);
    case "telemetrydata":
      return request.method === "POST" ? emptyReply(200) : methodNotAllowed("POST");
    default:
      return wireError(400, "InvalidRequest", "comp is missing or unknown");
  }
}

function answerConfig(request: HostRequest, comp: string | undefined): Reply {
  if (request.method !== "GET") return methodNotAllowed("GET");
  const missing = lacksVersion(request);
  if (missing !== undefined) return missing;
  if (comp === "certificates") return xmlReply(200, CERTIFICATES_XML);
  const type = queryValueOf(request, "type")?.toLowerCase() ?? "";
  const document = comp === "config" && Object.hasOwn(CONFIG_DOCUMENTS, type) ? CONFIG_DOCUMENTS[type] : undefined;
  return document === undefined ? wireError(404, "ResourceNotAvailable", "no such configuration") : xmlReply(200, document);
}

function lacksVersion(request: HostRequest): Reply | undefined {
  return headerValueOf(request, "x-ms-version") === undefined
    ? wireError(400, "MissingRequiredHeader", "x-ms-version is missing")
    : undefined;
}

function goalState(baseUrl: string): string {
  const url = (query: string): string =>
    `${baseUrl}/machine/${SIMULATED.containerId}/${encodeURIComponent(SIMULATED.roleInstance)}?${query}`.replaceAll("&", "&amp;");
  const config = (type: string): string => url(`comp=config&type=${type}&incarnation=1`);
  return `<?xml version="1.0" encoding="utf-8"?>
<GoalState><Version>2012-11-30</Version><Incarnation>1</Incarnation>
<Machine><ExpectedState>Started</ExpectedState><StopRolesDeadlineHint>300000</StopRolesDeadlineHint><LBProbePorts><Port>16001</Port></LBProbePorts><ExpectHealthReport>FALSE</ExpectHealthReport></Machine>
<Container><ContainerId>${SIMULATED.containerId}</ContainerId><RoleInstanceList><RoleInstance><InstanceId>${SIMULATED.roleInstance}</InstanceId><State>Started</State><Configuration>
<HostingEnvironmentConfig>${config("hostingEnvironmentConfig")}</HostingEnvironmentConfig>
<SharedConfig>${config("sharedConfig")}</SharedConfig>
<ExtensionsConfig>${config("extensionsConfig")}</ExtensionsConfig>
<FullConfig>${config("fullConfig")}</FullConfig>
<Certificates>${url("comp=certificates&incarnation=1")}</Certificates>
<ConfigName>${SIMULATED.configName}</ConfigName>
</Configuration></RoleInstance></RoleInstanceList></Container></GoalState>`;
}

/** The refusal of an unsigned or wrongly signed request. */
export function wireServerUnauthorized(): Reply {
  return textReply(401, "text/plain; charset=utf-8", "the request is not signed with the latched key");
}

function wireError(status: number, code: string, message: string): Reply {
  return xmlReply(status, `<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
}
