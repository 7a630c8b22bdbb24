// `azure-proxy-agent module list`: what is installed, in the order in which it is asked.

import { join } from "node:path";
import { readModuleIndex } from "../../adapters/storage/module-store.ts";
import { STATUS_FILE_NAME } from "../../adapters/storage/status-file.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { count, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { fromStore, printJson, printLines, printNotes, tell } from "../output.ts";
import { readModulesInStatus } from "./confirm.ts";
import { ownUserId } from "./input.ts";
import { readModuleConfig } from "./module-config.ts";
import type { LIST } from "./table.ts";

export function moduleList({ options }: Given<typeof LIST.options>): number {
  const config = readModuleConfig(options.config);
  if (!config.ok) return tell(config.error);
  const entries = readModuleIndex(config.value.folder, ownUserId());
  if (!entries.ok) return tell(fromStore(entries.error).error);
  const status = readModulesInStatus(join(config.value.statusFolder, STATUS_FILE_NAME));
  if (options.json) {
    const modules = entries.value.map((entry) => ({ ...entry, agentSays: status?.states.get(entry.name) }));
    printJson({ folder: config.value.folder, modules, agentRefuses: status?.refusal });
    return EXIT.ok;
  }
  if (status !== undefined && status.refusal !== "") printNotes([`the agent has not taken up the newest list: ${status.refusal}`]);
  if (entries.value.length === 0) printLines(["no modules are installed"]);
  else printLines(renderTable(entries.value, status?.states ?? new Map()));
  return EXIT.ok;
}

function renderTable(entries: readonly ModuleEntry[], states: ReadonlyMap<string, string>): readonly string[] {
  const width = Math.max(...entries.map(({ name }) => name.length));
  return [
    ...entries.flatMap((entry, i) => {
      const { name, enabled, audit, pinned, endpoints, componentSha256, signedBy } = entry;
      const words = [enabled ? "enabled" : "DISABLED"];
      if (audit) words.push("AUDIT");
      if (pinned) words.push("pinned");
      words.push(signedBy === undefined ? "unsigned" : `signed by ${signedBy}`, `at ${endpoints.join("+")}`, componentSha256.slice(0, 16));
      const state = states.get(name);
      if (state !== undefined) words.push(`agent: ${state}`);
      return wrap(`${String(i + 1).padStart(2)} ${name.padEnd(width)}  `, words.join(", "));
    }),
    count(entries.length, "module"),
  ];
}
