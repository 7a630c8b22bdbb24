// `azure-proxy-agent module remove|enable|disable|pin|audit|order|settings`: changes of what is installed. Each is one change of the
// list; what takes protection away is said loudly.

import { changeModules, hashed, type StoreChange } from "../../adapters/storage/module-store.ts";
import { isSha256 } from "../../core/modules/module-index.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import { readModuleConfig } from "../config-file.ts";
import { type Options, parseOptions } from "../options.ts";
import { fromStore, printLines, refused, refuseUsage, tell, warn } from "../output.ts";
import { confirmChange } from "./confirm.ts";
import { compilePrepared, NO_SETTINGS, ownUserId, readInstalledArtefact, readInstalledEntry, readSettings } from "./input.ts";
import { type Entries, editModules, findModule, moveModule, pinModule, removeModules } from "./module-changes.ts";
import { tryModuleSettings } from "./module-trial.ts";
import { readPlace } from "./place.ts";

const COMMON_TEXT = `  --no-wait       do not wait for the running agent to take it up
  --config FILE   the agent's config

Exit codes: 0 done, 1 refused, or the running agent cannot use it, 2 it could not be done, 64 usage,
75 another command is changing modules, 78 bad config
`;

interface Change {
  readonly usage: string;
  readonly values?: readonly string[];
  readonly flags?: readonly string[];
  readonly operands: readonly [number, number];
  /** What the command line asks for, or what is wrong with it. */
  readonly plan: (options: Options) => Result<Plan, string>;
}

interface Plan {
  readonly change: (entries: Entries) => Result<Entries, string>;
  /** Printed when it is done. */
  readonly done: string;
  readonly warning?: string;
}

const MANY: readonly [number, number] = [1, 64];

function named(names: readonly string[]): string {
  return `${names.length === 1 ? "module" : "modules"} ${names.map((each) => quote(each)).join(", ")}`;
}

function planEnabled({ operands }: Options, enabled: boolean): Result<Plan, string> {
  const done = `${named(operands)} ${enabled ? "enabled" : "disabled"}`;
  return ok({
    change: (entries) => editModules(entries, operands, (entry) => ok({ ...entry, enabled })),
    done,
    ...(enabled ? {} : { warning: `${named(operands)}: not asked any more, what only they denied may pass` }),
  });
}

const CHANGES = {
  remove: {
    usage: `azure-proxy-agent module remove NAME... [--no-wait]

Takes modules out, with their settings. A pinned one is refused: "module pin NAME --off" comes
first.

${COMMON_TEXT}`,
    operands: MANY,
    plan: ({ operands }) =>
      ok({
        change: (entries) => removeModules(entries, operands),
        done: `${named(operands)} removed`,
        warning: `${named(operands)}: not asked any more, what only they denied may pass`,
      }),
  },
  enable: {
    usage: `azure-proxy-agent module enable NAME... [--no-wait]

Has modules asked again.

${COMMON_TEXT}`,
    operands: MANY,
    plan: (options) => planEnabled(options, true),
  },
  disable: {
    usage: `azure-proxy-agent module disable NAME... [--no-wait]

Keeps modules, but does not ask them: what only they denied may pass.

${COMMON_TEXT}`,
    operands: MANY,
    plan: (options) => planEnabled(options, false),
  },
  pin: {
    usage: `azure-proxy-agent module pin NAME [--sha256 HASH | --off] [--no-wait]

Refuses every other component under this name, and its removal, until the pin is taken off.

  --sha256 HASH   only if the installed component has this hash
  --off           takes the pin off
${COMMON_TEXT}`,
    values: ["--sha256"],
    flags: ["--off"],
    operands: [1, 1],
    plan: (options) => {
      const { operands } = options;
      const hash = options.value("--sha256");
      if (hash !== undefined && options.has("--off")) return err("--sha256 and --off exclude each other");
      if (hash !== undefined && !isSha256(hash)) return err(`--sha256 wants 64 lower-case hex digits, found ${quote(hash)}`);
      if (!options.has("--off"))
        return ok({
          change: (entries) => editModules(entries, operands, (entry) => pinModule(entry, hash)),
          done: `${named(operands)} pinned`,
        });
      return ok({
        change: (entries) => editModules(entries, operands, (entry) => ok({ ...entry, pinned: false })),
        done: `${named(operands)} not pinned any more`,
        warning: `${named(operands)}: may be replaced or removed from now on`,
      });
    },
  },
  audit: {
    usage: `azure-proxy-agent module audit on|off NAME... [--no-wait]

on: denies of these modules, failures included, are recorded and not applied. off: they are applied.

${COMMON_TEXT}`,
    operands: [2, 65],
    plan: ({ operands: [word, ...names] }) => {
      if (word !== "on" && word !== "off") return err(`found ${quote(word ?? "")}, want "on" or "off"`);
      const audit = word === "on";
      return ok({
        change: (entries) => editModules(entries, names, (entry) => ok({ ...entry, audit })),
        done: `${named(names)}: audit ${word}`,
        ...(audit ? { warning: `${named(names)}: denies are recorded and not applied, the requests pass` } : {}),
      });
    },
  },
  order: {
    usage: `azure-proxy-agent module order NAME --before OTHER | --first | --last [--no-wait]

Changes when a module is asked: each one sees what those before it came to.

${COMMON_TEXT}`,
    values: ["--before"],
    flags: ["--first", "--last"],
    operands: [1, 1],
    plan: (options) => {
      const [moduleName = ""] = options.operands;
      const place = readPlace(options);
      if (!place.ok) return place;
      if (place.value.kind === "keep") return err("--before, --first or --last is needed");
      return ok({ change: (entries) => moveModule(entries, moduleName, place.value), done: `${named([moduleName])} placed` });
    },
  },
} as const satisfies Record<string, Change>;

const SETTINGS_USAGE = `azure-proxy-agent module settings NAME FILE|--none [--no-wait]

Asks the module whether it takes the settings in FILE ("-" is standard input), tries them, and gives
them to it: a running agent goes over to them between two requests.

  --none          no settings: no bytes
${COMMON_TEXT}`;

async function run(change: Change, argv: readonly string[]): Promise<number> {
  const { values = [], flags = [], operands, usage } = change;
  const parsed = parseOptions(argv, { values: [...values, "--config"], flags: [...flags, "--no-wait"], operands });
  if (!parsed.ok) return refuseUsage(parsed.error, usage);
  const plan = change.plan(parsed.value);
  if (!plan.ok) return refuseUsage(plan.error, usage);
  const { change: edit, done, warning } = plan.value;
  return applyChange(parsed.value, done, warning, (entries) => {
    const edited = edit(entries);
    return edited.ok ? ok({ entries: edited.value, objects: [] }) : edited;
  });
}

async function changeSettings(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv, { values: ["--config"], flags: ["--none", "--no-wait"], operands: [1, 2] });
  if (!parsed.ok) return refuseUsage(parsed.error, SETTINGS_USAGE);
  const [moduleName = "", path] = parsed.value.operands;
  if ((path === undefined) !== parsed.value.has("--none")) return refuseUsage("want a file with settings, or --none", SETTINGS_USAGE);
  const config = readModuleConfig(parsed.value);
  if (!config.ok) return tell(config.error);
  const entry = readInstalledEntry(config.value, moduleName);
  if (!entry.ok) return tell(entry.error);
  const settings = path === undefined ? ok(NO_SETTINGS) : readSettings(path);
  if (!settings.ok) return tell(settings.error);
  const prepared = readInstalledArtefact(config.value, entry.value, entry.value.budgets);
  if (!prepared.ok) return tell(prepared.error);
  const compiled = await compilePrepared(prepared.value, named([moduleName]));
  if (!compiled.ok) return tell(compiled.error);
  const tried = tryModuleSettings(compiled.value, entry.value.budgets, settings.value);
  if (!tried.ok) return tell(refused(`cannot change the settings of ${named([moduleName])}: ${tried.error}`).error);
  const { componentSha256 } = entry.value;
  const stored = hashed(settings.value);
  return applyChange(parsed.value, `${named([moduleName])} has other settings`, undefined, (entries) => {
    const found = findModule(entries, moduleName);
    if (!found.ok) return found;
    if (found.value.componentSha256 !== componentSha256) return err(`${named([moduleName])} was replaced meanwhile; try again`);
    const edited = editModules(entries, [moduleName], (each) => ok({ ...each, settingsSha256: stored.sha256 }));
    return edited.ok ? ok({ entries: edited.value, objects: [stored] }) : edited;
  });
}

async function applyChange(
  options: Options,
  done: string,
  warning: string | undefined,
  change: (entries: Entries) => Result<StoreChange, string>,
): Promise<number> {
  const config = readModuleConfig(options);
  if (!config.ok) return tell(config.error);
  const changed = changeModules(config.value.folder, ownUserId(), change);
  if (!changed.ok) return tell(fromStore(changed.error).error);
  if (warning !== undefined) warn(warning);
  printLines([done]);
  return confirmChange(options, config.value, changed.value);
}

type ChangeName = keyof typeof CHANGES | "settings";

function tool(change: Change): { readonly run: (argv: readonly string[]) => Promise<number>; readonly usage: string } {
  return { run: (argv) => run(change, argv), usage: change.usage };
}

export const MODULE_CHANGES: Readonly<Record<ChangeName, ReturnType<typeof tool>>> = {
  remove: tool(CHANGES.remove),
  enable: tool(CHANGES.enable),
  disable: tool(CHANGES.disable),
  pin: tool(CHANGES.pin),
  audit: tool(CHANGES.audit),
  order: tool(CHANGES.order),
  settings: { run: changeSettings, usage: SETTINGS_USAGE },
};
