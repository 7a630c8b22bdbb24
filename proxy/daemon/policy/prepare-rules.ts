// Turns composed rules into an active policy: compiled to a component and loaded. A copy is kept next to the status for inspection.

import { compileItemApart } from "../../adapters/policy/compile-item.ts";
import { loadPolicy } from "../../adapters/policy/component.ts";
import { writePolicyFile } from "../../adapters/storage/status-file.ts";
import { perEndpoint } from "../../core/channel/key-status.ts";
import type { Log } from "../../core/ports.ts";
import { err, ok } from "../../core/result.ts";
import { makeLatestWrite } from "../latest-write.ts";
import type { PrepareRules } from "./guards.ts";

/** @param compileCommand - starts the process that compiles a large rule set; an endpoint's name is added */
export function makePrepareRules(statusFolder: string, compileCommand: readonly string[], log: Log): PrepareRules {
  // The rules become active whether or not their copy can be written.
  const copies = perEndpoint((endpoint) => makeLatestWrite((component: Uint8Array) => writePolicyFile(statusFolder, endpoint, component)));
  return async (endpoint, json) => {
    const compiled = await compileItemApart(compileCommand, endpoint, json);
    if (!compiled.ok) return compiled;
    const { component, warnings, wantsExecutableHash, wantsAccountNames } = compiled.value;
    const policy = loadPolicy(component, { wantsExecutableHash, wantsAccountNames });
    if (!policy.ok) return err(`cannot load the compiled component: ${JSON.stringify(policy.error)}`);
    copies[endpoint].put(component, (written) => {
      if (!written.ok) log.warn("policy-file-not-written", { message: written.error.message });
    });
    return ok({ policy: policy.value, warnings });
  };
}
