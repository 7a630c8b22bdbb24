// Provisioning monitor: reports losses of key or programs at once, and readiness at the end of a poll, when the redirect is in place too.

import type { ModuleStatus } from "../../core/status/status.ts";
import type { KeyKeeper } from "../policy/key-keeper.ts";
import type { Provisioning } from "./provisioning.ts";

export interface ProvisioningFeed {
  /** The key keeper has something new, perhaps in the midst of a poll. */
  keeperChanged(): void;
  /** Key and redirect are as they will be until the next poll. */
  settled(): void;
}

/** @param programs - what the status says of the eBPF programs */
export function makeProvisioningFeed(
  provisioning: Pick<Provisioning, "setKey" | "setRedirector">,
  keeper: Pick<KeyKeeper, "report" | "snapshot">,
  programs: () => ModuleStatus,
): ProvisioningFeed {
  function isKeySettled(): boolean {
    const { kind } = keeper.snapshot().channel;
    return kind === "latched" || kind === "disabled";
  }

  return {
    keeperChanged() {
      if (!isKeySettled()) provisioning.setKey({ ...keeper.report(), ready: false });
    },
    settled() {
      provisioning.setKey({ ...keeper.report(), ready: isKeySettled() });
      const { status, message } = programs();
      provisioning.setRedirector(status === "RUNNING", message);
    },
  };
}
