// Serves the control socket, which `--status` queries. An agent that cannot create it continues without and logs why: `--status` then
// queries the listener.

import { makeControlApp } from "../../adapters/local/app.ts";
import { serveUnixSocket, type UnixServer } from "../../adapters/local/unix-socket.ts";
import { readNetworkNamespace } from "../../adapters/proc/network-namespace.ts";
import type { Config } from "../../core/config.ts";
import type { Log } from "../../core/ports.ts";
import { controlSocketPath } from "../../core/status/control-socket.ts";

/** Root alone: any user who may connect can exhaust what root needs. */
const SOCKET_MODE = 0o600;

export interface ControlService {
  stop(): Promise<void>;
}

export function startControlService(
  config: Pick<Config, "controlSocket">,
  log: Log,
  ports: Parameters<typeof makeControlApp>[0],
): ControlService {
  const namespace = readNetworkNamespace();
  const path = controlSocketPath(config.controlSocket, namespace);
  const served = path === undefined ? undefined : serve(path, makeControlApp(ports, namespace), log);
  return {
    async stop() {
      await (await served)?.stop();
    },
  };
}

async function serve(path: string, answer: ReturnType<typeof makeControlApp>, log: Log): Promise<UnixServer | undefined> {
  const served = await serveUnixSocket({ path, mode: SOCKET_MODE, what: "the control socket" }, answer);
  if (served.ok) return served.value;
  log.warn("control-socket-not-served", { message: served.error });
  return undefined;
}
