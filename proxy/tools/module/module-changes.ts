// Changes to the list of installed modules, as values: from the list as it is to the list as it shall be, or why not. A pinned module
// is neither replaced nor removed, and a signature is not lost by accident.

import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { MAX_MODULES } from "../../core/modules/module-index.ts";
import { err, ok, type Result } from "../../core/result.ts";

export type Entries = readonly ModuleEntry[];

/** Where in the order a module goes; `keep`: where it was, or last when it is new. */
export type Place =
  | { readonly kind: "keep" }
  | { readonly kind: "first" }
  | { readonly kind: "last" }
  | { readonly kind: "before"; readonly name: string };

export interface Placing {
  readonly place: Place;
  /** A module of the same name may be there, and goes. */
  readonly replace: boolean;
  /** A signed module may be replaced by an unsigned one. */
  readonly giveUpSignature: boolean;
}

export function findModule(entries: Entries, name: string): Result<ModuleEntry, string> {
  const found = entries.find((each) => each.name === name);
  if (found !== undefined) return ok(found);
  const names = entries.map((each) => each.name).join(", ");
  return err(`cannot find module "${name}": ${names === "" ? "no modules are installed" : `installed are ${names}`}`);
}

export function placeModule(entries: Entries, entry: ModuleEntry, { place, replace, giveUpSignature }: Placing): Result<Entries, string> {
  const trouble = `cannot add module "${entry.name}"`;
  const old = entries.find(({ name }) => name === entry.name);
  if (old === undefined && entries.length >= MAX_MODULES) return err(`${trouble}: ${MAX_MODULES} modules are installed, want no more`);
  if (old !== undefined) {
    if (!replace) return err(`${trouble}: a module of this name is installed, want another name or --replace`);
    if (old.pinned && old.componentSha256 !== entry.componentSha256)
      return err(
        `${trouble}: it is pinned to ${old.componentSha256}, found ${entry.componentSha256}; "module pin ${entry.name} --off" comes first`,
      );
    if (old.signedBy !== undefined && entry.signedBy === undefined && !giveUpSignature)
      return err(`${trouble}: the installed one is signed by key ${old.signedBy}, found no signature, want --signature FILE or --unsigned`);
  }
  const without = entries.map((each) => (each.name === entry.name ? entry : each));
  return moveModule(old === undefined ? [...without, entry] : without, entry.name, place);
}

export function moveModule(entries: Entries, name: string, place: Place): Result<Entries, string> {
  const found = findModule(entries, name);
  if (!found.ok) return found;
  const others = entries.filter((each) => each.name !== name);
  switch (place.kind) {
    case "keep":
      return ok(entries);
    case "first":
      return ok([found.value, ...others]);
    case "last":
      return ok([...others, found.value]);
    case "before": {
      const at = others.findIndex((each) => each.name === place.name);
      if (at < 0) return err(`cannot place module "${name}" before "${place.name}": no such other module is installed`);
      return ok([...others.slice(0, at), found.value, ...others.slice(at)]);
    }
  }
}

export function removeModules(entries: Entries, names: readonly string[]): Result<Entries, string> {
  for (const name of names) {
    const found = findModule(entries, name);
    if (!found.ok) return found;
    if (found.value.pinned)
      return err(`cannot remove module "${name}": it is pinned to ${found.value.componentSha256}; "module pin ${name} --off" comes first`);
  }
  return ok(entries.filter(({ name }) => !names.includes(name)));
}

/** The same change for each of the named modules. */
export function editModules(
  entries: Entries,
  names: readonly string[],
  edit: (entry: ModuleEntry) => Result<ModuleEntry, string>,
): Result<Entries, string> {
  const changed = new Map<string, ModuleEntry>();
  for (const name of names) {
    const found = findModule(entries, name);
    if (!found.ok) return found;
    const edited = edit(found.value);
    if (!edited.ok) return edited;
    changed.set(name, edited.value);
  }
  return ok(entries.map((each) => changed.get(each.name) ?? each));
}

/** @param wanted - the hash that the operator knows; undefined: whatever is installed */
export function pinModule(entry: ModuleEntry, wanted: string | undefined): Result<ModuleEntry, string> {
  if (wanted !== undefined && wanted !== entry.componentSha256)
    return err(`cannot pin module "${entry.name}" to ${wanted}: the installed component has the hash ${entry.componentSha256}`);
  return ok({ ...entry, pinned: true });
}
