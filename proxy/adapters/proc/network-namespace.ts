// Which network namespace this process lives in.

import { readlinkSync } from "node:fs";
import { parseNamespaceLink } from "../../core/status/control-socket.ts";

/** Its inode; undefined where /proc does not provide it. */
export function readNetworkNamespace(): string | undefined {
  try {
    return parseNamespaceLink(readlinkSync("/proc/self/ns/net"));
  } catch {
    return undefined;
  }
}
