// The config file: /etc/azure/proxy-agent.json or the file named by --config. Every bad value is an error that names
// the key, what was found and what is wanted; the agent never starts on half a config.

import { type ChosenBudgets, DEFAULT_BUDGETS, parseBudgets } from "./modules/module-budgets.ts";
import { err, ok, type Result } from "./result.ts";
import { nearestWord } from "./text/nearest-word.ts";
import { type JsonText, parseStrictJson, type TextPosition } from "./text/strict-json.ts";

export const DEFAULT_STATUS_FOLDER = "/var/log/azure-proxy-agent";
export const DEFAULT_PIN_FOLDER = "/sys/fs/bpf/azure-proxy-agent";

export const LOG_LEVELS = ["Error", "Warn", "Info", "Debug", "Trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Config {
  /** Empty: no log files, the journal only. */
  readonly logFolder: string;
  readonly eventFolder: string;
  readonly latchKeyFolder: string;
  readonly statusFolder: string;
  readonly monitorIntervalSeconds: number;
  readonly pollKeyStatusIntervalSeconds: number;
  /** File name of the eBPF object, searched in /usr/lib/azure-proxy-agent and next to the executable. */
  readonly ebpfProgramName: string;
  readonly ebpfFileFullPath: string | undefined;
  /** Attach here instead of the root of the mounted cgroup2 hierarchy. */
  readonly cgroupRoot: string | undefined;
  readonly fileLogLevel: LogLevel;
  /** Lines at this level and above go to standard output. */
  readonly journalLogLevel: LogLevel;
  readonly passForeignNamespaces: boolean;
  readonly telemetry: boolean;
  /** Lines at this level and above become telemetry events; undefined: none do. */
  readonly eventLevel: LogLevel | undefined;
  readonly maxEventFiles: number;
  /** Where policy modules are kept; undefined: next to the folder of keys. */
  readonly moduleFolder: string | undefined;
  /** Folder of the public keys whose signatures on modules count. */
  readonly trustedKeysFolder: string;
  /** A module without a signature of a trusted key is neither installed nor run. */
  readonly requireSignedModules: boolean;
  /** What a module gets that is installed without budgets of its own. */
  readonly moduleBudgets: ChosenBudgets;
  /** Unix socket that metrics are served on; empty: none. */
  readonly metricsSocket: string;
  /** Unix socket that the agent's own commands use; empty: none; undefined: the default of this network namespace. */
  readonly controlSocket: string | undefined;
  /** File with the same text for node_exporter; empty: none. */
  readonly metricsTextfile: string;
  /** Where the decision trail is kept; empty: there is none. */
  readonly auditFolder: string;
  /** Bounds of one segment of it and of all together. */
  readonly auditSegmentMiB: number;
  readonly auditTotalMiB: number;
  /** Folder in bpffs for what outlives the process; empty: everything ends with it. */
  readonly pinFolder: string;
}

export type ConfigError =
  /** Not JSON, or JSON that has a member twice; found and wanted in words. */
  | { readonly kind: "not-json"; readonly message: string; readonly position: TextPosition | undefined }
  | {
      readonly kind: "bad-value";
      /** Empty: the whole text. */
      readonly key: string;
      readonly found: string;
      readonly want: string;
      /** Of the value, or of what it is missing from. */
      readonly position: TextPosition;
    };

/** Keys of the reference's file that have no effect here, so that its shipped file is taken without warnings, and the key of editors. */
const ACCEPTED_WITHOUT_EFFECT = ["hostGAPluginSupport", "enableHttpProxyTrace", "canonicalRequestMode", "$schema"];

const KNOWN = [
  "logFolder",
  "eventFolder",
  "latchKeyFolder",
  "statusFolder",
  "monitorIntervalInSeconds",
  "pollKeyStatusIntervalInSeconds",
  "ebpfProgramName",
  "ebpfFileFullPath",
  "cgroupRoot",
  "fileLogLevel",
  "fileLogLevelForSystemEvents",
  "foreignNamespaces",
  "telemetry",
  "fileLogLevelForEvents",
  "maxEventFileCount",
  "moduleFolder",
  "trustedKeysFolder",
  "requireSignedModules",
  "moduleBudgets",
  "metricsSocket",
  "controlSocket",
  "metricsTextfile",
  "auditFolder",
  "auditSegmentMiB",
  "auditTotalMiB",
  "pinFolder",
];

/** A key that is kept out of the config and reported to the operator. */
export interface UnknownKey {
  readonly key: string;
  /** The known key that may have been meant. */
  readonly nearest: string | undefined;
  readonly position: TextPosition;
}

export interface ParsedConfig {
  readonly config: Config;
  /** Kept out of the config and reported to the operator. No error: the reference ignores them, and a config that it takes must work here. */
  readonly unknownKeys: readonly UnknownKey[];
}

/**
 * Reads the text of a config file.
 * @param input - bytes of the file, or its text
 * @param environment - for `%NAME%` in the folder keys; an unset name stays as its bare name
 */
export function parseConfig(
  input: Uint8Array | string,
  environment: Readonly<Record<string, string | undefined>>,
): Result<ParsedConfig, ConfigError> {
  const text = parseStrictJson(input);
  if (!text.ok) return err({ kind: "not-json", ...text.error });
  const json = text.value.value;
  const reader = new KeyReader(text.value, environment);
  if (typeof json !== "object" || json === null || Array.isArray(json)) reader.refuse("", json, "a JSON object");
  if (reader.error !== undefined) return err(reader.error);
  const config: Config = {
    logFolder: reader.folder("logFolder", { emptyAllowed: true }),
    eventFolder: reader.folder("eventFolder", { emptyAllowed: true }),
    latchKeyFolder: reader.folder("latchKeyFolder"),
    statusFolder: reader.folder("statusFolder", { fallback: DEFAULT_STATUS_FOLDER }),
    monitorIntervalSeconds: reader.seconds("monitorIntervalInSeconds"),
    pollKeyStatusIntervalSeconds: reader.seconds("pollKeyStatusIntervalInSeconds"),
    ebpfProgramName: reader.fileName("ebpfProgramName"),
    ebpfFileFullPath: reader.optionalPath("ebpfFileFullPath"),
    cgroupRoot: reader.optionalPath("cgroupRoot"),
    fileLogLevel: reader.level("fileLogLevel", "Info"),
    journalLogLevel: reader.level("fileLogLevelForSystemEvents", "Info"),
    passForeignNamespaces: reader.word("foreignNamespaces", ["refuse", "pass"], "refuse") === "pass",
    telemetry: reader.word("telemetry", ["on", "off"], "on") === "on",
    eventLevel: reader.optionalLevel("fileLogLevelForEvents"),
    maxEventFiles: reader.count("maxEventFileCount", 0, 1000, 30),
    moduleFolder: reader.optionalPath("moduleFolder"),
    trustedKeysFolder: reader.optionalPath("trustedKeysFolder") ?? "/etc/azure/proxy-agent.d/trusted-keys",
    requireSignedModules: reader.flag("requireSignedModules"),
    moduleBudgets: reader.budgets("moduleBudgets"),
    metricsSocket: reader.pathOrNone("metricsSocket"),
    controlSocket: reader.pathOrNoneOrDefault("controlSocket"),
    metricsTextfile: reader.pathOrNone("metricsTextfile"),
    auditFolder: reader.folder("auditFolder", { emptyAllowed: true, fallback: "" }),
    auditSegmentMiB: reader.count("auditSegmentMiB", 1, 64, 4),
    auditTotalMiB: reader.count("auditTotalMiB", 4, 65_536, 32),
    pinFolder: reader.folder("pinFolder", { emptyAllowed: true, fallback: DEFAULT_PIN_FOLDER }),
  };
  if (config.auditTotalMiB < config.auditSegmentMiB * 2)
    reader.refuse("auditTotalMiB", config.auditTotalMiB, `at least twice auditSegmentMiB, which is ${config.auditSegmentMiB}`);
  if (reader.error !== undefined) return err(reader.error);
  const unknownKeys = reader
    .keys()
    .filter((key) => !KNOWN.includes(key) && !ACCEPTED_WITHOUT_EFFECT.includes(key))
    .map((key): UnknownKey => ({ key, nearest: nearestWord(key, KNOWN), position: text.value.positionOf(pointerOf(key)) }));
  return ok({ config, unknownKeys });
}

/** One line, for people. */
export function renderConfigError(path: string, error: ConfigError): string {
  const { line, column } = error.position ?? {};
  const place = line === undefined ? "" : `line ${line}, column ${column}: `;
  const what = error.kind === "not-json" ? error.message : `found ${error.found}, want ${error.want}`;
  const key = error.kind === "not-json" || error.key === "" ? "" : `key "${error.key}": `;
  return `cannot use config "${path}": ${place}${key}${what}`;
}

/** One line, for people. */
export function renderUnknownKey(path: string, { key, nearest, position }: UnknownKey): string {
  const meant = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
  return `config "${path}": line ${position.line}, column ${position.column}: unknown key ${describe(key)} has no effect${meant}`;
}

function pointerOf(key: string): string {
  return `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}

class KeyReader {
  readonly #text: JsonText;
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  error: ConfigError | undefined;

  constructor(text: JsonText, environment: Readonly<Record<string, string | undefined>>) {
    this.#text = text;
    this.#json = Object(text.value);
    this.#environment = environment;
  }

  keys(): readonly string[] {
    return Object.keys(this.#json);
  }

  folder(key: string, options: { readonly emptyAllowed?: boolean; readonly fallback?: string } = {}): string {
    const value = this.#json[key] ?? options.fallback;
    if (value === "" && options.emptyAllowed === true) return "";
    const text =
      typeof value === "string" ? value.replace(/%([^%]*)%/g, (_whole, name: string) => this.#environment[name] ?? name) : undefined;
    if (text?.startsWith("/") !== true || text.includes("\0")) return this.#fail(key, value, "an absolute folder path", "");
    return text;
  }

  seconds(key: string): number {
    const value = this.#json[key];
    const valid = typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 86_400;
    return valid ? value : this.#fail(key, value, "a whole number of seconds from 1 to 86400", 0);
  }

  fileName(key: string): string {
    const value = this.#json[key];
    const valid = typeof value === "string" && value !== "" && !value.includes("/") && !value.includes("\0");
    return valid ? value : this.#fail(key, value, "a file name without a slash", "");
  }

  optionalPath(key: string): string | undefined {
    const value = this.#json[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "string" && value.startsWith("/") && !value.includes("\0")) return value;
    return this.#fail(key, value, "an absolute path", undefined);
  }

  count(key: string, least: number, most: number, fallback: number): number {
    const value = this.#json[key] ?? fallback;
    const valid = typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
    return valid ? value : this.#fail(key, value, `a whole number from ${least} to ${most}`, fallback);
  }

  /** Absent and `""` mean the same: none. */
  pathOrNone(key: string): string {
    const value = this.#json[key] ?? "";
    if (value === "") return "";
    if (typeof value === "string" && value.startsWith("/") && !value.endsWith("/") && !value.includes("\0")) return value;
    return this.#fail(key, value, 'an absolute path of a file or ""', "");
  }

  /** As {@link pathOrNone}, but undefined when it is absent. */
  pathOrNoneOrDefault(key: string): string | undefined {
    return (this.#json[key] ?? undefined) === undefined ? undefined : this.pathOrNone(key);
  }

  level(key: string, fallback: LogLevel): LogLevel {
    return this.word(key, LOG_LEVELS, fallback);
  }

  optionalLevel(key: string): LogLevel | undefined {
    return (this.#json[key] ?? undefined) === undefined ? undefined : this.level(key, "Info");
  }

  /** One of the words, letter case ignored. */
  word<Word extends string>(key: string, words: readonly Word[], fallback: Word): Word {
    const value = this.#json[key];
    if (value === undefined || value === null) return fallback;
    const known = typeof value === "string" ? words.find((word) => word.toLowerCase() === value.toLowerCase()) : undefined;
    return known ?? this.#fail(key, value, `one of ${words.join(", ")}`, fallback);
  }

  /** False when it is absent; a word that only resembles one of the two is an error. */
  flag(key: string): boolean {
    const value = this.#json[key];
    if (value === undefined || value === null) return false;
    return typeof value === "boolean" ? value : this.#fail(key, value, "true or false", true);
  }

  budgets(key: string): ChosenBudgets {
    const value = this.#json[key];
    if (value === undefined || value === null) return DEFAULT_BUDGETS;
    const budgets = parseBudgets(value, DEFAULT_BUDGETS);
    if (budgets.ok) return budgets.value;
    const { member, found, want } = budgets.error;
    return this.#fail(member === "" ? key : `${key}.${member}`, found, want, DEFAULT_BUDGETS);
  }

  refuse(key: string, found: unknown, want: string): void {
    this.#fail(key, found, want, undefined);
  }

  #fail<Value>(key: string, found: unknown, want: string, stand: Value): Value {
    // A member of an object value is named with a dot.
    const position = this.#text.positionOf(key === "" ? "" : key.split(".").map(pointerOf).join(""));
    this.error ??= { kind: "bad-value", key, found: describe(found), want, position };
    return stand;
  }
}
