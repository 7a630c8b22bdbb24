// Checks the redirect while the agent runs: whether programs, pins and redirected endpoints are as the agent set them. Repairs
// are logged; damage that cannot be repaired is shown in the status until it is.

import type { Log, RedirectFault, Redirector } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { StatusPart } from "../../core/status/status-part.ts";

export interface KernelCheck {
  /** One check; cheap enough for every poll. */
  run(): void;
  readonly part: StatusPart;
}

export interface CheckedRedirector extends Pick<Redirector, "verify" | "notPinned"> {
  readonly takeover: string;
}

/**
 * @param pinFolder - empty when the config wants no pins
 * @param message - what the module says while all is well
 */
export function makeKernelCheck(
  redirector: CheckedRedirector,
  wanted: () => ReadonlySet<Endpoint>,
  pinFolder: string,
  message: string,
  log: Log,
  changed: () => void,
): KernelCheck {
  let damage: readonly RedirectFault[] = [];
  let repairs = 0;
  let lastFault = "";
  /** Empty: nothing was logged yet. */
  let loggedUnpinned: string | undefined = "";

  function logPins(): void {
    if (pinFolder === "") return;
    const reason = redirector.notPinned;
    if (reason === loggedUnpinned) return;
    loggedUnpinned = reason;
    if (reason === undefined) log.info("redirect-pinned", { pinFolder });
    else log.warn("redirect-not-pinned", { pinFolder, message: reason });
  }

  logPins();
  return {
    run() {
      const before = damage;
      const found = redirector.verify(wanted());
      damage = found.filter(({ repaired }) => !repaired);
      for (const { what, repaired } of found) {
        lastFault = what;
        if (repaired) {
          repairs++;
          log.warn("redirect-repaired", { message: what });
        } else if (!before.some((known) => known.what === what)) log.error("redirect-damaged", { message: what });
      }
      const pinnedBefore = loggedUnpinned;
      logPins();
      if (found.length > 0 || before.length > 0 || loggedUnpinned !== pinnedBefore) changed();
    },
    part: {
      name: "kernel",
      module: "ebpfProgramStatus",
      report() {
        const notPinned = pinFolder === "" ? "switched off by the config" : redirector.notPinned;
        const details = {
          pinned: notPinned === undefined,
          pinFolder,
          ...(notPinned === undefined ? {} : { notPinned }),
          takeover: redirector.takeover,
          damage: damage.map(({ what }) => what),
          repairs,
          lastFault,
        };
        if (damage.length > 0)
          return { health: "failed", message: `redirect is damaged: ${damage.map(({ what }) => what).join("; ")}`, details };
        if (notPinned !== undefined && pinFolder !== "")
          return { health: "degraded", message: `redirect ends with the agent: ${notPinned}`, details };
        return { health: "ok", message, details };
      },
    },
  };
}
