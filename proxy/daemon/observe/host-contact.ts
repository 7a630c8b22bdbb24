// What the status reports about the host: when it last answered, and how its clock and ours differ.

import type { StatusPart } from "../../core/status/status-part.ts";
import type { KeeperReport } from "../policy/key-keeper.ts";

export interface HostContactPorts {
  readonly keeper: () => Pick<KeeperReport, "lastContactMs" | "clockOffsetMs">;
  readonly localNowMs: () => number;
  readonly monotonicMs: () => number;
}

/** Gives `agentDetails.host`. The key keeper reports a silent host, so this part is always healthy. */
export function makeHostContactPart({ keeper, localNowMs, monotonicMs }: HostContactPorts): StatusPart {
  return {
    name: "host",
    report() {
      const { lastContactMs, clockOffsetMs } = keeper();
      const lastContact = lastContactMs === undefined ? "" : new Date(localNowMs() - (monotonicMs() - lastContactMs)).toISOString();
      return { health: "ok", message: "", details: { lastContact, ...(clockOffsetMs === undefined ? {} : { clockOffsetMs }) } };
    },
  };
}
