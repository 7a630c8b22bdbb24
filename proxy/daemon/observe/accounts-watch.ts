// Whether the account database answers, for status and log. A directory that hangs denies nobody whom no rule names, but whoever
// operates the machine must see why rules by name go on with old entries.

import type { Log } from "../../core/ports.ts";
import type { StatusPart } from "../../core/status/status-part.ts";

export interface AccountsWatch {
  /** Cheap enough for every poll. */
  look(): void;
  readonly part: StatusPart;
}

/** @param late - the look-up that is late for longest; undefined while the database answers */
export function makeAccountsWatch(
  late: () => { readonly uid: number; readonly forMs: number } | undefined,
  log: Log,
  changed: () => void,
): AccountsWatch {
  let reported = false;
  return {
    look() {
      const found = late();
      if ((found !== undefined) === reported) return;
      reported = found !== undefined;
      if (found === undefined) log.info("accounts-answered", {});
      else log.warn("accounts-unanswered", { userId: found.uid, message: describe(found) });
      changed();
    },
    part: {
      name: "accounts",
      report() {
        const found = late();
        if (found === undefined) return { health: "ok", message: "", details: { answering: true } };
        return { health: "degraded", message: describe(found), details: { answering: false, userId: found.uid } };
      },
    },
  };
}

function describe({ uid, forMs }: { readonly uid: number; readonly forMs: number }): string {
  const seconds = Math.round(forMs / 1000);
  return `the account database (nsswitch.conf: sssd, LDAP, …) does not answer: user id ${uid} was looked up ${seconds} s ago; names are those last known, and a user without one matches no rule by name`;
}
