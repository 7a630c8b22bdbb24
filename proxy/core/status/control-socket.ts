// Where the agent serves its own commands: a Unix socket that only root may place and use. Its default name holds the network
// namespace, so that agents of several namespaces that share /run stay apart, and a command finds the agent of its own namespace.

const FOLDER = "/run/azure-proxy-agent";

/** Names the sender's network namespace. The agent answers 421 to a command of another one, which a configured path may lead to it. */
export const NAMESPACE_HEADER = "x-azure-proxy-agent-network-namespace";

/**
 * @param link - text of the link /proc/self/ns/net: `net:[4026531840]`
 * @returns the inode that stands for the namespace for as long as a process lives in it; undefined for any other text
 */
export function parseNamespaceLink(link: string): string | undefined {
  return /^net:\[([0-9]{1,20})\]$/.exec(link)?.[1];
}

/**
 * @param configured - the config's `controlSocket`; undefined when it has none
 * @param namespace - inode of the network namespace; undefined when /proc does not provide it
 * @returns path of the socket, or undefined when there is none
 */
export function controlSocketPath(configured: string | undefined, namespace: string | undefined): string | undefined {
  if (configured !== undefined) return configured === "" ? undefined : configured;
  return namespace === undefined ? undefined : `${FOLDER}/control-${namespace}.sock`;
}

/**
 * The one key of the config that `--status` needs. A config that is broken elsewhere must not keep it from using the default place,
 * where an agent started with a good config listens.
 */
export function readControlSocketKey(configText: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(configText.replace(/^\ufeff/, ""));
  } catch {
    return undefined;
  }
  const value = typeof json === "object" && json !== null && "controlSocket" in json ? json.controlSocket : undefined;
  return typeof value === "string" && (value === "" || value.startsWith("/")) ? value : undefined;
}
