// Switches the redirect: an endpoint is redirected in the kernel while its mode is audit or enforce, and that starts only
// when requests can be answered: the listener is bound and a key is latched.

import { perEndpoint } from "../../core/channel/key-status.ts";
import type { Log, Redirector } from "../../core/ports.ts";
import { ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";

export interface RedirectSwitch {
  /** Applies what is wanted; called again with every poll, so that what failed is tried again. */
  apply(wanted: Readonly<Record<Endpoint, boolean>>, keyReady: boolean): void;
  guarded(): Readonly<Record<Endpoint, boolean>>;
  guardedSet(): ReadonlySet<Endpoint>;
  /** Lets all endpoints go. */
  release(): void;
}

/** @param inherited - endpoints that the previous instance redirected: they stay so until the host says otherwise */
export function makeRedirectSwitch(
  redirector: Pick<Redirector, "setEndpoint">,
  log: Log,
  changed: () => void,
  inherited: ReadonlySet<Endpoint>,
): RedirectSwitch {
  let guarded: Readonly<Record<Endpoint, boolean>> = perEndpoint((endpoint) => inherited.has(endpoint));
  for (const endpoint of inherited) log.info("redirect", { endpoint, guarded: true, inherited: true });

  function set(endpoint: Endpoint, on: boolean): void {
    const result = redirector.setEndpoint(endpoint, on);
    if (!result.ok) {
      log.error("redirect-failed", { endpoint, guarded: on, message: result.error.message });
      return;
    }
    guarded = { ...guarded, [endpoint]: on };
    log.info("redirect", { endpoint, guarded: on });
    changed();
  }

  return {
    apply(wanted, keyReady) {
      for (const endpoint of ENDPOINTS) {
        if (!wanted[endpoint] && guarded[endpoint]) set(endpoint, false);
        if (wanted[endpoint] && !guarded[endpoint] && keyReady) set(endpoint, true);
      }
    },
    guarded: () => guarded,
    guardedSet: () => new Set(ENDPOINTS.filter((endpoint) => guarded[endpoint])),
    release() {
      for (const endpoint of ENDPOINTS) if (guarded[endpoint]) set(endpoint, false);
    },
  };
}
