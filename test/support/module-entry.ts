// An entry of the list of modules as most tests want it: enabled, applied, asked at IMDS, unsigned.

import { budgetsFor, DEFAULT_BUDGETS } from "../../proxy/core/modules/module-budgets.ts";
import type { ModuleEntry } from "../../proxy/core/modules/module-entry.ts";

export function moduleEntry(more: Partial<ModuleEntry> = {}): ModuleEntry {
  return {
    name: "sample",
    enabled: true,
    audit: false,
    endpoints: ["imds"],
    headers: [],
    budgets: budgetsFor(DEFAULT_BUDGETS, 1),
    componentSha256: "a".repeat(64),
    preparedSha256: "b".repeat(64),
    settingsSha256: "c".repeat(64),
    worldVersion: "1.0.0",
    signedBy: undefined,
    signatureSha256: undefined,
    pinned: false,
    ...more,
  };
}
