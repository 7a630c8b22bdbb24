// The table of `azure-proxy-agent doctor`.

import { CONFIG_OPTION, type CommandSpec } from "../command-line/spec.ts";

export const DOCTOR = {
  name: "doctor",
  does: "check what the agent needs and does, and say what to do",
  about: [
    "Checks kernel, cgroup, programs, listener, files, packet filters, routes, status and clock. Changes nothing; takes less than a second. Run it as root.",
  ],
  options: {
    json: { kind: "flag", does: 'for programs: { "version", "health", "findings": [{ "check", "health", "found", "advice" }] }' },
    ...CONFIG_OPTION,
  },
  operands: [],
  exits: [
    ["ok", "nothing failed"],
    ["no", "at least one FAIL"],
  ],
} as const satisfies CommandSpec;
