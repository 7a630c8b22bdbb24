// The tables of `azure-proxy-agent module …`.

import { ENDPOINTS } from "../../core/request/endpoint.ts";
import { CONFIG_OPTION, type CommandSpec, JSON_OPTION } from "../command-line/spec.ts";

export const LANGUAGES = ["ts", "as", "c", "rust"] as const;
/** What a module may be told of those before it. */
export const SO_FAR_WORDS = ["allow", "deny", "abstain", "none"] as const;
const MAX_SECONDS = 999_999_999_999_999;
const MAX_MODULES = 64;

export const BUDGET_OPTIONS = {
  fuel: { kind: "text", value: "N", does: "units of work for one call" },
  memory: { kind: "text", value: "N", does: "of each of its memories, such as 8m: bytes, k or m" },
  reason: { kind: "text", value: "N", does: "bytes of a reason" },
} as const;

/** Of commands that use a module, in a file or installed. */
export const USABLE_OPTIONS = {
  settings: { kind: "text", value: "FILE", does: "what it is configured with; an installed one has its own" },
  ...BUDGET_OPTIONS,
  ...CONFIG_OPTION,
} as const;

const QUESTION_DETAILS = {
  endpoint: { kind: "word", value: "NAME", words: ENDPOINTS, does: "imds (default), wireserver, hostga" },
  header: { kind: "list", value: "LINE", does: '"Metadata: true"; may be given several times' },
  uptime: { kind: "number", value: "N", least: 0, most: MAX_SECONDS, unit: "seconds", does: "seconds since boot (default 0)" },
  unix: { kind: "number", value: "N", least: 0, most: MAX_SECONDS, unit: "seconds", does: "seconds since 1970 (default 0)" },
  "so-far": { kind: "word", value: "KIND", words: SO_FAR_WORDS, does: "what came before: allow (default), deny, abstain, or none" },
} as const;

const REQUEST_OPTION = {
  kind: "text",
  value: "TEXT",
  does: '"METHOD TARGET" as in the first line of a request; a target alone means GET',
} as const;
const CALLER_OPTION = { kind: "text", value: "WHO", does: 'a JSON file (or "-"), or name=value,... as for policy simulate' } as const;

export const QUESTION_OPTIONS = {
  request: { ...REQUEST_OPTION, required: true },
  caller: { ...CALLER_OPTION, required: true },
  ...QUESTION_DETAILS,
} as const;

/** Where a command waits for the running agent after a change. */
export const CHANGE_OPTIONS = {
  "no-wait": { kind: "flag", does: "do not wait for the running agent to take it up" },
  ...CONFIG_OPTION,
} as const;

export const PLACE_OPTIONS = {
  before: { kind: "text", value: "NAME", does: "evaluated before that module" },
  first: { kind: "flag", does: "evaluated before all others" },
  last: { kind: "flag", does: "evaluated after all others" },
} as const;

const SHA256 = { kind: "text", value: "HASH", does: "refuse any other FILE" } as const;
const MODULE = { name: "FILE|NAME", does: "a component file (with a dot or a slash in it), or the name of an installed module" } as const;
const NAMES = { name: "NAME", does: "installed modules", most: MAX_MODULES } as const;
const NAME = { name: "NAME", does: "an installed module" } as const;
const CHANGE_EXITS = [
  "ok",
  ["no", "refused, or the running agent cannot use it"],
  ["noInput", "what is installed cannot be read"],
  "cannotCreate",
  ["temporary", "another command is changing modules"],
  "config",
] as const;

export const NEW = {
  name: "module new",
  does: "make a folder with the beginnings of a module",
  about: [
    'Makes a folder with a policy module to start from: source, cases, settings, the contract, bindings, and a script "build" that makes policy.wasm. It builds and passes its cases as it stands.',
    `  ts    TypeScript, run by QuickJS inside the module: the most comfortable, the slowest
  as    AssemblyScript: like TypeScript, fast, with a library of its own
  c     C, by clang
  rust  Rust, by rustc alone`,
  ],
  options: {
    language: { kind: "word", value: "LANGUAGE", words: LANGUAGES, required: true, does: "ts, as, c or rust" },
    folder: { kind: "text", value: "FOLDER", does: "where; it must not be there yet (default: a folder called NAME)" },
  },
  operands: [
    {
      name: "NAME",
      does: 'the word for the module in logs: a-z, 0-9 and "-", at most 63, a letter or digit first',
    },
  ],
  exits: [["ok", "made"], "cannotCreate"],
} as const satisfies CommandSpec;

export const COMPONENTIZE = {
  name: "module componentize",
  does: "wrap a core module as a component",
  about: [
    'Wraps a core module, as clang, rustc and asc make it, as a policy component. It must import nothing and export a memory and, with the types of the canonical ABI, either under the names of the component model (azure:proxy-agent-policy/authorizer@1.0.0#evaluate ...) or as plain words: cabi_realloc, validate_settings, configure, evaluate, post_validate_settings, post_configure, post_evaluate. Other exports and all custom sections are left out. The bindings that "module new" gives do all this.',
  ],
  options: { output: { kind: "text", short: "o", value: "FILE", required: true, does: "where the component goes" } },
  operands: [{ name: "CORE.wasm", does: 'the core module; "-" is standard input' }],
  exits: [["ok", "made"], ["no", "it is no module that can be wrapped"], "noInput", "cannotCreate"],
} as const satisfies CommandSpec;

export const ADD = {
  name: "module add",
  does: "check, meter, try and install a component, or replace one",
  about: [
    "Checks and meters the component in FILE, has it validate its settings, runs its cases and installs it. Nothing is written unless all of it goes well. A running agent takes it up without dropping a connection.",
  ],
  options: {
    name: { kind: "text", value: "NAME", required: true, does: "the operator's word for it: a-z, 0-9, -, at most 63" },
    settings: { kind: "text", value: "FILE", does: "what the module is configured with, in its own format; at most 1 MiB" },
    endpoint: {
      kind: "words",
      value: "LIST",
      words: ENDPOINTS,
      does: "where it is evaluated: imds (default), wireserver, hostga, with commas",
    },
    header: { kind: "list", value: "NAME", does: "a request header that it may see; may be given several times" },
    before: { ...PLACE_OPTIONS.before, does: "evaluated before that module; the default is --last" },
    first: PLACE_OPTIONS.first,
    last: PLACE_OPTIONS.last,
    audit: { kind: "flag", does: "its denies are recorded and not applied" },
    disabled: { kind: "flag", does: "installed, but not evaluated yet" },
    ...BUDGET_OPTIONS,
    cases: { kind: "text", value: "FILE", does: "cases that must hold (see module test)" },
    signature: { kind: "text", value: "FILE", does: "a minisign signature over FILE by a trusted key" },
    sha256: SHA256,
    pin: { kind: "flag", does: "refuse other components under this name later on" },
    replace: { kind: "flag", does: "take the place of the module of this name; what is not given stays as it was" },
    unsigned: { kind: "flag", does: "with --replace: an unsigned component may follow a signed one" },
    "dry-run": { kind: "flag", does: "do everything but install it" },
    ...CHANGE_OPTIONS,
    json: { kind: "flag", does: "what was done, as JSON" },
  },
  operands: [{ name: "FILE", does: 'the component; "-" is standard input' }],
  excludes: [["first", "last", "before"]],
  exits: [
    ["ok", "installed"],
    ["no", "the module is refused, or the running agent cannot use it"],
    "noInput",
    "cannotCreate",
    ["temporary", "another command is changing modules"],
    "capability",
    "config",
  ],
} as const satisfies CommandSpec;

export const LIST = {
  name: "module list",
  does: "list the installed modules in their order",
  about: [
    "Lists the installed modules in the order in which they are evaluated, and what a running agent says of each in its status, when there is one.",
  ],
  options: { ...JSON_OPTION, ...CONFIG_OPTION },
  operands: [],
  exits: [["ok", "listed"], ["noInput", "what is installed cannot be read"], "config"],
} as const satisfies CommandSpec;

export const INSPECT = {
  name: "module inspect",
  does: "say all about an installed module or a component file",
  about: [
    "Of an installed module: how it is evaluated, its budgets, hashes and parts; every stored content is compared with its hash, and the signature with the keys that are trusted now. Of a component file: whether it would be taken, and its parts. What its makers' tools say of themselves is unproven.",
  ],
  options: { settings: { kind: "flag", does: "print the stored settings instead, as they are" }, ...JSON_OPTION, ...CONFIG_OPTION },
  operands: [MODULE],
  exits: [["ok", "it is sound"], ["no", "the component is refused or something is not as it should be"], "noInput", "config"],
} as const satisfies CommandSpec;

export const REMOVE = {
  name: "module remove",
  does: "take modules out",
  about: ['Takes modules out, with their settings. A pinned one is refused: "module pin NAME --off" comes first.'],
  options: CHANGE_OPTIONS,
  operands: [NAMES],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const ENABLE = {
  name: "module enable",
  does: "have modules evaluated again",
  about: ["Has modules evaluated again."],
  options: CHANGE_OPTIONS,
  operands: [NAMES],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const DISABLE = {
  name: "module disable",
  does: "keep modules, but do not evaluate them",
  about: ["Keeps modules, but does not evaluate them: what only they denied may pass."],
  options: CHANGE_OPTIONS,
  operands: [NAMES],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const PIN = {
  name: "module pin",
  does: "refuse every other component under a module's name",
  about: ["Refuses every other component under this name, and its removal, until the pin is taken off."],
  options: {
    sha256: { ...SHA256, does: "only if the installed component has this hash" },
    off: { kind: "flag", does: "takes the pin off" },
    ...CHANGE_OPTIONS,
  },
  operands: [NAME],
  excludes: [["sha256", "off"]],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const AUDIT = {
  name: "module audit",
  does: "record a module's denies without applying them, or apply them",
  about: ["on: denies of these modules, failures included, are recorded and not applied. off: they are applied."],
  options: CHANGE_OPTIONS,
  operands: [{ name: "on|off", does: "on: record only; off: apply", words: ["on", "off"] }, NAMES],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const ORDER = {
  name: "module order",
  does: "change when a module is evaluated",
  about: ["Changes when a module is evaluated: each one sees what those before it came to. One of --before, --first and --last is needed."],
  options: { ...PLACE_OPTIONS, ...CHANGE_OPTIONS },
  operands: [NAME],
  excludes: [["first", "last", "before"]],
  exits: CHANGE_EXITS,
} as const satisfies CommandSpec;

export const SETTINGS = {
  name: "module settings",
  does: "give a module other settings",
  about: [
    "Has the module validate the settings in FILE, tries them, and gives them to it: a running agent goes over to them between two requests. Either FILE or --none is needed.",
  ],
  options: { none: { kind: "flag", does: "no settings: no bytes" }, ...CHANGE_OPTIONS },
  operands: [NAME, { name: "FILE", does: 'the settings; "-" is standard input', optional: true }],
  exits: [...CHANGE_EXITS, "capability"],
} as const satisfies CommandSpec;

export const TEST = {
  name: "module test",
  does: "run cases: requests, callers and the answer that each must get",
  about: [
    "Checks and meters the component in FILE as module add does, or takes the installed module NAME, and puts the cases to it under its budgets. Each case's fuel is shown, and which answers were seen.",
    `  { "settings": "settings.json",      optional: a file beside this one, {"text": …} or {"json": …}
    "settingsCases": [                optional: what the module must say to settings
      { "name": "no list", "settings": { "json": {} }, "error": "list" } ],
    "cases": [
      { "name": "alice may read", "request": "GET /metadata/instance",
        "caller": "userName=alice", "expect": "allow" } ] }`,
    'A case may have "endpoint" (imds), "headers" ({"metadata": "true"}), "uptimeSeconds", "unixSeconds", "soFar" ({"kind": "allow", "reason": "granted"}; null for none) and "settings" of its own. "expect" is allow, deny, abstain or failed; "reason", "rule", "labels" and "fuelAtMost" are compared when given.',
  ],
  options: {
    cases: { kind: "text", value: "CASES", does: "the same; default: cases.json beside FILE" },
    ...USABLE_OPTIONS,
    settings: { ...USABLE_OPTIONS.settings, does: "where the cases do not say" },
    tap: { kind: "flag", does: "Test Anything Protocol, version 14" },
    ...JSON_OPTION,
  },
  operands: [MODULE, { name: "CASES", does: "the file of cases", optional: true }],
  excludes: [["tap", "json"]],
  exits: [["ok", "all cases hold"], ["no", "some do not, or the component is refused"], "noInput", "capability", "config"],
} as const satisfies CommandSpec;

export const RUN = {
  name: "module run",
  does: "evaluate a module on one request",
  about: ["Has the component in FILE, checked and metered, or the installed module NAME, evaluate one request."],
  options: { ...QUESTION_OPTIONS, ...USABLE_OPTIONS, ...JSON_OPTION },
  operands: [MODULE],
  exits: [
    ["ok", "allow"],
    ["no", "deny, or it failed, or the component is refused, or the request is denied before any module"],
    ["abstain", "abstain"],
    "noInput",
    "capability",
    "config",
  ],
} as const satisfies CommandSpec;

export const BENCH = {
  name: "module bench",
  does: "measure what a module's calls cost",
  about: [
    "Has the module evaluate the same requests over and over and says what a call costs: fuel, and time with all that goes with a call in the agent. The requests are those of the cases, in turn, or the one given. Ends after 20 seconds with what it has by then.",
  ],
  options: {
    cases: {
      kind: "text",
      value: "FILE",
      does: "default: cases.json beside the component; settings of single cases are not used",
    },
    request: REQUEST_OPTION,
    caller: CALLER_OPTION,
    ...QUESTION_DETAILS,
    ...USABLE_OPTIONS,
    settings: { ...USABLE_OPTIONS.settings, does: "where the cases do not say; an installed module has its own" },
    calls: {
      kind: "number",
      value: "N",
      least: 1,
      most: 1_000_000,
      does: "1 to 1000000 (default 20000), after a tenth as many to become warm",
    },
    ...JSON_OPTION,
  },
  operands: [MODULE],
  excludes: [["cases", "request"]],
  exits: [["ok", "measured"], ["no", "the component is refused"], "noInput", "capability", "config"],
} as const satisfies CommandSpec;
