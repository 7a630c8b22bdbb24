// Composed rules become a policy in force: compiled to a component and loaded. The component stays beside the status for inspection.

import { compileItemApart } from "../adapters/policy/compile-item.ts";
import { loadPolicy } from "../adapters/policy/component.ts";
import { writePolicyFile } from "../adapters/storage/status-file.ts";
import type { Log } from "../core/ports.ts";
import { err, ok } from "../core/result.ts";
import type { PrepareRules } from "./guards.ts";

/** @param compileCommand - starts the process that compiles a large rule set; an endpoint's name is added */
export function makePrepareRules(statusFolder: string, compileCommand: readonly string[], log: Log): PrepareRules {
  return async (endpoint, json) => {
    const compiled = await compileItemApart(compileCommand, endpoint, json);
    if (!compiled.ok) return compiled;
    const { component, warnings, wantsExecutableHash: needsHashes } = compiled.value;
    const policy = loadPolicy(component, { wantsExecutableHash: needsHashes });
    if (!policy.ok) return err(`cannot load the compiled component: ${JSON.stringify(policy.error)}`);
    const kept = writePolicyFile(statusFolder, endpoint, component);
    if (!kept.ok) log.warn("policy-file-not-written", { message: kept.error.message });
    return ok({ policy: policy.value, warnings });
  };
}
