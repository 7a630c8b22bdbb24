// `azure-proxy-agent module remove|enable|disable|pin|audit|order|settings`: changes of what is installed. Each is one change of the
// list; what takes protection away is said loudly.

import { changeModules, hashed, type StoreChange } from "../../adapters/storage/module-store.ts";
import { isSha256 } from "../../core/modules/module-index.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { fromStore, printLines, refused, tell, warn } from "../output.ts";
import { confirmChange } from "./confirm.ts";
import { compilePrepared, NO_SETTINGS, ownUserId, readInstalledArtefact, readInstalledEntry, readSettings } from "./input.ts";
import { type Entries, editModules, findModule, moveModule, pinModule, removeModules } from "./module-changes.ts";
import { readModuleConfig } from "./module-config.ts";
import { tryModuleSettings } from "./module-trial.ts";
import { readPlace } from "./place.ts";
import { AUDIT, type CHANGE_OPTIONS, ORDER, PIN, SETTINGS } from "./table.ts";

interface Plan {
  readonly change: (entries: Entries) => Result<Entries, string>;
  /** Printed when it is done. */
  readonly done: string;
  readonly warning?: string;
}

function named(names: readonly string[]): string {
  return `${names.length === 1 ? "module" : "modules"} ${names.map((each) => quote(each)).join(", ")}`;
}

function planEnabled(names: readonly string[], enabled: boolean): Plan {
  return {
    change: (entries) => editModules(entries, names, (entry) => ok({ ...entry, enabled })),
    done: `${named(names)} ${enabled ? "enabled" : "disabled"}`,
    ...(enabled ? {} : { warning: `${named(names)}: not asked any more, what only they denied may pass` }),
  };
}

function planPin(names: readonly string[], hash: string | undefined, off: boolean): Plan {
  if (!off) return { change: (entries) => editModules(entries, names, (entry) => pinModule(entry, hash)), done: `${named(names)} pinned` };
  return {
    change: (entries) => editModules(entries, names, (entry) => ok({ ...entry, pinned: false })),
    done: `${named(names)} not pinned any more`,
    warning: `${named(names)}: may be replaced or removed from now on`,
  };
}

type ChangeGiven = Given<typeof CHANGE_OPTIONS>;

function remove({ options, operands }: ChangeGiven): Promise<number> {
  return runPlan(options, {
    change: (entries) => removeModules(entries, operands),
    done: `${named(operands)} removed`,
    warning: `${named(operands)}: not asked any more, what only they denied may pass`,
  });
}

function enable({ options, operands }: ChangeGiven): Promise<number> {
  return runPlan(options, planEnabled(operands, true));
}

function disable({ options, operands }: ChangeGiven): Promise<number> {
  return runPlan(options, planEnabled(operands, false));
}

function pin({ options, operands }: Given<typeof PIN.options>): number | Promise<number> {
  const { sha256, off } = options;
  if (sha256 !== undefined && !isSha256(sha256))
    return refuseUsage(PIN.name, `--sha256 wants 64 lower-case hex digits, found ${quote(sha256)}`);
  return runPlan(options, planPin(operands, sha256, off));
}

function audit({ options, operands: [found = "", ...names] }: ChangeGiven): number | Promise<number> {
  const word = found.toLowerCase();
  if (word !== "on" && word !== "off") return refuseUsage(AUDIT.name, `the first operand is on or off, found ${quote(found)}`);
  const isOn = word === "on";
  return runPlan(options, {
    change: (entries) => editModules(entries, names, (entry) => ok({ ...entry, audit: isOn })),
    done: `${named(names)}: audit ${word}`,
    ...(isOn ? { warning: `${named(names)}: denies are recorded and not applied, the requests pass` } : {}),
  });
}

function order({ options, operands: [moduleName = ""] }: Given<typeof ORDER.options>): number | Promise<number> {
  const place = readPlace(options);
  if (place.kind === "keep") return refuseUsage(ORDER.name, "--before, --first or --last is needed");
  return runPlan(options, { change: (entries) => moveModule(entries, moduleName, place), done: `${named([moduleName])} placed` });
}

async function settings({ options, operands: [moduleName = "", path] }: Given<typeof SETTINGS.options>): Promise<number> {
  if ((path === undefined) !== options.none) return refuseUsage(SETTINGS.name, "want a file with settings, or --none");
  const config = readModuleConfig(options.config);
  if (!config.ok) return tell(config.error);
  const entry = readInstalledEntry(config.value, moduleName);
  if (!entry.ok) return tell(entry.error);
  const given = path === undefined ? ok(NO_SETTINGS) : readSettings(path);
  if (!given.ok) return tell(given.error);
  const prepared = readInstalledArtefact(config.value, entry.value, entry.value.budgets);
  if (!prepared.ok) return tell(prepared.error);
  const compiled = await compilePrepared(prepared.value, named([moduleName]));
  if (!compiled.ok) return tell(compiled.error);
  const tried = tryModuleSettings(compiled.value, entry.value.budgets, given.value);
  if (!tried.ok) return tell(refused(`cannot change the settings of ${named([moduleName])}: ${tried.error}`).error);
  const { componentSha256 } = entry.value;
  const stored = hashed(given.value);
  return applyChange(options, `${named([moduleName])} has other settings`, undefined, (entries) => {
    const found = findModule(entries, moduleName);
    if (!found.ok) return found;
    if (found.value.componentSha256 !== componentSha256) return err(`${named([moduleName])} was replaced meanwhile; try again`);
    const edited = editModules(entries, [moduleName], (each) => ok({ ...each, settingsSha256: stored.sha256 }));
    return edited.ok ? ok({ entries: edited.value, objects: [stored] }) : edited;
  });
}

function runPlan(options: ChangeGiven["options"], { change, done, warning }: Plan): Promise<number> {
  return applyChange(options, done, warning, (entries) => {
    const edited = change(entries);
    return edited.ok ? ok({ entries: edited.value, objects: [] }) : edited;
  });
}

async function applyChange(
  options: ChangeGiven["options"],
  done: string,
  warning: string | undefined,
  change: (entries: Entries) => Result<StoreChange, string>,
): Promise<number> {
  const config = readModuleConfig(options.config);
  if (!config.ok) return tell(config.error);
  const changed = changeModules(config.value.folder, ownUserId(), change);
  if (!changed.ok) return tell(fromStore(changed.error).error);
  if (warning !== undefined) warn(warning);
  printLines([done]);
  return confirmChange(options, config.value, changed.value);
}

export const MODULE_CHANGES = { remove, enable, disable, pin, audit, order, settings } as const;
