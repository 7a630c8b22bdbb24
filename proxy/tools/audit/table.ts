// The tables of `azure-proxy-agent audit …`.

import { CONFIG_OPTION, type CommandSpec, JSON_OPTION } from "../command-line/spec.ts";

export const TRAIL_OPTIONS = {
  folder: {
    kind: "text",
    value: "FOLDER",
    does: "the decision trail (default: auditFolder of the config, else /var/lib/azure-proxy-agent/audit)",
  },
  ...CONFIG_OPTION,
} as const;

const MAX_TAIL_LINES = 100_000;
const MAX_RECORD = 999_999_999_999_999;

export const VERIFY = {
  name: "audit verify",
  does: "is the decision trail whole, and what the agent wrote?",
  about: [
    "Follows the chain of hashes through the whole decision trail and names the first place that is not as the agent wrote it. Works while the agent writes.",
  ],
  options: {
    anchor: { kind: "list", value: "[N:]HASH", does: "the trail must hold a record (number N) with this hash; may be repeated" },
    journal: {
      kind: "list",
      value: "FILE",
      does: 'the same for every trail-anchor line found there; "-" is standard input; may be repeated',
    },
    ...JSON_OPTION,
    ...TRAIL_OPTIONS,
  },
  operands: [],
  exits: [["ok", "it is whole"], ["no", "damage was found"], ["noInput", "there is no trail or it cannot be read"], "config"],
} as const satisfies CommandSpec;

export const TAIL = {
  name: "audit tail",
  does: "the last decisions, as lines for people",
  about: ["Prints the last records of the decision trail, one a line."],
  options: {
    lines: { kind: "number", short: "n", value: "NUMBER", least: 0, most: MAX_TAIL_LINES, does: "so many (default 20)" },
    follow: { kind: "flag", short: "f", does: "and what comes, until interrupted" },
    ...TRAIL_OPTIONS,
  },
  operands: [],
  exits: [["ok", "printed"], ["no", "printed, and damage was found"], ["noInput", "there is no trail or it cannot be read"], "config"],
} as const satisfies CommandSpec;

export const EXPORT = {
  name: "audit export",
  does: "all decisions as JSON lines, as policy replay takes them",
  about: ["Prints every decision of the trail as one line of JSON."],
  options: {
    first: { kind: "number", value: "N", least: 0, most: MAX_RECORD, does: "only from the record with this number on" },
    last: { kind: "number", value: "N", least: 0, most: MAX_RECORD, does: "only up to the record with this number" },
    ...TRAIL_OPTIONS,
  },
  operands: [],
  exits: [
    ["ok", "exported"],
    ["no", "what could be read was exported, and damage was found"],
    ["noInput", "there is no trail or it cannot be read"],
    "cannotCreate",
    "config",
  ],
} as const satisfies CommandSpec;
