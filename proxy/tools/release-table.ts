// The table of `azure-proxy-agent release`.

import { CONFIG_OPTION, type CommandSpec } from "./command-line/spec.ts";

export const RELEASE = {
  name: "release",
  does: "take off the redirect that a stopped agent left in the kernel",
  about: [
    "Takes off the redirect that a stopped agent left in the kernel for its successor, wherever it is pinned and whatever holds it, and unpins everything. Connections go their direct way afterwards. Refuses while an agent runs: stop it first. Fails when the kernel does not show that the redirect is off. A config that cannot be used is reported, and the default pin folder is taken.",
  ],
  options: {
    list: {
      kind: "flag",
      does: "change nothing; show every eBPF program, link, map and pin of the agent in this kernel, its cgroup, and since when it is loaded",
    },
    "after-stop": { kind: "flag", does: "for the unit file: only when systemd stops the service for good, and then its socket, too" },
    ...CONFIG_OPTION,
  },
  operands: [],
  exits: [
    ["ok", "the redirect is off, or there was none; or it is listed"],
    ["no", "it cannot be taken off or listed"],
    ["temporary", "an agent runs"],
    ["capability", "not root"],
  ],
} as const satisfies CommandSpec;
