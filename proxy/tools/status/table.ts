// The table of `azure-proxy-agent status` and, as the reference has it, `--status`.

import { CONFIG_OPTION, type CommandSpec } from "../command-line/spec.ts";

export const WAIT_OPTION = {
  wait: {
    kind: "number",
    short: "w",
    value: "SECONDS",
    least: 0,
    most: 86_400,
    unit: "seconds",
    does: "query again for so long; it ends within two seconds more, whatever the agent does",
  },
} as const;

export const STATUS = {
  name: "status",
  does: "query the running agent: is it ready?",
  about: [
    "Says by its exit code whether the running agent is ready; when it is not, one line on standard output tells why. The same as --status (-s). Root's control socket is tried first, then the listener on 127.0.0.1:3080; other users can only use the listener. Of the config only controlSocket is read.",
  ],
  options: { ...WAIT_OPTION, ...CONFIG_OPTION },
  operands: [],
  exits: [
    ["ok", "ready"],
    ["no", "not ready in time, or no agent answers"],
    ["finishedWithError", "finished with an error"],
  ],
} as const satisfies CommandSpec;
