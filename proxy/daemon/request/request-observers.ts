// Everybody who wants to know how requests end: summaries, denials, metrics, trail, log. One that fails must not keep the others from
// knowing, nor the request from ending.

import type { Log } from "../../core/ports.ts";
import type { RequestEnd } from "./handle-request.ts";

export type RequestObserver = readonly [what: string, observe: (end: RequestEnd) => void];

/** @returns calls all of them, in their order; never throws */
export function makeRequestObservers(observers: readonly RequestObserver[], log: Log): (end: RequestEnd) => void {
  /** A bug that every request meets is logged once for each observer, not once for each request. */
  const told = new Set<string>();

  return (end) => {
    for (const [what, observe] of observers) {
      try {
        observe(end);
      } catch (error) {
        if (told.has(what)) continue;
        told.add(what);
        log.error("internal-error", { where: what, message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
      }
    }
  };
}
