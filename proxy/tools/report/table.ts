// The table of `azure-proxy-agent report`.

import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { CONFIG_OPTION, type CommandSpec, JSON_OPTION } from "../command-line/spec.ts";

export const REPORT = {
  name: "report",
  does: "say what rules deny, or would deny under enforce",
  about: [
    "Says which requests the rules deny, or would deny under enforce: which caller, what, how often, and which rule would allow it.",
    "  journalctl -u azure-proxy-agent -o cat | azure-proxy-agent report --from-log -",
  ],
  options: {
    status: { kind: "text", value: "FILE", does: "the status to read (default: status.json in the status folder of the config)" },
    ...CONFIG_OPTION,
    "from-log": { kind: "text", value: "FILE", does: 'compute it from request lines instead; "-" is standard input' },
    endpoint: { kind: "word", value: "NAME", words: ENDPOINTS, does: "only imds, wireserver or hostga" },
    ...JSON_OPTION,
  },
  operands: [],
  excludes: [
    ["from-log", "status"],
    ["from-log", "config"],
  ],
  exits: [["ok", "reported"], "noInput", "config"],
} as const satisfies CommandSpec;
