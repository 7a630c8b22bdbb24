// Compares the redirect with what the modes require. A failed switch is retried with each poll; until then the status shows it.

import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import { wantsRedirect } from "../policy/guards.ts";
import type { Snapshot } from "../policy/key-keeper.ts";

export interface RedirectCheckPorts {
  readonly snapshot: () => Snapshot;
  readonly guarded: () => Readonly<Record<Endpoint, boolean>>;
}

/** Speaks for the module of the eBPF programs. An endpoint is redirected from the first latched key on, so without one it may not be yet. */
export function makeRedirectPart({ snapshot, guarded }: RedirectCheckPorts): StatusPart {
  return {
    name: "redirect",
    module: "ebpfProgramStatus",
    report() {
      const { guards, channel } = snapshot();
      const wanted = wantsRedirect(guards);
      const on = guarded();
      const wrong = ENDPOINTS.flatMap((endpoint) => {
        const what = `${ENDPOINT_FACTS[endpoint].title} (mode ${guards[endpoint].mode})`;
        if (wanted[endpoint] && !on[endpoint] && channel.kind === "latched") return `${what} is not redirected`;
        return !wanted[endpoint] && on[endpoint] ? `${what} is still redirected` : [];
      });
      return { health: wrong.length === 0 ? "ok" : "failed", message: wrong.join("; "), details: undefined };
    },
  };
}
