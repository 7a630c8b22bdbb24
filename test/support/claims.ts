// Claims for tests: somebody of whom only the given facts are known.

import type { Claims } from "../../proxy/core/request/caller.ts";

export function claimsOf(known: Partial<Claims>): Claims {
  return {
    processId: 4711,
    userId: 1001,
    runAsElevated: false,
    userName: undefined,
    userGroups: [],
    processFullPath: undefined,
    processName: undefined,
    processCmdLine: "",
    cgroupId: 0n,
    clientAddress: "127.0.0.1",
    clientPort: 40000,
    ...known,
  };
}
