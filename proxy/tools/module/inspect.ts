// `azure-proxy-agent module inspect`: all about an installed module, with every hash and the signature looked at again, or about a
// component file that is not installed.

import { readModuleObject } from "../../adapters/storage/module-store.ts";
import { checkStoredSignature } from "../../adapters/storage/stored-signature.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { MAX_COMPONENT_BYTES, MAX_PREPARED_BYTES, MAX_SETTINGS_BYTES } from "../../core/modules/module-index.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { toMiB } from "../../core/wasm/compiler-memory.ts";
import { LIMITS } from "../../core/wasm/core-limits.ts";
import type { ComponentFacts } from "../../core/wasm/describe-component.ts";
import { type ModuleConfig, readDefaultBudgets, readModuleConfig } from "../config-file.ts";
import { type Options, parseOptions } from "../options.ts";
import { printJson, printLines, refuseUsage, TOOL_EXIT, tell } from "../output.ts";
import { isModuleFile, ownUserId, prepareBytes, prepareFile, readInstalledArtefact, readInstalledEntry, readStored } from "./input.ts";

export const INSPECT_USAGE = `azure-proxy-agent module inspect FILE|NAME [--settings] [--json] [--config FILE]

Of an installed module: how it is asked, its budgets, hashes and parts; every stored content is
compared with its hash, and the signature with the keys that are trusted now. Of a component file:
whether it would be taken, and its parts. What its makers' tools say of themselves is unproven.

  --settings   print the stored settings instead, as they are

Exit codes: 0 it is sound, 1 the component is refused or something is not as it should be, 2 it
cannot be read, 64 usage, 78 bad config
`;

export function moduleInspect(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: ["--config"], flags: ["--settings", "--json"], operands: [1, 1] });
  if (!options.ok) return refuseUsage(options.error, INSPECT_USAGE);
  const operand = options.value.operands[0] ?? "";
  if (isModuleFile(operand)) {
    if (options.value.has("--settings")) return refuseUsage("--settings wants an installed module", INSPECT_USAGE);
    return inspectFile(operand, options.value);
  }
  const config = readModuleConfig(options.value);
  if (!config.ok) return tell(config.error);
  const entry = readInstalledEntry(config.value, operand);
  if (!entry.ok) return tell(entry.error);
  if (!options.value.has("--settings")) return inspectInstalled(config.value, entry.value, options.value);
  const settings = readStored(config.value, entry.value.settingsSha256, MAX_SETTINGS_BYTES);
  if (!settings.ok) return tell(settings.error);
  process.stdout.write(settings.value);
  return TOOL_EXIT.yes;
}

function inspectFile(path: string, options: Options): number {
  const budgets = readDefaultBudgets(options);
  if (!budgets.ok) return tell(budgets.error);
  const file = prepareFile(path, budgets.value);
  if (!file.ok) return tell(file.error);
  const { componentSha256, facts } = file.value;
  if (options.has("--json")) printJson({ file: path, sha256: componentSha256, facts });
  else printLines([...wrap("sha256      ", componentSha256), ...renderFacts(facts)]);
  return TOOL_EXIT.yes;
}

function inspectInstalled(config: ModuleConfig, entry: ModuleEntry, options: Options): number {
  const component = readStored(config, entry.componentSha256, MAX_COMPONENT_BYTES);
  if (!component.ok) return tell(component.error);
  const parts = prepareBytes(component.value, entry.budgets, entry.name);
  if (!parts.ok) return tell(parts.error);
  const artefact = readModuleObject(config.folder, ownUserId(), entry.preparedSha256, MAX_PREPARED_BYTES);
  const settings = readModuleObject(config.folder, ownUserId(), entry.settingsSha256, MAX_SETTINGS_BYTES);
  const checked = checkStoredSignature({ ...config, owner: ownUserId() }, entry, component.value);
  const signature = checked.ok ? ok(checked.value?.signature.trustedComment) : err(`signature: ${checked.error}`);
  const troubles = [artefact, settings].flatMap((each) => (each.ok ? [] : [each.error.message]));
  if (!signature.ok) troubles.push(signature.error);
  if (artefact.ok) {
    const usable = readInstalledArtefact(config, entry, entry.budgets);
    if (!usable.ok) return tell(usable.error);
  }
  const settingsBytes = settings.ok ? settings.value.length : undefined;
  if (options.has("--json"))
    printJson({ ...entry, settingsBytes, trustedComment: signature.ok ? signature.value : undefined, troubles, facts: parts.value.facts });
  else printLines([...renderEntry(entry, settingsBytes, signature), ...renderFacts(parts.value.facts), ...renderTroubles(troubles)]);
  return troubles.length === 0 ? TOOL_EXIT.yes : TOOL_EXIT.no;
}

function renderEntry(
  entry: ModuleEntry,
  settingsBytes: number | undefined,
  signature: Result<string | undefined, string>,
): readonly string[] {
  const { name, enabled, audit, pinned, endpoints, headers, budgets, componentSha256, preparedSha256, signedBy } = entry;
  const state = [enabled ? "enabled" : "DISABLED", audit ? "AUDIT: denies are recorded, not applied" : "denies are applied"];
  if (pinned) state.push("pinned");
  return [
    ...wrap("name        ", name),
    ...wrap("state       ", state.join(", ")),
    ...wrap("asked at    ", endpoints.join(", ")),
    ...wrap("headers     ", headers.length === 0 ? "none" : headers.join(", ")),
    ...wrap(
      "budgets     ",
      `${budgets.fuel} units of fuel, ${budgets.memoryBytes} bytes of memory, reasons of ${budgets.reasonBytes} bytes`,
    ),
    ...wrap("settings    ", settingsBytes === undefined ? "unreadable" : count(settingsBytes, "byte")),
    ...wrap(
      "signed by   ",
      signedBy === undefined
        ? "nobody"
        : `${signedBy}, ${signature.ok ? `which holds: ${quote(signature.value ?? "")}` : "which does not hold now"}`,
    ),
    ...wrap("sha256      ", componentSha256),
    ...wrap("artefact    ", preparedSha256),
  ];
}

function renderFacts(facts: ComponentFacts): readonly string[] {
  return [
    ...wrap("world       ", `${facts.worldVersion}, texts as ${facts.encoding}`),
    ...wrap(
      "size        ",
      `${count(facts.bytes, "byte")}, ${count(facts.nestedComponents, "nested component")}, ${count(facts.coreInstances, "core instance")}`,
    ),
    ...facts.modules.flatMap((each, i) =>
      wrap(
        `core ${String(i).padEnd(6)} `,
        [
          count(each.bytes, "byte"),
          `${each.meteredBytes} metered`,
          count(each.functions, "function"),
          count(each.checkpoints, "checkpoint"),
          ...(each.memoryPages === undefined ? [] : [count(each.memoryPages, "page")]),
          ...(each.hasStart ? ["a start function"] : []),
        ].join(", "),
      ),
    ),
    ...wrap("compiling   ", `at most ${toMiB(facts.compilerBytes)} of ${toMiB(LIMITS.compilerBytes)} MiB of memory`),
    ...(facts.customSections.length === 0 ? [] : wrap("custom      ", facts.customSections.map(quote).join(", "))),
    ...facts.producers.flatMap((text) => wrap("made by     ", quote(text))),
  ];
}

function renderTroubles(troubles: readonly string[]): readonly string[] {
  return troubles.flatMap((text) => wrap("TROUBLE     ", text));
}
