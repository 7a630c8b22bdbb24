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
import { EXIT } from "../../exit-code.ts";
import type { Given, OptionValues } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { printJson, printLines, tell } from "../output.ts";
import { isModuleFile, ownUserId, prepareBytes, prepareFile, readInstalledArtefact, readInstalledEntry, readStored } from "./input.ts";
import { type ModuleConfig, readDefaultBudgets, readModuleConfig } from "./module-config.ts";
import { INSPECT } from "./table.ts";

type InspectOptions = OptionValues<typeof INSPECT.options>;

export function moduleInspect({ options, operands: [operand = ""] }: Given<typeof INSPECT.options>): number {
  if (isModuleFile(operand)) {
    if (options.settings) return refuseUsage(INSPECT.name, "--settings wants an installed module");
    return inspectFile(operand, options);
  }
  const config = readModuleConfig(options.config);
  if (!config.ok) return tell(config.error);
  const entry = readInstalledEntry(config.value, operand);
  if (!entry.ok) return tell(entry.error);
  if (!options.settings) return inspectInstalled(config.value, entry.value, options);
  const settings = readStored(config.value, entry.value.settingsSha256, MAX_SETTINGS_BYTES);
  if (!settings.ok) return tell(settings.error);
  process.stdout.write(settings.value);
  return EXIT.ok;
}

function inspectFile(path: string, options: InspectOptions): number {
  const budgets = readDefaultBudgets(options.config);
  if (!budgets.ok) return tell(budgets.error);
  const file = prepareFile(path, budgets.value);
  if (!file.ok) return tell(file.error);
  const { componentSha256, facts } = file.value;
  if (options.json) printJson({ file: path, sha256: componentSha256, facts });
  else printLines([...wrap("sha256      ", componentSha256), ...renderFacts(facts)]);
  return EXIT.ok;
}

function inspectInstalled(config: ModuleConfig, entry: ModuleEntry, options: InspectOptions): number {
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
  if (options.json)
    printJson({ ...entry, settingsBytes, trustedComment: signature.ok ? signature.value : undefined, troubles, facts: parts.value.facts });
  else printLines([...renderEntry(entry, settingsBytes, signature), ...renderFacts(parts.value.facts), ...renderTroubles(troubles)]);
  return troubles.length === 0 ? EXIT.ok : EXIT.no;
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
