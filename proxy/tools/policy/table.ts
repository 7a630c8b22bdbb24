// The tables of `azure-proxy-agent policy …`.

import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { MODES } from "../../core/request/verdict.ts";
import { DEFAULT_ACCESSES } from "../../core/rules/rules.ts";
import { type CommandSpec, JSON_OPTION } from "../command-line/spec.ts";

/** Decisions of each side that `policy diff` makes before it gives up. */
export const DEFAULT_DIFF_DECISIONS = 500_000;

export const RULE_CHOICES = {
  endpoint: { kind: "word", value: "NAME", words: ENDPOINTS, does: "imds (default), wireserver, hostga, where the file does not say" },
  mode: { kind: "word", value: "WORD", words: MODES, does: "in place of the file's mode: enforce, audit, disabled" },
} as const;

const PROGRESS_OPTION = {
  progress: { kind: "flag", does: "report progress, also when standard error is no terminal" },
} as const;

export const DECISION_OPTIONS = {
  rules: {
    kind: "text",
    value: "FILE",
    required: true,
    does: 'an item of the platform, a status, a local rule file, an ARM profile version; "-" is standard input',
  },
  request: {
    kind: "text",
    value: "TEXT",
    required: true,
    does: '"METHOD TARGET" as in the first line of a request; a target alone means GET',
  },
  caller: {
    kind: "text",
    value: "WHO",
    required: true,
    does: 'a JSON file (or "-") with the members of a request\'s log line, or name=value,... such as userName=alice,userGroups=dev,userGroups=adm; also processFullPath, processName, runAsElevated, exeSha256, cgroupPath, userId. What is not said is unknown',
  },
  ...RULE_CHOICES,
  ...JSON_OPTION,
} as const;

const DECISION_EXITS = [["ok", "allow"], ["no", "deny (also where the mode forwards it all the same)"], "noInput", "software"] as const;

export const CHECK = {
  name: "policy check",
  does: "validate a rule file and warn of what hardly does what it seems to",
  about: [
    "Says whether the agent would take the rules in FILE, where anything is wrong, and what hardly does what its author meant. FILE holds an item of the platform, a status with authorizationRules (all of its items are checked), a local rule file or a version of an ARM access control profile; which one was recognised is said.",
  ],
  options: {
    endpoint: { ...RULE_CHOICES.endpoint, does: "imds (default), wireserver, hostga" },
    mode: { ...RULE_CHOICES.mode, does: "check the rules under this mode: enforce, audit, disabled" },
    json: { kind: "flag", does: "findings as JSON" },
  },
  operands: [{ name: "FILE", does: 'the rules; "-" is standard input' }],
  exits: [["ok", "the agent takes the rules"], ["no", "an error was found"], "noInput"],
} as const satisfies CommandSpec;

export const EXPLAIN = {
  name: "policy explain",
  does: "say step by step how one request is decided",
  about: [
    "Says step by step how the agent decides: the request's canonical form, the built-in refusals, every privilege and why it does or does not apply, the mode. The decision is the compiled policy's; the explanation is checked against it.",
  ],
  options: { ...DECISION_OPTIONS, all: { kind: "flag", does: "list every privilege, also those on other paths" } },
  operands: [],
  exits: DECISION_EXITS,
} as const satisfies CommandSpec;

export const SIMULATE = {
  name: "policy simulate",
  does: "say in one line how one request is decided",
  about: ["Says in one line what the agent does with a request."],
  options: DECISION_OPTIONS,
  operands: [],
  exits: DECISION_EXITS,
} as const satisfies CommandSpec;

export const TEST = {
  name: "policy test",
  does: "run cases: requests, callers and the decision that each must get",
  about: [
    "Runs policy cases with the compiled policy. In a folder every file called cases.json counts, at any depth. Such a file:",
    `  { "rules": "rules.json",         a rule file beside it, or the rules themselves
    "endpoint": "imds",            optional
    "mode": "enforce",             optional, in place of the mode in the rules
    "cases": [
      { "name": "alice may read", "request": "GET /metadata/instance",
        "caller": "userName=alice", "expect": "allow" } ] }`,
    'A caller is an object with the members of a request\'s log line, or name=value,... . "expect" is allow, deny, or audit (the rules deny, the mode forwards); "reason" and "rule" are compared when given. What was never tried as granting and as denying is listed.',
  ],
  options: { tap: { kind: "flag", does: "Test Anything Protocol, version 14" }, ...JSON_OPTION },
  operands: [{ name: "FILE|FOLDER", does: 'cases; "-" is standard input', most: 1_000 }],
  excludes: [["tap", "json"]],
  exits: [["ok", "all cases hold"], ["no", "some do not"], "noInput", "software"],
} as const satisfies CommandSpec;

export const DIFF = {
  name: "policy diff",
  does: "find every request that two rule sets decide differently",
  about: [
    "Says which requests are denied by OLD and allowed by NEW, and the other way round: paths, parameters, methods and callers, each kind with a request and a caller for which both compiled policies were evaluated. Kinds are worked out from the rules themselves, so none is missed; if a limit was reached, that is said. What rules say is compared, whatever the mode; changes of mode and default access come first.",
  ],
  options: {
    endpoint: { ...RULE_CHOICES.endpoint, does: "imds (default), wireserver, hostga, where the files do not say" },
    limit: {
      kind: "number",
      value: "N",
      least: 1,
      most: 999_999_999,
      does: `decisions of each side before giving up (default ${DEFAULT_DIFF_DECISIONS})`,
    },
    ...JSON_OPTION,
  },
  operands: [
    { name: "OLD", does: 'rules; "-" is standard input' },
    { name: "NEW", does: "the others" },
  ],
  exits: [["ok", "nothing changes"], ["no", "something does, or a limit was reached before that was certain"], "noInput", "software"],
} as const satisfies CommandSpec;

export const COMPILE = {
  name: "policy compile",
  does: "compile rules to the component that the agent runs",
  about: ['Compiles rules to a WebAssembly component, the same bytes as the agent makes of them. "-o -" writes to standard output.'],
  options: {
    output: { kind: "text", short: "o", value: "FILE", required: true, does: 'where to; "-" is standard output' },
    ...RULE_CHOICES,
    json: { kind: "flag", does: 'what was made, as JSON (on standard error with "-o -")' },
  },
  operands: [{ name: "RULES", does: 'the rules; "-" is standard input' }],
  exits: [["ok", "compiled"], "noInput", "cannotCreate"],
} as const satisfies CommandSpec;

export const INSPECT = {
  name: "policy inspect",
  does: "say what a compiled policy holds",
  about: [
    "Says what a compiled policy holds: endpoint, rule set, counts, policy id, and whether this program's engine makes the very same file of the rules in it.",
  ],
  options: { rules: { kind: "flag", does: "print the rules as the platform's JSON item instead" }, ...JSON_OPTION },
  operands: [{ name: "FILE", does: 'the component; "-" is standard input' }],
  exits: [["ok", "it is a policy and this engine makes the same file"], ["no", "it is one, but of another engine or changed"], "noInput"],
} as const satisfies CommandSpec;

export const REPLAY = {
  name: "policy replay",
  does: "decide recorded requests again and compare",
  about: [
    "Decides recorded requests again and lists those that come out differently. A line of FILE is a request's log line, with anything before its JSON, or an object",
    '  {"request": "GET /…", "caller": {…}, "decision": "allow", "reason": …, "rule": …, "policyId": …}',
    "with the last three optional; a decision is allow, deny or audit. What rules answered is compared, and its reason; the rule that was named only where the line says the same policy decided.",
  ],
  options: {
    rules: { ...DECISION_OPTIONS.rules, does: "as for policy explain" },
    mode: { ...RULE_CHOICES.mode, does: "in place of the rules' mode: enforce, audit, disabled" },
    endpoint: { ...RULE_CHOICES.endpoint, does: "imds (default), wireserver, hostga; lines for another one are passed over" },
    max: { kind: "number", value: "N", least: 0, most: 999_999, does: "list this many differences (default 100); all are counted" },
    ...PROGRESS_OPTION,
    ...JSON_OPTION,
  },
  operands: [{ name: "FILE", does: 'recorded requests; "-" is standard input' }],
  exits: [["ok", "all the same"], ["no", "differences"], "noInput"],
} as const satisfies CommandSpec;

export const SUGGEST = {
  name: "policy suggest",
  does: "propose rules from the agent's log",
  about: [
    "Reads request lines of the agent's log (files, or standard input) and proposes the rules that allow what they show, and no more.",
    "  journalctl -u azure-proxy-agent -o cat | azure-proxy-agent policy suggest -o rules.json",
  ],
  options: {
    endpoint: { ...RULE_CHOICES.endpoint, does: "imds (default), wireserver (with HostGAPlugin, which follows it) or hostga" },
    "min-count": {
      kind: "number",
      value: "N",
      least: 1,
      most: 999_999_999,
      does: "leave out what was requested less than N times (default 1)",
    },
    default: { kind: "word", value: "WORD", words: DEFAULT_ACCESSES, does: "default access of the rules: deny (default) or allow" },
    "include-denied": { kind: "flag", does: "take requests too that were denied under enforce" },
    output: { kind: "text", short: "o", value: "FILE", does: "write the rules there instead of to standard output" },
    json: { kind: "flag", does: "print rules, reasons and proof as one JSON object" },
    ...PROGRESS_OPTION,
  },
  operands: [{ name: "FILE", does: 'log lines; without any, or with "-", standard input', optional: true, most: 10_000 }],
  exits: [["ok", "rules proven"], ["no", "nothing to suggest or the proof failed"], "noInput", "cannotCreate"],
} as const satisfies CommandSpec;
