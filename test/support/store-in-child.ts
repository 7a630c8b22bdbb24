// A process that changes a module store and dies by SIGKILL at one step of it: what a crash or a power cut leaves behind. Started by
// module-store.test.ts with the folder, the number of the step and the way to die there.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeAtomically } from "../../proxy/adapters/storage/atomic-write.ts";
import { changeModules, type Hashed, hashed, type StoreFiles } from "../../proxy/adapters/storage/module-store.ts";
import { budgetsFor, DEFAULT_BUDGETS } from "../../proxy/core/modules/module-budgets.ts";
import type { ModuleEntry } from "../../proxy/core/modules/module-entry.ts";
import { ok } from "../../proxy/core/result.ts";

/** `before`: nothing of the step happened. `torn`: half a temporary file is there. `after`: the step is done. */
export type Death = "before" | "torn" | "after";

/** An installed module whose contents are made of its name. */
export function sampleModule(name: string, mark: string): { readonly entry: ModuleEntry; readonly objects: readonly Hashed[] } {
  const objects = ["component", "prepared", "settings"].map((kind) => hashed(Buffer.from(`${kind} of ${name}, ${mark}, `.repeat(50))));
  const [componentSha256 = "", preparedSha256 = "", settingsSha256 = ""] = objects.map(({ sha256 }) => sha256);
  const entry: ModuleEntry = {
    name,
    enabled: true,
    audit: false,
    endpoints: ["imds"],
    headers: [],
    budgets: budgetsFor(DEFAULT_BUDGETS, 1),
    componentSha256,
    preparedSha256,
    settingsSha256,
    worldVersion: "1.0.0",
    signedBy: undefined,
    signatureSha256: undefined,
    pinned: false,
  };
  return { entry, objects };
}

/** Counts the steps and dies at one of them. */
function mortalFiles(dieAt: number, death: Death): StoreFiles {
  let step = 0;
  const around = <Value>(does: () => Value, tear: () => void): Value => {
    const now = ++step === dieAt;
    if (now && death === "before") process.kill(process.pid, "SIGKILL");
    if (now && death === "torn") {
      tear();
      process.kill(process.pid, "SIGKILL");
    }
    const value = does();
    if (now) process.kill(process.pid, "SIGKILL");
    return value;
  };
  return {
    makeFolder: (path) =>
      around(
        () => mkdirSync(path, { recursive: true, mode: 0o700 }),
        () => undefined,
      ),
    write: (path, bytes) =>
      around(
        () => writeAtomically(path, bytes, 0o600, true),
        () => writeFileSync(join(dirname(path), ".0123456789abcdef.tmp"), bytes.subarray(0, bytes.length >> 1), { mode: 0o600 }),
      ),
    remove: (path) =>
      around(
        () => rmSync(path, { force: true }),
        () => undefined,
      ),
  };
}

if (import.meta.main) {
  const [folder = "", name = "", mark = "", dieAt = "0", death = "before"] = process.argv.slice(2);
  const { entry, objects } = sampleModule(name, mark);
  const changed = changeModules(
    folder,
    process.geteuid?.() ?? 0,
    (entries) => ok({ entries: [...entries.filter((each) => each.name !== name), entry], objects }),
    mortalFiles(Number(dieAt), death === "torn" || death === "after" ? death : "before"),
  );
  process.stdout.write(changed.ok ? "changed" : `${changed.error.kind}: ${changed.error.message}`);
}
